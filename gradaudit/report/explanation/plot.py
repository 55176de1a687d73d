"""An explanation's curves and maps as a picture, by matplotlib, which is an extra."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gradaudit.explain.curve import StepCurve
from gradaudit.explain.explanation import Explanation, ModelView, Study
from gradaudit.explain.heat_map import HeatMap
from gradaudit.explain.path_curve import PathCurve
from gradaudit.report.explanation.curve_drawing import shows_claim, step_in_words
from gradaudit.report.explanation.graph_plot import INCHES, MOST_ROWS, draw_graph, rows_of
from gradaudit.report.explanation.heat_drawing import SHADE_LIMITS, shade_of
from gradaudit.report.explanation.model_plot import draw_magnitudes, draw_training
from gradaudit.report.failures import cause_of
from gradaudit.report.files import UnwritableError
from gradaudit.results import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panel = Callable[["Axes"], None]
"""Draws one panel of the picture."""

KINDS = ("png", "svg")

PANEL = (6.4, 4.2)
"""Width and height of a panel in inches."""

DPI = 130

SHADES = ("#e07b12", "#b8410c", "#86161c", "#3d0a2c")
"""Colours of the four shades of a map, none of them pale: the more is wrong, the darker."""

HATCH = "#8b949e"
"""What right cells are hatched with."""


def kind_of_plot(path: str) -> str:
    """Return which of ``KINDS`` a file's name asks for, once it is certain that it can be drawn.

    Raises:
        UnwritableError: where the name asks for another kind, or matplotlib is not installed.

    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise UnwritableError(f"cannot plot to {path}: found '{Path(path).suffix}', expected a name in .png or .svg")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UnwritableError(
            f"cannot plot to {path}: matplotlib is not installed; pip install 'gradaudit[plot]'"
        ) from None
    return kind


def draw(explanation: Explanation, kind: str) -> bytes:
    """Return the picture: gradients and loss curve of a model, then a row for each input that was examined.

    That row has its step-size curve and, where indices are wrong, their map.
    """
    import matplotlib
    from matplotlib.figure import Figure

    shown = [study for study in explanation.studies if study.curve or not explanation.views]
    rows = [*_rows_of_models(explanation), *(_row_of(study, explanation) for study in shown)]
    columns = max(map(len, rows))
    heights = [max([PANEL[1], *(_height(view) for view in explanation.views[k : k + 1])]) for k in range(len(rows))]
    size = (PANEL[0] * columns, sum(heights))
    with matplotlib.rc_context({"svg.hashsalt": "gradaudit"}):  # the same bytes each time
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
        for axes, row in zip(grid, rows, strict=True):
            for panel, place in zip(row, axes, strict=False):
                panel(place)
            for place in axes[len(row) :]:
                place.set_axis_off()
        content = io.BytesIO()
        figure.savefig(content, format=kind, dpi=DPI, metadata={"Date": None} if kind == "svg" else None)
    return content.getvalue()


def _rows_of_models(explanation: Explanation) -> Iterator[Sequence[Panel]]:
    trained = {(result.case, result.dtype): result for result in explanation.results if result.training}
    for view in explanation.views:
        row = [partial(_draw_model, view=view)]
        if result := trained.get((view.case, view.dtype)):
            row.append(partial(draw_training, result=result))
        yield row


def _is_readable(view: ModelView) -> bool:
    return view.graph is not None and 0 < len(rows_of(view.graph)) <= MOST_ROWS


def _height(view: ModelView) -> float:
    """Return the inches that a model's panel needs."""
    return INCHES * (len(rows_of(view.graph)) + 3) if view.graph and _is_readable(view) else 0.0


def _draw_model(axes: Axes, view: ModelView) -> None:
    """Draw a model's graph, or of one with too many steps the gradients by their distance from the loss."""
    if view.graph and _is_readable(view):
        draw_graph(axes, view.graph, _literal(f"graph from the loss back ({view.case}, {view.dtype})"))
    else:
        draw_magnitudes(axes, view)


def _row_of(study: Study, explanation: Explanation) -> Sequence[Panel]:
    row = [partial(_draw_study, study=study, why=_why(study, explanation))]
    if study.path:
        row.append(partial(_draw_path, path=study.path))
    return [*row, partial(_draw_map, heat=study.heat_map)] if study.heat_map else row


