"""Verdicts at one sight: for each module a table of ops by dtypes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gradaudit.report.page.anchors import Anchors
from gradaudit.report.page.marks import Mark, mark_of
from gradaudit.results import Result, Verdict
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES


@dataclass(frozen=True)
class Cell:
    """How the gradients of one op in one dtype ended: ``unexpected`` of ``gradients`` not as its spec says.

    ``anchor`` is where more is told: of the first that is not as expected, else of the op.
    """

    mark: Mark
    unexpected: int
    gradients: int
    anchor: str


@dataclass(frozen=True)
class OpRow:
    """An op, and a cell for each dtype of its module; None where it has no case in that."""

    op: str
    anchor: str
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class Matrix:
    """The ops of a module by dtypes.

    Attributes:
        module: its name.
        mark: of the gravest of its gradients.
        dtypes: headings of the columns.
        rows: a row for each op, those with failures first.
        gradients: how many there are.
        unexpected: how many did not end as their specs say.

    """

    module: str
    mark: Mark
    dtypes: tuple[str, ...]
    rows: tuple[OpRow, ...]
    gradients: int
    unexpected: int


def matrices(results: Sequence[Result], anchors: Anchors) -> tuple[Matrix, ...]:
    """Return a matrix for each module, those with failures first."""
    by_module: dict[str, list[Result]] = {}
    for result in results:
        by_module.setdefault(result.module, []).append(result)
    made = [_matrix(module, found, anchors) for module, found in by_module.items()]
    return tuple(sorted(made, key=lambda matrix: not matrix.unexpected))


def dtypes_in_order(names: Sequence[str]) -> tuple[str, ...]:
    """Return dtypes from the narrowest to the widest, each once; those that are not known last."""
    known = list(DEFAULT_TOLERANCES)
    return tuple(sorted(set(names), key=lambda name: (known.index(name) if name in known else len(known), name)))


def gradient_anchor(result: Result, anchors: Anchors) -> str:
    """Return where a gradient is told of."""
    return anchors.of("g", result.op, result.case, result.dtype, result.input)


def op_anchor(module: str, op: str, anchors: Anchors) -> str:
    """Return where an op is told of."""
    return anchors.of("op", module, op)


def _matrix(module: str, results: Sequence[Result], anchors: Anchors) -> Matrix:
    dtypes = dtypes_in_order([result.dtype for result in results])
    by_op: dict[str, dict[str, list[Result]]] = {}
    for result in results:
        by_op.setdefault(result.op, {}).setdefault(result.dtype, []).append(result)
    rows = [_row(module, op, found, dtypes, anchors) for op, found in by_op.items()]
    return Matrix(
        module=module,
        mark=mark_of(*results),
        dtypes=dtypes,
        rows=tuple(sorted(rows, key=lambda row: not any(cell and cell.unexpected for cell in row.cells))),
        gradients=len(results),
        unexpected=sum(not result.expected for result in results),
    )


def _row(module: str, op: str, found: Mapping[str, Sequence[Result]], dtypes: Sequence[str], anchors: Anchors) -> OpRow:
    anchor = op_anchor(module, op, anchors)
    cells = tuple(_cell(found[dtype], anchor, anchors) if dtype in found else None for dtype in dtypes)
    return OpRow(op, anchor, cells)


def _cell(results: Sequence[Result], anchor: str, anchors: Anchors) -> Cell:
    told = [result for result in results if is_told(result)]
    first = min(told, key=lambda result: result.expected, default=None)
    return Cell(
        mark=mark_of(*results),
        unexpected=sum(not result.expected for result in results),
        gradients=len(results),
        anchor=gradient_anchor(first, anchors) if first else anchor,
    )


def is_told(result: Result) -> bool:
    """Whether a gradient has a part of the page to itself: all that did not simply pass."""
    return not result.expected or result.verdict is not Verdict.PASS
