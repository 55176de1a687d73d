"""The page of a coverage: what lacks a spec, how the last audits ended, and everything as text."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

from pages import WICKED, Parsed

from gradaudit.coverage.levels import CaseCounts
from gradaudit.coverage.model import Coverage, InputRow, ModuleRow, OpCoverage
from gradaudit.coverage.passes import BackwardPass, Kind, Trouble
from gradaudit.report.coverage_plots import errors_plot
from gradaudit.report.page.coverage_page import coverage_as_page, coverage_html
from gradaudit.results import Verdict
from gradaudit.spec.level import Level


def op(name: str, verdicts: dict[str, Verdict | None], **keys: object) -> OpCoverage:
    passes = (BackwardPass(Path("src/<ops>.py"), 3, f"{name}_backward", name, next(iter(Kind))),)
    rows = (InputRow("x", verdicts, 2, 0.02 if any(verdicts.values()) else math.nan, 0.0),)
    defaults: dict[str, object] = {"cases": CaseCounts(expected=2), "stale": (), "findings": (("kink", 2),)}
    made: dict[str, object] = {"module": "a & b", "level": Level.UNIT, "model": "", "location": "specs/a.yaml:1"}
    made |= {"passes": passes, "by_name": False, "inputs": rows, "audited": None, "audit": "ab12"} | defaults | keys
    return OpCoverage(op=name, **made)


def coverage(*ops: OpCoverage) -> Coverage:
    lost = BackwardPass(Path("src/new.py"), 9, WICKED, "new", next(iter(Kind)))
    row = ModuleRow("a & b", len(ops) + 1, len(ops))
    total = ModuleRow("TOTAL", len(ops) + 1, len(ops))
    return Coverage((row,), total, ops, (("a & b", lost),), (Trouble(Path("odd.py"), "cannot be parsed"),), 12)


FOUND = coverage(
    op("right", {"float32": Verdict.PASS, "float64": Verdict.PASS}),
    op(WICKED, {"float64": Verdict.FAIL}, cases=CaseCounts(unexpected=1)),
    op("new", {"float32": None}, cases=CaseCounts(unaudited=1), stale=("never audited",)),
)


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
    assert coverage_as_page(coverage(op("right", {"float32": Verdict.PASS}))).state == "open"


def with_ratio(name: str, ratio: float) -> OpCoverage:
    made = op(name, {"float32": Verdict.PASS})
    return replace(made, inputs=(replace(made.inputs[0], worst_ratio=ratio),))


def test_errors_are_drawn_largest_first_on_a_logarithmic_scale_with_the_tolerance() -> None:
    ratios = {"small": 0.0005, "tenth": 0.1, "hundredth": 0.01, "over": 40.0, "at": 1.0}
    drawn = errors_plot(coverage(*(with_ratio(name, ratio) for name, ratio in ratios.items())))
    assert re.findall(r"a &amp; b/(\w+)<", drawn) == ["over", "at", "tenth", "hundredth", "small"]
    at, tenth, hundredth, small = (int(x) for x in re.findall(r'<circle cx="(\d+)"', drawn))
    assert abs((at - tenth) - (tenth - hundredth)) <= 1
    assert abs((at - tenth) - (hundredth - small)) <= 1
    (tolerance,) = re.findall(r'<line x1="(\d+)"[^>]*stroke-dasharray', drawn)
    assert int(tolerance) == at
    (beyond,) = re.findall(r'<path d="M(\d+) ', drawn)
    assert int(beyond) > at
