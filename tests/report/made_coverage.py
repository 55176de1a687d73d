"""Coverages made by hand, with names that would like to be markup."""

from __future__ import annotations

import math
from pathlib import Path

from pages import WICKED

from gradaudit.coverage.levels import CaseCounts
from gradaudit.coverage.model import Coverage, InputRow, ModuleRow, OpCoverage
from gradaudit.coverage.passes import BackwardPass, Kind, Trouble
from gradaudit.results import Verdict
from gradaudit.spec.level import Level


def made_op(name: str, verdicts: dict[str, Verdict | None], **keys: object) -> OpCoverage:
    passes = (BackwardPass(Path("src/<ops>.py"), 3, f"{name}_backward", name, next(iter(Kind))),)
    rows = (InputRow("x", verdicts, 2, 0.02 if any(verdicts.values()) else math.nan, 0.0),)
    defaults: dict[str, object] = {"cases": CaseCounts(expected=2), "stale": (), "findings": (("kink", 2),)}
    made: dict[str, object] = {"module": "a & b", "level": Level.UNIT, "model": "", "location": "specs/a.yaml:1"}
    made |= {"passes": passes, "by_name": False, "inputs": rows, "audited": None, "audit": "ab12"} | defaults | keys
    return OpCoverage(op=name, **made)


def made_coverage(*ops: OpCoverage) -> Coverage:
    lost = BackwardPass(Path("src/new.py"), 9, WICKED, "new", next(iter(Kind)))
    row = ModuleRow("a & b", len(ops) + 1, len(ops))
    total = ModuleRow("TOTAL", len(ops) + 1, len(ops))
    return Coverage((row,), total, ops, (("a & b", lost),), (Trouble(Path("odd.py"), "cannot be parsed"),), 12)


FOUND = made_coverage(
    made_op("right", {"float32": Verdict.PASS, "float64": Verdict.PASS}),
    made_op(WICKED, {"float64": Verdict.FAIL}, cases=CaseCounts(unexpected=1)),
    made_op("new", {"float32": None}, cases=CaseCounts(unaudited=1), stale=("never audited",)),
)
