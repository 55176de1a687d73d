"""What the reports of coverage say of levels: the pyramid of specs, and where a level is lacking."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from gradaudit.coverage.levels import LevelRow, ModelRow
from gradaudit.coverage.model import Coverage, InputRow, ModuleRow, OpCoverage
from gradaudit.report import numbers
from gradaudit.results import Verdict
from gradaudit.spec.level import ABOVE_UNIT, Level

PYRAMID = ("Level", "Specs:", "Cases:", "As expected:", "Not:", "Not audited:")
"""Headings of the pyramid; numbers have a colon."""

MODELS = ("Model", *(level.capitalize() for level in ABOVE_UNIT))
"""Headings of the table of models."""

ALONE = "nothing"
"""What is said of a level where a model has no spec of it."""


def pyramid_cells(row: LevelRow) -> list[str]:
    """Return what stands in the row of a level."""
    cases = row.cases
    counts = (row.specs, cases.total, cases.expected, cases.unexpected, cases.unaudited)
    return [str(row.level), *(f"{count:,}" for count in counts)]


def model_cells(row: ModelRow) -> list[str]:
    """Return what stands in the row of a model: its specs at each level."""
    return [row.model, *(", ".join(row.specs[level]) or ALONE for level in ABOVE_UNIT)]


def shown_inputs(op: OpCoverage) -> Sequence[InputRow]:
    """Return the rows of an op's inputs; of a model, which may have hundreds, those that passed in one."""
    if op.level is Level.UNIT:
        return op.inputs
    passed = [row for row in op.inputs if set(row.verdicts.values()) == {Verdict.PASS}]
    others = [row for row in op.inputs if row not in passed]
    if not op.inputs:
        return [InputRow("parameters", {}, op.cases.total, math.nan, math.nan)]
    return [*others, *([_together(passed)] if passed else [])]


def _together(rows: Sequence[InputRow]) -> InputRow:
    def greatest(values: Iterable[float]) -> float:
        return max((value for value in values if not math.isnan(value)), default=math.nan)

    return InputRow(
        input=numbers.listed([row.input for row in rows], most=3),
        verdicts={dtype: Verdict.PASS for row in rows for dtype in row.verdicts},
        cases=max(row.cases for row in rows),
        worst_ratio=greatest(row.worst_ratio for row in rows),
        miss_probability=greatest(row.miss_probability for row in rows),
    )


def level_headings(coverage: Coverage) -> list[str]:
    """Return the headings of the columns that the table of modules has where there are specs of whole models."""
    return [f"In {level.capitalize()}:" for level in ABOVE_UNIT] if coverage.levels else []


def level_cells(row: ModuleRow, headings: Sequence[str]) -> list[str]:
    """Return what stands below those headings."""
    return [f"{row.in_models.get(level, 0):,}" for level in ABOVE_UNIT] if headings else []


def lacking(coverage: Coverage) -> Iterator[str]:
    """Yield a sentence for each level that modules lack, and for each that models do."""
    if not coverage.levels:
        return
    for level in ABOVE_UNIT:
        if names := [row.module for row in coverage.modules if not row.in_models.get(level)]:
            held = numbers.counted(len(names), "module")
            yield f"{held} in no model that a {level} spec audits: {', '.join(names)}"
        if models := [row.model for row in coverage.models if level in row.lacks]:
            yield f"{numbers.counted(len(models), 'model')} without a {level} spec: {', '.join(models)}"
