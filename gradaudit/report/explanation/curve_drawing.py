"""The step-size curve as lines of characters, both axes logarithmic, 80 columns wide."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gradaudit.explain.curve import StepCurve
from gradaudit.report import numbers
from gradaudit.report.explanation.glyphs import Glyphs

WIDTH = 66
"""Columns of the plot itself."""

MAX_HEIGHT = 20
"""Most rows of the plot itself; a decade takes two, one, or half of one."""

MAX_TICKS = 7
"""Most numbers below the horizontal axis."""

MARGIN = 8
"""Columns to the left of it, for the numbers of its axis."""

LABEL_EVERY = 4
"""Rows from one number on the vertical axis to the next."""


class _Grid:
    """Cells addressed by a step and an error."""

    def __init__(self, steps: tuple[float, float], decades: tuple[int, int]) -> None:
        self._first, self._last = math.log2(steps[0]), math.log2(steps[1])
        self._low, high = decades
        span = high - self._low
        self._rows_per_decade = 2.0 if 2 * span < MAX_HEIGHT else 1.0 if span < MAX_HEIGHT else MAX_HEIGHT / span
        self._cells = [[" "] * WIDTH for _ in range(round(span * self._rows_per_decade) + 1)]

    def column(self, step: float) -> int:
        """Return the column of a step."""
        share = (math.log2(step) - self._first) / ((self._last - self._first) or 1.0)
        return min(max(round(share * (WIDTH - 1)), 0), WIDTH - 1)

    def row(self, error: float) -> int:
        """Return the row of an error, counted from the highest; the lowest for what lies below it."""
        height = (math.log10(error) - self._low) * self._rows_per_decade if error > 0 else 0.0
        return len(self._cells) - 1 - round(min(max(height, 0.0), len(self._cells) - 1.0))

    def mark(self, step: float, error: float, glyph: str) -> None:
        """Put a character where a step and an error meet."""
        self._cells[self.row(error)][self.column(step)] = glyph

    def draw_across(self, error: float, glyph: str) -> None:
        """Draw a line at an error."""
        self._cells[self.row(error)] = [glyph] * WIDTH

    def draw_down(self, step: float, glyph: str) -> None:
        """Draw a line at a step."""
        for row in self._cells:
            row[self.column(step)] = glyph

    def lines(self, glyphs: Glyphs) -> Iterable[str]:
        """Return the rows with the numbers of their axis."""
        for k, row in enumerate(self._cells):
            above = len(self._cells) - 1 - k
            label = f"1e{round(self._low + above / self._rows_per_decade):+03d}" if above % LABEL_EVERY == 0 else ""
            yield f"{label:>{MARGIN - 2}} {glyphs.vertical}{''.join(row)}".rstrip()


def draw_curve(curve: StepCurve, glyphs: Glyphs) -> tuple[str, ...]:
    """Return the drawing with its axes and legend."""
    steps = (curve.points[0].step, curve.points[-1].step)
    low, high = decades(curve)
    grid = _Grid(steps, (low, high))
    if _drawn(curve.tolerance):
        grid.draw_across(curve.tolerance, glyphs.tolerance)
    if shows_claim(curve):
        grid.draw_across(curve.difference, glyphs.claim)
    grid.draw_down(curve.chosen_step, glyphs.chosen)
    for point in curve.points:
        if point.rounding >= 10.0**low:
            grid.mark(point.step, point.rounding, glyphs.noise)
    for point in curve.points:
        grid.mark(point.step, point.error, glyphs.truncation if point.branch == "truncation" else glyphs.rounding)
    return (
        " " * (MARGIN - 1) + "error of a central difference",
        *grid.lines(glyphs),
        " " * (MARGIN - 1) + glyphs.corner + glyphs.horizontal * WIDTH,
        _ticks(grid, steps),
        "",
        *_legend(curve, glyphs),
    )


def shows_claim(curve: StepCurve) -> bool:
    """Whether what the claim is off by is drawn: where it is more than what is allowed."""
    return _drawn(curve.difference) and curve.difference > curve.tolerance


def _drawn(value: float) -> bool:
    return 0.0 < value < math.inf


def decades(curve: StepCurve) -> tuple[int, int]:
    """Return the powers of ten between which everything that is drawn lies."""
    values = [point.error for point in curve.points] + [curve.tolerance]
    values += [max(point.rounding for point in curve.points)] + ([curve.difference] if shows_claim(curve) else [])
    powers = [math.log10(value) for value in values if _drawn(value)] or [0.0]
    low, high = math.floor(min(powers)), math.ceil(max(powers))
    return low, max(high, low + 1)


def _ticks(grid: _Grid, steps: tuple[float, float]) -> str:
    """Return the numbers below the horizontal axis, powers of ten."""
    line = [" "] * (MARGIN + WIDTH)
    first, last = math.ceil(math.log10(steps[0])), math.floor(math.log10(steps[1]))
    for power in range(first, last + 1, -(-(last - first + 1) // MAX_TICKS)):
        label = f"1e{power:+03d}"
        start = min(MARGIN + grid.column(10.0**power), len(line) - len(label))
        line[start : start + len(label)] = label
    return "".join(line).rstrip()


def _legend(curve: StepCurve, glyphs: Glyphs) -> Iterable[str]:
    yield f"across: step  {glyphs.rounding} roundoff dominates  {glyphs.truncation} truncation dominates"
    yield f"{glyphs.noise} noise floor: the error from forward's roundoff at that step"
    yield (
        f"{glyphs.chosen} step chosen: {step_in_words(curve.chosen_step)}  "
        f"{glyphs.tolerance} tolerance: {curve.tolerance:.1e}"
    )
    if shows_claim(curve):
        yield f"{glyphs.claim} backward and the numerical gradient differ by: {curve.difference:.1e}"


def step_in_words(step: float) -> str:
    """Write a step as the power of two that it is, and as a decimal number."""
    mantissa, exponent = math.frexp(step)
    return f"2^{exponent - 1} = {step:.1e}" if mantissa == 0.5 else numbers.short(step)
