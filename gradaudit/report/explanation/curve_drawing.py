"""The step-size curve as lines of characters, both axes logarithmic, 80 columns wide."""

from __future__ import annotations

import math
from collections.abc import Iterable

from gradaudit.explain.curve import StepCurve
from gradaudit.report import numbers
from gradaudit.report.explanation.glyphs import Glyphs

WIDTH = 66
"""Columns of the plot itself."""

HEIGHT = 16
"""Rows of the plot itself."""

MARGIN = 8
"""Columns to the left of it, for the numbers of its axis."""

LABEL_EVERY = 3
"""Rows from one number on the vertical axis to the next."""


class _Grid:
    """Cells addressed by a step and an error."""

    def __init__(self, steps: tuple[float, float], decades: tuple[int, int]) -> None:
        self._first, self._last = math.log2(steps[0]), math.log2(steps[1])
        self._low, self._high = decades
        self._cells = [[" "] * WIDTH for _ in range(HEIGHT)]

    def column(self, step: float) -> int:
        """Return the column of a step."""
        share = (math.log2(step) - self._first) / ((self._last - self._first) or 1.0)
        return min(max(round(share * (WIDTH - 1)), 0), WIDTH - 1)

    def row(self, error: float) -> int:
        """Return the row of an error; the lowest for none."""
        height = math.log10(error) - self._low if error > 0 else 0.0
        return HEIGHT - 1 - min(max(round(height / (self._high - self._low) * (HEIGHT - 1)), 0), HEIGHT - 1)

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
            exponent = self._high - k * (self._high - self._low) / (HEIGHT - 1)
            label = f"1e{round(exponent):+03d}" if k % LABEL_EVERY == 0 else ""
            yield f"{label:>{MARGIN - 2}} {glyphs.vertical}{''.join(row)}".rstrip()


def draw_curve(curve: StepCurve, glyphs: Glyphs) -> tuple[str, ...]:
    """Return the drawing with its axes and legend."""
    steps = (curve.points[0].step, curve.points[-1].step)
    grid = _Grid(steps, _decades(curve))
    if _drawn(curve.tolerance):
        grid.draw_across(curve.tolerance, glyphs.tolerance)
    if shows_claim(curve):
        grid.draw_across(curve.difference, glyphs.claim)
    grid.draw_down(curve.chosen_step, glyphs.chosen)
    for point in curve.points:
        if point.rounding > 0:
            grid.mark(point.step, point.rounding, glyphs.noise)
    for point in curve.points:
        grid.mark(point.step, point.error, glyphs.truncation if point.branch == "truncation" else glyphs.rounding)
    return (
        " " * MARGIN + "error of a central difference",
        *grid.lines(glyphs),
        " " * (MARGIN - 1) + glyphs.corner + glyphs.horizontal * WIDTH,
        _ticks(grid, steps),
        "",
        *_legend(curve, glyphs),
    )


def shows_claim(curve: StepCurve) -> bool:
    """Whether what the claim is off by is drawn: where it is more than nothing can be known of."""
    return _drawn(curve.difference) and curve.difference > curve.tolerance


def _drawn(value: float) -> bool:
    return 0.0 < value < math.inf


def _decades(curve: StepCurve) -> tuple[int, int]:
    values = [point.error for point in curve.points] + [point.rounding for point in curve.points]
    values += [curve.tolerance] + ([curve.difference] if shows_claim(curve) else [])
    powers = [math.log10(value) for value in values if _drawn(value)] or [0.0]
    low, high = math.floor(min(powers)), math.ceil(max(powers))
    return low, max(high, low + 1)


def _ticks(grid: _Grid, steps: tuple[float, float]) -> str:
    """Return the numbers below the horizontal axis: a power of ten where there is room for one."""
    line = [" "] * (MARGIN + WIDTH + 6)
    first, last = math.ceil(math.log10(steps[0])), math.floor(math.log10(steps[1]))
    for power in range(first, last + 1, max(1, (last - first) // 6)):
        label = f"1e{power:+03d}"
        start = MARGIN + grid.column(10.0**power)
        line[start : start + len(label)] = label
    return "".join(line).rstrip()[: MARGIN + WIDTH + 5] + " step"


def _legend(curve: StepCurve, glyphs: Glyphs) -> list[str]:
    entries = [f"{glyphs.rounding} rounding rules", f"{glyphs.truncation} truncation rules"]
    entries.append(f"{glyphs.noise} noise floor: forward's rounding over the step")
    lines = ["  ".join(entries)]
    second = [f"{glyphs.chosen} step chosen: {step_in_words(curve.chosen_step)}"]
    second.append(f"{glyphs.tolerance} tolerance: {curve.tolerance:.1e}")
    lines.append("  ".join(second))
    if shows_claim(curve):
        lines.append(f"{glyphs.claim} what backward is off by: {curve.difference:.1e}")
    return [" " * MARGIN + line for line in lines]


def step_in_words(step: float) -> str:
    """Write a step as the power of two that it is, and as a decimal number."""
    mantissa, exponent = math.frexp(step)
    return f"2^{exponent - 1} = {step:.1e}" if mantissa == 0.5 else numbers.short(step)
