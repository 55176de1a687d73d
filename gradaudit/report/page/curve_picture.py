"""How the error of a central difference depends on its step, in pixels, both axes logarithmic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradaudit.explain.curve import StepCurve
from gradaudit.report.explanation.curve_drawing import decades, shows_claim, step_in_words
from gradaudit.report.page.axis import Axis, Tick

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 340, 62, 24, 12, 44
"""Pixels of the picture, and of the margins for the numbers of its axes."""


@dataclass(frozen=True)
class Line:
    """A line across or down the picture: where, and what it is."""

    place: float
    said: str


@dataclass(frozen=True)
class CurvePicture:
    """A picture.

    Attributes:
        title: what it shows.
        width, height: of the whole.
        frame: x, y, width and height of what lies between the axes.
        rounding, truncation: points where the one or the other error rules.
        noise: the path of the noise floor.
        chosen: the step that the audit chose.
        tolerance: what is allowed; None where that lies outside.
        claim: what backward is off by; None where that is not more than is allowed.
        across, up: ticks of the axes.

    """

    title: str
    width: int
    height: int
    frame: tuple[int, int, int, int]
    rounding: tuple[tuple[float, float], ...]
    truncation: tuple[tuple[float, float], ...]
    noise: str
    chosen: Line
    tolerance: Line | None
    claim: Line | None
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def curve_picture(curve: StepCurve) -> CurvePicture:
    """Return a curve in pixels."""
    first, last = curve.points[0].step, curve.points[-1].step
    low, high = decades(curve)
    across = Axis(first, max(last, 2 * first), LEFT, WIDTH - RIGHT, logarithmic=True)
    up = Axis(10.0**low, 10.0**high, HEIGHT - BOTTOM, TOP, logarithmic=True)
    floor = [(across.at(point.step), up.at(point.rounding)) for point in curve.points if point.rounding > 0.0]
    off = f"backward is off by {curve.difference:.1e}"
    allowed = f"tolerance {curve.tolerance:.1e}"
    return CurvePicture(
        title=f"Error of a central difference against its step, at index {curve.index}",
        width=WIDTH,
        height=HEIGHT,
        frame=(LEFT, TOP, WIDTH - RIGHT - LEFT, HEIGHT - BOTTOM - TOP),
        rounding=_points(curve, "rounding", across, up),
        truncation=_points(curve, "truncation", across, up),
        noise="M" + "L".join(f"{x} {y}" for x, y in floor) if floor else "",
        chosen=Line(across.at(curve.chosen_step), f"step chosen {step_in_words(curve.chosen_step)}"),
        tolerance=Line(up.at(curve.tolerance), allowed) if 0.0 < curve.tolerance < math.inf else None,
        claim=Line(up.at(curve.difference), off) if shows_claim(curve) else None,
        across=across.ticks(),
        up=up.ticks(),
    )


def _points(curve: StepCurve, branch: str, across: Axis, up: Axis) -> tuple[tuple[float, float], ...]:
    return tuple((across.at(each.step), up.at(each.error)) for each in curve.points if each.branch == branch)
