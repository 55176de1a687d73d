"""The page of a coverage: what lacks a spec, how the last audits ended, and everything as text."""

from __future__ import annotations

import re
from dataclasses import replace

from made_coverage import FOUND, made_coverage, made_op
from pages import WICKED, Parsed

from gradaudit.coverage.model import OpCoverage
from gradaudit.report.coverage_plots import errors_plot
from gradaudit.report.page.coverage_page import coverage_as_page, coverage_html
from gradaudit.results import Verdict


def test_the_page_is_sound_and_nothing_in_it_is_markup() -> None:
    parsed = Parsed(coverage_html(FOUND))
    assert parsed.unbalanced == []
    assert len(parsed.named("script")) == 1
    assert parsed.text.count(WICKED) >= 3
    places = parsed.values("id")
    assert len(places) == len(set(places))
    assert {link[1:] for link in parsed.values("href") if link.startswith("#")} <= set(places)
    for said in ("src/new.py:9", "odd.py: cannot be parsed", "stale: never audited", "not as its spec expects", "75%"):
        assert said in parsed.text, said


def test_verdicts_stand_by_op_and_dtype() -> None:
    page = coverage_as_page(FOUND)
    (matrix,) = page.matrices
    assert matrix.dtypes == ("float32", "float64")
    words = [[cell.mark.verdict if cell else "" for cell in row.cells] for row in matrix.rows]
    assert words == [["pass", "pass"], ["", "fail"], ["not audited", ""]]
    assert matrix.mark.verdict == "fail"
    assert page.title == "3 of 4 backward passes with a spec"
    assert page.state == "bad"
    assert coverage_as_page(made_coverage(made_op("right", {"float32": Verdict.PASS}))).state == "open"


def with_ratio(name: str, ratio: float) -> OpCoverage:
    made = made_op(name, {"float32": Verdict.PASS})
    return replace(made, inputs=(replace(made.inputs[0], worst_ratio=ratio),))


def test_errors_are_drawn_largest_first_on_a_logarithmic_scale_with_the_tolerance() -> None:
    ratios = {"small": 0.0005, "tenth": 0.1, "hundredth": 0.01, "over": 40.0, "at": 1.0}
    drawn = errors_plot(made_coverage(*(with_ratio(name, ratio) for name, ratio in ratios.items())))
    assert re.findall(r"a &amp; b/(\w+)<", drawn) == ["over", "at", "tenth", "hundredth", "small"]
    at, tenth, hundredth, small = (int(x) for x in re.findall(r'<circle cx="(\d+)"', drawn))
    assert abs((at - tenth) - (tenth - hundredth)) <= 1
    assert abs((at - tenth) - (hundredth - small)) <= 1
    (tolerance,) = re.findall(r'<line x1="(\d+)"[^>]*stroke-dasharray', drawn)
    assert int(tolerance) == at
    (beyond,) = re.findall(r'<path d="M(\d+) ', drawn)
    assert int(beyond) > at
