"""The loss curve of a training as lines of characters, and in one line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gradaudit.report.explanation.glyphs import Glyphs
from gradaudit.results import Measured

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


def spark(values: Sequence[float], glyphs: Glyphs) -> str:
    """Return numbers as one line of characters, high for great ones; a question mark for what is not finite."""
    stride = -(-len(values) // SPARK)
    chosen = [*values[:-1][::stride], *values[-1:]]
    finite = [value for value in chosen if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    top = len(glyphs.heights) - 1

    def height(value: float) -> str:
        return glyphs.heights[round((value - low) / ((high - low) or 1.0) * top)] if math.isfinite(value) else "?"

    return "".join(map(height, chosen))
