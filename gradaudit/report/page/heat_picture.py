"""The map of a gradient's wrong indices in pixels: right cells hatched, wrong ones in four shades, none pale."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gradaudit.explain.heat_map import HeatMap, heat_map
from gradaudit.report import numbers
from gradaudit.report.explanation.heat_drawing import LIMITS, SHADE_LIMITS, shade_of
from gradaudit.results import Mismatch, Result, Verdict

CELL, LEFT, TOP = 12, 76, 22
"""Pixels of a cell, and of the margins for the indices of rows and columns."""

MAX_TOLD = 150
"""Most cells that tell their numbers under the pointer: the worst; more would make the file large."""

MAX_LABEL = 11
"""Characters of a row's index that fit to the left."""

COLUMNS_APART = 10
"""Cells between two indices above the columns."""


@dataclass(frozen=True)
class Label:
    """A text, and where it stands."""

    x: float
    y: float
    text: str


@dataclass(frozen=True)
class ToldCell:
    """A cell and its worst index in words."""

    x: int
    y: int
    text: str


@dataclass(frozen=True)
class HeatPicture:
    """A map.

    Attributes:
        title: what it shows.
        width, height: of the whole.
        frame: x, y, width and height of the cells.
        shades: for each of the four shades, the path of its cells; empty where it has none.
        limits: what each shade stands for, in words.
        told: cells that tell their worst index.
        labels: indices beside the rows and above the columns.
        complete: whether a cell without a shade is right; else it may not have been looked at.
        block: how many elements a cell stands for, in words; empty for one.
        faults: what shaded cells are, in a word.

    """

    title: str
    width: int
    height: int
    frame: tuple[int, int, int, int]
    shades: tuple[str, ...]
    limits: tuple[str, ...]
    told: tuple[ToldCell, ...]
    labels: tuple[Label, ...]
    complete: bool
    block: str
    faults: str


def heat_picture_of(result: Result) -> HeatPicture | None:
    """Return the map of a result, a single row where its gradient has one axis; None where there is nothing to draw."""
    as_rows = result
    if len(result.shape) == 1:
        mismatches = tuple(replace(each, index=(0, *each.index)) for each in result.mismatches)
        as_rows = replace(result, mismatches=mismatches, shape=(1, *result.shape))
    heat = heat_map(as_rows, as_rows.shape)
    return heat_picture(heat, result) if heat else None


def heat_picture(heat: HeatMap, result: Result) -> HeatPicture:
    """Return a map in pixels; its cells tell of a result's mismatches."""
    rows, columns = len(heat.cells), len(heat.cells[0])
    faults = "undecided" if result.verdict is Verdict.INCONCLUSIVE else "wrong"
    width, height = columns * CELL, rows * CELL
    shape = " x ".join(map(str, result.shape or heat.shape))
    return HeatPicture(
        title=f"Where {result.input} is {faults}: a gradient of shape {shape}, last axis across",
        width=LEFT + width + 2,
        height=TOP + height + 2,
        frame=(LEFT, TOP, width, height),
        shades=tuple(_path(heat, shade) for shade in range(len(LIMITS) + 1)),
        limits=SHADE_LIMITS,
        told=tuple(_told(heat, result)),
        labels=(*_row_labels(heat), *_column_labels(heat)),
        complete=heat.complete,
        block="" if heat.block == (1, 1) else f"{heat.block[0]} x {heat.block[1]}",
        faults=faults,
    )


def _path(heat: HeatMap, shade: int) -> str:
    """Return the cells of a shade as one path, neighbours in a row in one piece."""
    pieces = []
    for row, line in enumerate(heat.cells):
        start = None
        for column, ratio in enumerate((*line, 0.0)):
            shaded = ratio > 0.0 and shade_of(ratio) == shade
            if shaded and start is None:
                start = column
            elif not shaded and start is not None:
                pieces.append(f"M{LEFT + start * CELL} {TOP + row * CELL}h{(column - start) * CELL}v{CELL}H")
                pieces[-1] += f"{LEFT + start * CELL}z"
                start = None
    return "".join(pieces)


def _told(heat: HeatMap, result: Result) -> Iterator[ToldCell]:
    """Yield the worst index of each cell, the worst cells first, as far as there is room."""
    seen: set[tuple[int, int]] = set()
    for mismatch in result.mismatches:
        row, column = heat.cell_of((0, *mismatch.index)[-len(heat.shape) :])  # one axis is the map's only row
        if (row, column) not in seen:
            seen.add((row, column))
            yield ToldCell(LEFT + column * CELL, TOP + row * CELL, mismatch_in_words(mismatch))
        if len(seen) == MAX_TOLD:
            return


def mismatch_in_words(mismatch: Mismatch) -> str:
    """Return an index with its numbers, in a line."""
    ratio = mismatch.difference / mismatch.tolerance if mismatch.tolerance > 0 else math.inf
    return (
        f"index {mismatch.index}: analytical {numbers.column(mismatch.analytical).strip()}, "
        f"numerical {numbers.column(mismatch.numerical).strip()} (bound {mismatch.error_bound:.1e}), "
        f"difference {mismatch.difference:.2e}, tolerance {mismatch.tolerance:.2e} (x {ratio:.3g})"
    )


def _row_labels(heat: HeatMap) -> Iterator[Label]:
    for row in range(len(heat.cells)):
        first, last = heat.row_indices(row)
        text = ", ".join(map(str, first)) + (".." if first != last else "")
        yield Label(
            LEFT - 6, TOP + row * CELL + CELL - 2, text if len(text) <= MAX_LABEL else f"{text[:MAX_LABEL]}\u2026"
        )


def _column_labels(heat: HeatMap) -> Iterator[Label]:
    for column in range(0, len(heat.cells[0]), COLUMNS_APART):
        yield Label(LEFT + column * CELL + CELL / 2, TOP - 6, str(column * heat.block[1]))
