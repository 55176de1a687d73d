"""A training as small multiples: the loss, and the norm of each parameter's gradient, in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradaudit.explain.explanation import Training
from gradaudit.report.explanation.loss_drawing import LOGARITHMIC_FROM, MOST_NORMS, norm_bounds
from gradaudit.report.learning import learned
from gradaudit.report.page.axis import Axis, Tick, widened

COLUMNS = 4
"""Panels beside each other."""

WIDTH, HEIGHT, LEFT, TOP = 200, 128, 44, 26
"""Pixels of a panel, and of the margins for its numbers and its name."""

MOST_LETTERS = 21
"""Letters of a name that fit above a panel; of longer ones the end is shown."""


@dataclass(frozen=True)
class Panel:
    """One of the small pictures.

    Attributes:
        name: what it shows, shortened.
        said: its whole name, and how its numbers went.
        frame: x, y, width and height of what lies between its axes.
        path: the curve.
        up: ticks of its axis.
        note: said in its place where there is no curve.

    """

    name: str
    said: str
    frame: tuple[int, int, int, int]
    path: str
    up: tuple[Tick, ...]
    note: str = ""


@dataclass(frozen=True)
class TrainingPicture:
    """All panels, the loss's first, with a title and what their axes are."""

    title: str
    width: int
    height: int
    panels: tuple[Panel, ...]
    legend: str


def training_picture(training: Training) -> TrainingPicture:
    """Return a training in pixels."""
    shown = training.parameters[:MOST_NORMS]
    bounds = norm_bounds(shown)
    losses = [made.loss for made in training.loss.training]
    panels = [_panel(0, "loss", losses, _loss_axis(losses), learned(training.loss))]
    for k, one in enumerate(shown, 1):
        axis = (*_decades(*bounds), True) if bounds else None
        went = f"norm of its gradient {one.gradient_norms[0]:.1e} at first, {one.gradient_norms[-1]:.1e} at last"
        panels.append(_panel(k, one.input, one.gradient_norms, axis, went))
    legend = (
        "Loss over all data against epochs; norm of each parameter's gradient against steps of training, all on one "
        "logarithmic scale."
    )
    if len(training.parameters) > MOST_NORMS:
        legend += f" {len(training.parameters) - MOST_NORMS} more parameters are left out."
    rows = -(-len(panels) // COLUMNS)
    width, height = min(len(panels), COLUMNS) * WIDTH, rows * HEIGHT
    return TrainingPicture("How loss and gradients went", width, height, tuple(panels), legend)


def _panel(k: int, name: str, values: Sequence[float], axis: tuple[float, float, bool] | None, said: str) -> Panel:
    left, top = k % COLUMNS * WIDTH + LEFT, k // COLUMNS * HEIGHT + TOP
    frame = (left, top, WIDTH - LEFT - 12, HEIGHT - TOP - 12)
    short = name if len(name) <= MOST_LETTERS else f"…{name[1 - MOST_LETTERS :]}"
    if axis is None or not any(0.0 < abs(value) < math.inf for value in values):
        return Panel(short, f"{name}: {said}", frame, "", (), "zero at every step" if k else "never finite")
    up = Axis(axis[0], axis[1], top + frame[3], top, logarithmic=axis[2])
    across = Axis(0.0, max(len(values) - 1, 1), left, left + frame[2])
    points = [(across.at(j), up.at(value)) if math.isfinite(value) else None for j, value in enumerate(values)]
    ticks = up.ticks()
    return Panel(short, f"{name}: {said}", frame, _path(points), (ticks[0], ticks[-1]) if len(ticks) > 1 else ticks)


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """Return a line through points, broken where one is missing."""
    made, drawing = "", False
    for point in points:
        made += "" if point is None else f"{'L' if drawing else 'M'}{point[0]} {point[1]}"
        drawing = point is not None
    return made


def _loss_axis(losses: Sequence[float]) -> tuple[float, float, bool] | None:
    finite = [loss for loss in losses if math.isfinite(loss)]
    if not finite:
        return None
    low, high = min(finite), max(finite)
    if low > 0.0 and high / low >= LOGARITHMIC_FROM:
        return (*_decades(low, high), True)
    return (*widened(low, high), False)


def _decades(low: float, high: float) -> tuple[float, float]:
    """Return the powers of ten around a range."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return 10.0**first, 10.0 ** max(last, first + 1)
