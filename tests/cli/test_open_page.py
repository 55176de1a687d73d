"""``gradaudit open``: a recorded run as a page, from a store or a JSON report, and the coverage as one."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from commands import spec, write_project


@pytest.fixture(name="opened")
def _opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the browser is asked to show; none is started."""
    addresses: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def test_the_last_run_opens_with_what_changed(gradaudit, project, opened: list[str]) -> None:
    write_project(project, spec("one"), spec("two"))
    gradaudit("run")
    write_project(project, spec("one", backward="wrong"), spec("two"))
    gradaudit("run")
    found = gradaudit("open")
    assert found.exit_code == 0, found.output
    page = Path(found.stdout.strip())
    assert opened == [page.as_uri()]
    text = page.read_text(encoding="utf-8")
    assert "1 of 2 gradients not as expected" in text
    assert "Newly failing: 1" in text
    assert "a gradient of shape 5," in text


def test_a_json_report_is_written_as_a_page_and_no_browser_is_opened(gradaudit, project, opened: list[str]) -> None:
    write_project(project, spec("one", backward="wrong"))
    gradaudit("run", "--no-store", "--json", "run.json")
    assert gradaudit("open", "run.json", "--html", "page.html").exit_code == 0
    text = Path("page.html").read_text(encoding="utf-8")
    assert "1 of 1 gradient not as expected" in text
    assert "Analytical over numerical at 5 wrong indices" in text
    assert "What changed" not in text
    assert opened == []


def test_what_is_no_run_is_said(gradaudit, project, opened: list[str]) -> None:
    found = gradaudit("open")
    assert (found.exit_code, found.stderr) == (2, "no run is recorded here yet; gradaudit run records one\n")
    assert "there is no such file" in gradaudit("open", "gone.json").stderr
    Path("odd.json").write_text("[]")
    found = gradaudit("open", "odd.json", "--html", "page.html")
    assert found.exit_code == 2
    assert not Path("page.html").exists()
    assert opened == []


def test_without_a_browser_the_file_is_named(gradaudit, project, monkeypatch: pytest.MonkeyPatch) -> None:
    write_project(project, spec("one"))
    gradaudit("run")
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    found = gradaudit("open")
    assert found.exit_code == 0
    assert Path(found.stdout.strip()).is_file()
    assert "no browser could be opened" in found.stderr


def test_coverage_as_a_page(gradaudit, project) -> None:
    write_project(project, spec("right"))
    found = gradaudit("coverage", "--source", "kernels.py", "--no-output", "--html", "coverage.html")
    assert found.exit_code == 0, found.output
    assert "right" in found.stdout
    text = Path("coverage.html").read_text(encoding="utf-8")
    assert "Last verdicts by module" in text
    assert "not audited" in text
    written = gradaudit("coverage", "--source", "kernels.py", "--no-output", "--html", "-").stdout
    assert written.startswith("<!doctype html>")
