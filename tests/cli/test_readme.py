"""What README shows is what the tool says today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradaudit.guides import guide_names

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TIMES = re.compile(r"\d+\.\d\d s")


def block(after: str, language: str) -> str:
    """Return the first block of a language after a text."""
    return README.partition(after)[2].partition(f"```{language}\n")[2].partition("```")[0]


def told(command: str) -> str:
    """Return what stands below a command."""
    return README.partition(f"```\n$ {command}\n")[2].partition("```")[0]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "demo"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def test_the_session_is_todays(gradaudit, folder: Path) -> None:
    (folder / "my_ops.py").write_text(block("## A session", "python"))
    (folder / "swish.yaml").write_text(block("## A session", "yaml"))
    ended = gradaudit("run", "swish.yaml", "--max-rows", "3", "-k", "float32")
    assert ended.exit_code == 1
    shown = re.sub(r"^Recorded in .*\n", "", ended.stdout, flags=re.MULTILINE)  # in a folder of the user's own
    assert TIMES.sub("", shown) == TIMES.sub("", told("gradaudit run swish.yaml --max-rows 3 -k float32"))


def test_the_explanation_is_todays(gradaudit, folder: Path) -> None:
    (folder / "my_ops.py").write_text(block("## A session", "python"))
    (folder / "swish.yaml").write_text(block("## A session", "yaml"))
    command = "explain swish --specs swish.yaml --dtype float32"
    ended = gradaudit(*command.split(), "-j", "0")
    shown = told(f"gradaudit {command}").removeprefix("...\n").partition("error of a central difference")[0]
    assert " ".join(shown.split()) in " ".join(ended.stdout.split())


def test_what_lint_says_is_todays(gradaudit, folder: Path) -> None:
    (folder / "model.py").write_text(block("### Without running it", "python"))
    assert gradaudit("lint", "model.py").stdout == told("gradaudit lint model.py")


def test_the_spec_that_is_shown_audits_a_right_op(gradaudit, folder: Path) -> None:
    (folder / "linear.yaml").write_text(block("## Writing a spec", "yaml"))
    (folder / "my_package").mkdir()
    code = """
def linear(x, weight, bias):
    return x @ weight.T + bias


def linear_backward(upstream, x, weight):
    return upstream @ weight, upstream.T @ x, upstream.sum(axis=0)
"""
    (folder / "my_package" / "linear.py").write_text(code)
    ended = gradaudit("run", "linear.yaml")
    assert "12 gradients, 1 op, 4 cases: 12 pass" in ended.stdout


@pytest.mark.parametrize("report", ["benchmarks.md", "torch_ops.md"])
def test_numbers_beside_peers_are_those_of_the_reports(report: str) -> None:
    section = README.partition("## Beside other checkers")[2].partition("\n## ")[0]
    tables = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)
    reported = (ROOT / "reports" / report).read_text(encoding="utf-8")
    assert [table in reported for table in tables].count(True) == 1


def test_every_guide_is_listed_and_every_page_linked_is_there() -> None:
    table = README.partition("## Guides")[2]
    assert sorted(re.findall(r"^\| `([a-z-]+)`", table, re.MULTILINE)) == guide_names()
    for page in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / page).is_file()


def test_the_repair_is_todays(gradaudit, folder: Path) -> None:
    (folder / "my_ops.py").write_text(block("## A session", "python"))
    (folder / "swish.yaml").write_text(block("## A session", "yaml"))
    command = "gradaudit explain swish --specs swish.yaml --fix"
    said = gradaudit(*command.split()[1:], "-j", "0").stdout
    assert said.split() == told(command).split()  # wherever lines are broken
