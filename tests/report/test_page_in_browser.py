"""The page of a run as a person uses it, in Chromium: folds, filters, keys, without a script, and for everybody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from browser import Browser, browser, path_of_browser
from made_coverage import FOUND
from made_explanations import WRONG, made_explanation
from pages import SAID, repairs_of_them, results_of_every_kind, written_page

from gradaudit.report.page.coverage_page import coverage_html
from gradaudit.report.page.explain_page import explanation_html

if path_of_browser() is None:
    pytest.skip("there is no Chromium here", allow_module_level=True)

SHOWN = "[...document.querySelectorAll('.gradient')].filter(each => each.checkVisibility()).length"
ROWS = "[...document.querySelectorAll('.op tbody tr')].filter(each => !each.hidden).length"


@pytest.fixture(scope="module", name="chromium")
def _chromium() -> Iterator[Browser]:
    with browser() as page:
        yield page


@pytest.fixture(scope="module", name="page")
def _page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "out.html"
    written_page(results_of_every_kind(), path, [repairs_of_them()])
    return path


def choose(chromium: Browser, name: str, value: str) -> None:
    chromium.see(
        f"{{ const box = document.querySelector('[name={name}]'); box.value = {json.dumps(value)}; "
        "box.dispatchEvent(new Event('input', {bubbles: true})); }"
    )


def test_it_asks_for_nothing_and_complains_of_nothing(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    assert chromium.complaints == []
    assert chromium.foreign_requests == []
    assert any(address.endswith("out.html") for address in chromium.requests)
    assert chromium.see("document.querySelector('h1').textContent") == "7 of 12 gradients not as expected"


def test_a_gradient_folds_out_to_its_pictures(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    first = "document.querySelector('.gradient')"
    assert chromium.see(f"{first}.querySelector('figure').checkVisibility()") is False
    chromium.see(f"{first}.querySelector('summary').click()")
    assert chromium.see(f"{first}.querySelector('figure').checkVisibility()") is True
    chromium.see(f"{first}.querySelector('.cell').dispatchEvent(new PointerEvent('pointerover', {{bubbles: true}}))")
    assert "analytical" in chromium.see(f"{first}.querySelector('.readout').textContent")


def test_filters_by_verdict_module_finding_and_text(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    assert (chromium.see(SHOWN), chromium.see(ROWS)) == (8, 12)
    chromium.see("document.querySelector('[value=fail]').click()")
    assert (chromium.see(SHOWN), chromium.see(ROWS)) == (2, 6)
    assert chromium.see("document.querySelector('[name=shown]').textContent") == "6 of 12 gradients"
    chromium.see("document.querySelector('[value=fail]').click()")
    choose(chromium, "module", "normalization")
    assert chromium.see(SHOWN) == 2
    choose(chromium, "module", "")
    choose(chromium, "code", "sign-flipped")
    assert (chromium.see(SHOWN), chromium.see(ROWS)) == (2, 2)
    choose(chromium, "code", "")
    choose(chromium, "text", "deep COMPLEX128")
    assert (chromium.see(SHOWN), chromium.see(ROWS)) == (1, 1)
    choose(chromium, "text", "nothing that is here")
    assert chromium.see(ROWS) == 0


def test_keys_search_go_on_and_clear(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    at = "document.activeElement.closest('.gradient')?.id"
    chromium.press("j")
    first = chromium.see(at)
    chromium.press("j")
    second = chromium.see(at)
    chromium.press("k")
    assert first
    assert first != second
    assert chromium.see(at) == first
    chromium.press("/")
    assert chromium.see("document.activeElement.name") == "text"
    choose(chromium, "text", "deep")
    chromium.press("Escape")
    assert (chromium.see("document.querySelector('[name=text]').value"), chromium.see(ROWS)) == ("", 12)


def test_verdicts_differ_in_shape_and_what_is_unexpected_is_filled(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    look = "getComputedStyle(document.querySelector('{} i'))"
    shapes = {
        name: chromium.see(f"(at => at.borderTopStyle + at.borderTopLeftRadius)({look.format(f'.counts .{name}')})")
        for name in ("pass", "fail", "inconclusive", "error")
    }
    assert len(set(shapes.values())) == 4, shapes
    filled = [chromium.see(f"{look.format(where)}.backgroundColor") for where in (".odd.fail", ".fail:not(.odd)")]
    assert filled[0] != filled[1] == "rgba(0, 0, 0, 0)"


def test_a_link_of_the_matrix_opens_what_it_leads_to(chromium: Browser, page: Path) -> None:
    chromium.open(page)
    chromium.see("document.querySelector('.matrix td a').click()")
    chromium.see("new Promise(done => setTimeout(done, 50))")
    assert chromium.see("document.querySelector(location.hash).open") is True
    assert chromium.see("document.querySelector(location.hash).className") == "gradient"


def test_without_a_script_everything_is_there_but_the_filters(chromium: Browser, page: Path) -> None:
    chromium.open(page, script=False)
    assert chromium.see("document.querySelector('.filters').checkVisibility()") is False
    assert (chromium.see(SHOWN), chromium.see(ROWS)) == (8, 12)
    chromium.see("document.querySelector('.gradient').open = true")
    assert chromium.see("document.querySelector('.gradient figure').checkVisibility()") is True


@pytest.fixture(scope="module", name="pages")
def _pages(page: Path) -> dict[str, Path]:
    """The page of a run, of an explanation and of a coverage."""
    explained, covered = page.with_name("explained.html"), page.with_name("covered.html")
    wrong = made_explanation(replace(WRONG, message=SAID, shape=(3, 4)))
    explained.write_text(explanation_html(wrong, 10), encoding="utf-8")
    covered.write_text(coverage_html(FOUND), encoding="utf-8")
    return {"run": page, "explanation": explained, "coverage": covered}


KINDS = ("run", "explanation", "coverage")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_screen(chromium: Browser, pages: dict[str, Path], kind: str, width: int) -> None:
    chromium.open(pages[kind], width=width)
    chromium.see("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    assert chromium.see("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("kind", "dark"), [("run", False), ("run", True), ("explanation", True), ("coverage", False)])
def test_axe_finds_no_fault(chromium: Browser, pages: dict[str, Path], kind: str, dark: bool) -> None:
    chromium.open(pages[kind], dark=dark)
    assert (chromium.complaints, chromium.foreign_requests) == ([], [])
    chromium.see("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    chromium.see((files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8") + ";0")
    found = chromium.see("axe.run().then(found => found.violations)")
    assert [(each["id"], each["nodes"][0]["html"], each["nodes"][0]["failureSummary"]) for each in found] == []


def test_on_paper_failures_are_open_and_the_form_is_gone(chromium: Browser, page: Path) -> None:
    chromium.open(page, media="print")
    chromium.see("window.dispatchEvent(new Event('beforeprint'))")
    assert chromium.see("document.querySelector('.filters').checkVisibility()") is False
    assert chromium.see("document.querySelector('.gradient figure').checkVisibility()") is True