def _why(study: Study, explanation: Explanation) -> str:
    """Return the cause where an input did not pass, and the dtypes in which it did not; else nothing."""
    if study.result.verdict is Verdict.PASS:
        return ""
    others = [each for each in explanation.results if each.input == study.result.input]
    dtypes = dict.fromkeys(each.dtype for each in others if each.verdict is study.result.verdict)
    return f"{cause_of(study.result).code}, in {', '.join(dtypes)}"


def _draw_study(axes: Axes, study: Study, why: str) -> None:
    result = study.result
    about = f"{result.op} w.r.t. {result.input} ({result.case}, {result.dtype}): {result.verdict}"
    axes.set_title(_literal(f"{about}\n{why}" if why else about), fontsize="medium")
    _draw_curve(axes, study.curve, study.no_curve)


def _draw_curve(axes: Axes, curve: StepCurve | None, trouble: str) -> None:
    if curve is None:
        axes.text(0.5, 0.5, _literal(trouble), ha="center", va="center", wrap=True, transform=axes.transAxes)
        axes.set_axis_off()
        return
    for branch, name, colour in (("rounding", "roundoff", "tab:purple"), ("truncation", "truncation", "tab:blue")):
        points = [point for point in curve.points if point.branch == branch and point.error > 0]
        axes.plot(
            [p.step for p in points], [p.error for p in points], "o", ms=3.5, color=colour, label=f"{name} dominates"
        )
    axes.plot(
        [p.step for p in curve.points], [p.rounding for p in curve.points], ":", color="grey", label="noise floor"
    )
    axes.axvline(curve.chosen_step, color="black", lw=0.8, label=f"step chosen: {step_in_words(curve.chosen_step)}")
    axes.axhline(curve.tolerance, color="tab:green", ls="--", label=f"tolerance: {curve.tolerance:.1e}")
    if shows_claim(curve):
        axes.axhline(curve.difference, color="tab:red", label=f"backward is off by {curve.difference:.1e}")
    axes.set(xscale="log", yscale="log", xlabel=f"step, at index {curve.index}", ylabel="error of a central difference")
    axes.legend(fontsize="small")


def _draw_path(axes: Axes, path: PathCurve) -> None:
    axes.plot(path.times, path.integrals, "-", color="tab:blue", label="integral of the gradient")
    axes.plot(path.times, path.changes, "o", ms=5, color="tab:orange", label="change of forward")
    axes.set_title(f"{path.elements:,} elements moved, in {path.dtype}", fontsize="medium")
    axes.set(xlabel="place on the path", ylabel="loss")
    axes.legend(fontsize="small")


def _draw_map(axes: Axes, heat: HeatMap) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch, Rectangle
    from matplotlib.ticker import MaxNLocator

    shades: Any = [[shade_of(ratio) if ratio > 0.0 else math.nan for ratio in line] for line in heat.cells]
    rows, columns = len(heat.cells) * heat.block[0], len(heat.cells[0]) * heat.block[1]
    norm = BoundaryNorm(np.arange(len(SHADES) + 1) - 0.5, len(SHADES))
    edges = (-0.5, columns - 0.5, rows - 0.5, -0.5)
    image = axes.imshow(np.array(shades), extent=edges, aspect="auto", interpolation="nearest", zorder=1)
    image.set(cmap=ListedColormap(SHADES), norm=norm)
    keys = [Patch(facecolor=colour, label=limit) for colour, limit in zip(SHADES, SHADE_LIMITS, strict=True)]
    if heat.complete:
        axes.add_patch(Rectangle((-0.5, -0.5), columns, rows, fill=False, hatch="////", edgecolor=HATCH, zorder=0))
        right = Patch(facecolor="white", edgecolor=HATCH, hatch="////", label="0 to 1: right")
    else:
        right = Patch(facecolor="white", edgecolor=HATCH, label="right, or not tested")
    axes.legend(
        handles=[right, *keys],
        title="difference / tolerance",
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        fontsize="small",
    )
    leading = " x ".join(map(str, heat.shape[:-1]))
    axes.set(xlabel=f"last axis ({heat.shape[-1]})", ylabel=f"leading axes stacked ({leading})")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))


def _literal(text: str) -> str:
    """Return text in which a dollar sign begins no formula."""
    return text.replace("$", r"\$")
