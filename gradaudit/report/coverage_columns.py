"""The columns of the coverage table that say how thorough an op's cases are, where that was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gradaudit.coverage.model import OpCoverage
from gradaudit.report.depth import reached_branches, reached_lines


@dataclass(frozen=True)
class Share:
    """A part of a whole, as it was measured; ``stale`` where op or spec have changed since."""

    part: int
    whole: int
    stale: bool


def thoroughness_headings(ops: Sequence[OpCoverage]) -> list[str]:
    """Return the headings of the columns that any op has something for."""
    measured, tried = any(op.depth for op in ops), any(op.mutants for op in ops)
    return ["Lines:", "Branches:"] * measured + ["Mutants:"] * tried


def thoroughness(op: OpCoverage, headings: Sequence[str]) -> Iterator[Share | None]:
    """Yield what stands below each of these headings; None where there is nothing."""
    if "Lines:" in headings:
        for reached in (reached_lines, reached_branches):
            yield _share(*reached(op.depth.functions), stale=op.depth.stale) if op.depth else None
    if "Mutants:" in headings:
        tried = op.mutants
        yield _share(tried.counts.killed, tried.counts.telling, stale=tried.stale) if tried else None


def _share(part: int, whole: int, *, stale: bool) -> Share | None:
    return Share(part, whole, stale) if whole else None
