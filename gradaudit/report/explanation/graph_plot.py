"""The graph of a model as a panel of a picture: a row for each step from the loss on, arcs to the steps before it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradaudit.explain.graph import Graph, Leaf
from gradaudit.report.explanation.graph_drawing import in_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 90
"""Rows up to which a graph can be read."""

INCHES = 0.17
"""Height of a row."""

LEFT, TEXT, BARS, RIGHT = -3.0, 0.4, 9.5, 13.5
"""Where arcs end, where names and bars begin, and where these end; steps lie at zero."""


@dataclass(frozen=True)
class Row:
    """A line of the picture.

    Attributes:
        text: the step's name, or the parameter's with its shape.
        step: the position of the step in the graph; None for a parameter.
        gradient: rms of the parameter's gradient; None for a step.
        lost: what is wrong here, in words; empty where nothing is.

    """

    text: str
    step: int | None = None
    gradient: float | None = None
    lost: str = ""


def rows_of(graph: Graph) -> tuple[Row, ...]:
    """Return the rows: each step after all that are computed from it, its parameters below it, unreached ones last."""
    return tuple(_rows(graph))


def _rows(graph: Graph) -> Iterator[Row]:
    for k in in_order(graph.steps):
        step = graph.steps[k]
        yield Row(step.name, k, lost=f"does not name {step.cut}" if step.cut else "")
        yield from (_row(leaf) for leaf in step.leaves if leaf.name or leaf.cut)
    for leaf in graph.unreached:
        yield Row(f"{leaf.name} {list(leaf.shape)}", lost="not reached")


def _row(leaf: Leaf) -> Row:
    lost = f"on no tape, made at {leaf.cut}" if leaf.cut else "no gradient" if leaf.gradient is None else ""
    lost = lost or ("zero" if leaf.gradient == 0.0 else "")
    return Row(f"{leaf.name or 'a tensor'} {list(leaf.shape)}", gradient=leaf.gradient, lost=lost)


def draw_graph(axes: Axes, graph: Graph, title: str) -> None:
    """Draw the graph: steps as points, arcs to the steps that they are computed from, bars for gradients."""
    rows = rows_of(graph)
    place = {row.step: k for k, row in enumerate(rows) if row.step is not None}
    for step, k in place.items():
        for parent in graph.steps[step].parents:
            if parent in place:
                _arc(axes, k, place[parent], between=any(k < other < place[parent] for other in place.values()))
    axes.plot([0.0] * len(place), list(place.values()), "o", color="tab:blue", ms=5)
    sizes = [row.gradient for row in rows if row.gradient and math.isfinite(row.gradient)]
    for k, row in enumerate(rows):
        _draw_row(axes, k, row, sizes)
    axes.set_title(title, fontsize="medium")
    axes.text(BARS, -1.1, "rms gradient", fontsize="x-small", color="dimgrey")
    axes.set(xlim=(LEFT, RIGHT), ylim=(len(rows) - 0.3, -1.7))
    axes.set_axis_off()


def _arc(axes: Axes, above: int, below: int, *, between: bool) -> None:
    """Draw the way from a step to one that it is computed from: straight, or around the steps between."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    bulge = min(0.6 + 0.15 * (below - above), -LEFT) if between else 0.0
    corners = [(0.0, above), (-bulge, above), (-bulge, below), (0.0, below)]
    way = Path(corners, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    axes.add_patch(PathPatch(way, fill=False, edgecolor="tab:blue", alpha=0.6, linewidth=1.0))


def _draw_row(axes: Axes, k: int, row: Row, sizes: Sequence[float]) -> None:
    colour = "tab:red" if row.lost else "black" if row.step is not None else "dimgrey"
    indent = TEXT if row.step is not None else 2 * TEXT
    axes.text(indent, k, row.text, va="center", fontsize="x-small", color=colour)
    if row.lost:
        axes.plot([0.0], [k], "x", color="tab:red", ms=6)
        axes.text(BARS, k, row.lost, va="center", fontsize="x-small", color="tab:red")
    elif row.gradient:
        length = _length(row.gradient, sizes)
        axes.barh(k, length, left=BARS, height=0.6, color="tab:blue", alpha=0.5)
        axes.text(BARS + length + 0.1, k, f"{row.gradient:.1e}", va="center", fontsize="x-small", color="dimgrey")


def _length(gradient: float, sizes: Sequence[float]) -> float:
    """Return the length of a bar, by the gradient's logarithm, over one decade at least."""
    if not math.isfinite(gradient):
        return 0.0
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    share = 1.0 - (high - math.log10(gradient)) / max(high - low, 1.0)
    return 0.2 + (RIGHT - BARS - 1.8) * share
