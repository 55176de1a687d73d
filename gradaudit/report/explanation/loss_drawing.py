"""A training as lines of characters: the loss, and below it the norm of each parameter's gradient in one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gradaudit.report.explanation.glyphs import Glyphs
from gradaudit.results import Measured, Result

WIDTH = 60
"""Columns of the plot itself."""

HEIGHT = 12
"""Rows of the plot itself."""

MARGIN = 10
"""Columns to the left of it, for the numbers of its axis."""

LABEL_EVERY = 3
"""Rows from one number on the vertical axis to the next."""

LOGARITHMIC_FROM = 20.0
"""Where the largest loss is this many times the least, its axis is logarithmic: the end would be a flat line."""

SPARK = 24
"""Most characters of a curve in one line."""

MOST_NORMS = 40
"""Parameters whose gradients are drawn."""


def draw_losses(training: Sequence[Measured], glyphs: Glyphs) -> tuple[str, ...]:
    """Return the loss against epochs, with the accuracy in one line below where it was measured."""
    finite = [made for made in training if math.isfinite(made.loss)]
    if not finite:
        return ("the loss was never finite",)
    low, high = min(made.loss for made in finite), max(made.loss for made in finite)
    logarithmic = low > 0.0 and high / low >= LOGARITHMIC_FROM
    scale: Callable[[float], float] = math.log10 if logarithmic else float
    bottom, span = scale(low), (scale(high) - scale(low)) or 1.0
    last = training[-1].epoch or 1
    cells = [[" "] * WIDTH for _ in range(HEIGHT)]
    for made in finite:
        row = HEIGHT - 1 - round((scale(made.loss) - bottom) / span * (HEIGHT - 1))
        cells[row][round(made.epoch / last * (WIDTH - 1))] = glyphs.point

    def label(row: int) -> str:
        value = bottom + span * (HEIGHT - 1 - row) / (HEIGHT - 1)
        shown = row % LABEL_EVERY == 0 or row == HEIGHT - 1
        return f"{10.0**value if logarithmic else value:.3g}" if shown else ""

    rows = [f"{label(k):>{MARGIN - 2}} {glyphs.vertical}{''.join(row)}".rstrip() for k, row in enumerate(cells)]
    indent = " " * (MARGIN - 1)
    return (
        f"{indent}loss over all data{', logarithmic' if logarithmic else ''}",
        *rows,
        indent + glyphs.corner + glyphs.horizontal * WIDTH,
        f"{indent} 0{f'epoch {training[-1].epoch}':>{WIDTH - 1}}",
        *_broken_off(training),
        *_accuracy_line(training, glyphs),
    )


def _broken_off(training: Sequence[Measured]) -> tuple[str, ...]:
    lost = next((made for made in training if not math.isfinite(made.loss)), None)
    return (f"{' ' * MARGIN}not finite from epoch {lost.epoch} on",) if lost else ()


def _accuracy_line(training: Sequence[Measured], glyphs: Glyphs) -> tuple[str, ...]:
    made = [one.accuracy for one in training if one.accuracy is not None]
    return (f"{' ' * MARGIN}accuracy {spark(made, glyphs)} {made[0]:.3g} to {made[-1]:.3g}",) if made else ()


def draw_norms(parameters: Sequence[Result], glyphs: Glyphs) -> tuple[str, ...]:
    """Return the norm of each parameter's gradient against steps, a line each, all on one logarithmic scale."""
    shown = parameters[:MOST_NORMS]
    bounds = norm_bounds(shown)
    if not bounds:
        return ()
    low, high = bounds
    width = max(len(result.input) for result in shown)
    said = f"norms of gradients, from the first step to the last ({low:.0e} to {high:.0e}, logarithmic)"
    more = (f"and {len(parameters) - MOST_NORMS} more",) if len(parameters) > MOST_NORMS else ()
    rows = [f"{one.input:{width}}  {_norms_in_line(one.gradient_norms, low, high, glyphs)}" for one in shown]
    return ("", said, *rows, *more)


def norm_bounds(parameters: Sequence[Result]) -> tuple[float, float] | None:
    """Return the least and the largest norm above zero; None where there is none."""
    found = [norm for one in parameters for norm in one.gradient_norms if 0.0 < norm < math.inf]
    return (min(found), max(found)) if found else None


def _norms_in_line(norms: Sequence[float], low: float, high: float, glyphs: Glyphs) -> str:
    scaled = [math.log10(max(norm, low)) if math.isfinite(norm) else norm for norm in norms]
    curve = spark(scaled, glyphs, (math.log10(low), math.log10(high)))
    went = f"{norms[0]:.1e} to {norms[-1]:.1e}" if any(norms) else "zero at every step"
    return f"{curve}  {went}"


def spark(values: Sequence[float], glyphs: Glyphs, bounds: tuple[float, float] | None = None) -> str:
    """Return numbers as one line of characters, high for great ones; a question mark for what is not finite.

    Args:
        values: the numbers.
        glyphs: what to draw with.
        bounds: what the lowest and the highest character stand for; default: the least and the greatest number.

    """
    stride = -(-len(values) // SPARK)
    chosen = [*values[:-1][::stride], *values[-1:]]
    finite = [value for value in chosen if math.isfinite(value)]
    low, high = bounds or (min(finite, default=0.0), max(finite, default=0.0))
    top = len(glyphs.heights) - 1

    def height(value: float) -> str:
        return glyphs.heights[round((value - low) / ((high - low) or 1.0) * top)] if math.isfinite(value) else "?"

    return "".join(map(height, chosen))
