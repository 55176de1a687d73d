"""Every finding has a page, every guide can be read, and what they refer to is there."""

from __future__ import annotations

import re

import pytest

from gradaudit.guides import finding_names, finding_page, guide, guide_names
from gradaudit.results import FAILING_CODES, FINDING_CODES

GUIDES = {
    "adopting",
    "architecture",
    "c-and-friends",
    "changelog",
    "ci",
    "contributing",
    "coverage",
    "debugging",
    "editors",
    "explore",
    "extending",
    "mojo",
    "recording",
    "repair",
    "findings",
    "flow",
    "from-gradcheck",
    "frameworks",
    "half-precision",
    "how-it-works",
    "kinks",
    "learning",
    "lint",
    "new-op",
    "numpy-networks",
    "precision",
    "process",
    "python",
    "reading-results",
    "runs",
    "search",
    "stochastic-ops",
    "tolerance",
    "trust",
    "upstream",
    "words",
}


def test_there_is_a_page_for_each_code_and_no_other() -> None:
    assert set(finding_names()) == FINDING_CODES


def test_the_guides_are_those_of_this_list() -> None:
    assert set(guide_names()) == GUIDES


def test_the_guide_to_findings_has_each_code_in_a_table_and_says_which_fail() -> None:
    rows = [line.split("|")[1:3] for line in guide("findings").text.splitlines() if line.startswith("| ")]
    assert {code for codes, _ in rows for code in re.findall(r"`([a-z-]+)`", codes)} == FINDING_CODES
    failing = {code for codes, fails in rows if fails == " yes " for code in re.findall(r"`([a-z-]+)`", codes)}
    assert failing == FAILING_CODES


@pytest.mark.parametrize("code", sorted(FINDING_CODES))
def test_a_page_says_what_it_means_shows_it_and_helps(code: str) -> None:
    page = finding_page(code)
    assert page.title.startswith(f"{code}: ")
    assert page.text.partition("\n## ")[0].count("\n") > 2
    assert page.section("Example")
    assert page.section("Remedy")


PAGES = [guide(name) for name in guide_names()] + [finding_page(code) for code in finding_names()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_fits_into_a_terminal(page) -> None:
    code = re.findall(r"^```\w+\n(.*?)^```", page.text, re.MULTILINE | re.DOTALL)
    assert all(len(line) <= 78 for block in code for line in block.splitlines())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_refer_to_pages_that_exist(page) -> None:
    text = " ".join(page.text.split())
    assert set(re.findall(r"gradaudit guide ([a-z-]+)", text)) <= GUIDES
    assert set(re.findall(r"gradaudit explain ([a-z-]+-[a-z-]+)", text)) <= FINDING_CODES
