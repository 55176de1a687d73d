"""Every finding has a page, every guide can be read, and the examples are of what they are said to be of."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_examples import write_example

from gradaudit.engine.audit import audit_case
from gradaudit.guides import finding_names, finding_page, guide, guide_names
from gradaudit.results import FINDING_CODES, Verdict
from gradaudit.spec.load import load_specs

GUIDES = {
    "ci",
    "debugging",
    "kinks",
    "new-op",
    "precision",
    "process",
    "python",
    "reading-results",
    "search",
    "stochastic-ops",
    "tolerance",
    "upstream",
}

NOTED = (
    "degenerate-upstream",
    "dtype-mismatch",
    "input-mutated",
    "kink",
    "missing-gradient",
    "noise-dominated",
    "nonfinite",
    "out-of-domain",
    "precision-loss",
    "shape-mismatch",
)
"""Codes that the audit of a single gradient finds."""

WRONG = (
    "constant-factor",
    "factor-per-axis",
    "missing-term",
    "nonlinear-upstream",
    "shifted",
    "sign-flipped",
    "stochastic-backward",
    "transposed",
    "upstream-ignored",
    "wrong-subset",
)
"""Codes of gradients that are numerically wrong."""


def test_there_is_a_page_for_each_code_and_no_other() -> None:
    assert set(finding_names()) == FINDING_CODES


def test_the_guides() -> None:
    assert set(guide_names()) == GUIDES


@pytest.mark.parametrize("code", sorted(FINDING_CODES))
def test_a_page_says_what_it_means_shows_it_and_helps(code: str) -> None:
    page = finding_page(code)
    assert page.title.startswith(f"{code}: ")
    assert page.text.partition("\n## ")[0].count("\n") > 2
    assert page.section("Example")
    assert page.section("Remedy")


def audited_example(code: str, folder: Path) -> tuple[set[str], set[Verdict]]:
    spec = write_example(finding_page(code), folder)
    results = [result for case in load_specs([spec]).cases for result in audit_case(case).results]
    codes = {finding.code for result in results for finding in result.findings}
    return codes, {result.verdict for result in results}


@pytest.mark.parametrize("code", NOTED)
def test_an_example_shows_its_finding(code: str, folder: Path) -> None:
    assert code in audited_example(code, folder)[0]


@pytest.mark.parametrize("code", WRONG)
def test_an_example_of_a_wrong_gradient_fails(code: str, folder: Path) -> None:
    assert Verdict.FAIL in audited_example(code, folder)[1]


@pytest.mark.parametrize("code", sorted(FINDING_CODES - {*NOTED, *WRONG}))
def test_any_other_example_can_be_audited(code: str, folder: Path) -> None:
    codes, verdicts = audited_example(code, folder)
    broken = {"captured-state", "accumulated", "tolerance-too-loose", "uniform-input", "zero-input"}
    assert code in codes or code in broken or verdicts != {Verdict.PASS}


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
