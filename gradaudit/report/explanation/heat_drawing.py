"""A map of wrong indices as lines of characters that need no colour."""

from __future__ import annotations

from gradaudit.explain.heat_map import HeatMap
from gradaudit.report.explanation.glyphs import Glyphs

LIMITS = (10.0, 100.0, 1e4)
"""Multiples of the tolerance at which a darker shade begins."""

SHADE_LIMITS = ("below 10", "below 100", "below 10,000", "10,000 and more")
"""What the four shades stand for, in words."""

MAX_LABEL = 18
"""Columns for the indices of a row."""


def draw_heat_map(heat: HeatMap, glyphs: Glyphs) -> tuple[str, ...]:
    """Return the map, the indices of its rows and columns beside it, and what its shades mean."""
    labels = [_row_label(heat, row) for row in range(len(heat.cells))]
    width = min(max(len(label) for label in labels), MAX_LABEL)
    blank = glyphs.right if heat.complete else " "
    lines = [f"{'':{width}}  {_across(heat)}"]
    for label, row in zip(labels, heat.cells, strict=True):
        cells = "".join(_shade(cell, blank, glyphs) for cell in row)
        lines.append(f"{label[:width]:>{width}} {glyphs.vertical}{cells}{glyphs.vertical}")
    return (*lines, "", *_legend(heat, glyphs))


def _across(heat: HeatMap) -> str:
    last = heat.shape[-1] - 1
    wide = f", {heat.block[1]} to a character" if heat.block[1] > 1 else ""
    return f"last axis 0 to {last}{wide}"


def _row_label(heat: HeatMap, row: int) -> str:
    first, last = heat.row_indices(row)
    start = ", ".join(map(str, first))
    return f"{start}.." if first != last else start


def _shade(ratio: float, blank: str, glyphs: Glyphs) -> str:
    if ratio == 0.0:
        return blank
    return glyphs.shades[shade_of(ratio)]


def shade_of(ratio: float) -> int:
    """Return which of the four shades a difference over its tolerance has, 0 for the lightest."""
    return sum(ratio >= limit for limit in LIMITS)


def _legend(heat: HeatMap, glyphs: Glyphs) -> list[str]:
    shades = glyphs.shades
    parts = [f"{glyphs.right} right"] if heat.complete else []
    parts += [f"{shades[0]} below 10", f"{shades[1]} below 100", f"{shades[2]} below 1e4", f"{shades[3]} more"]
    lines = ["  ".join(parts) + "  (difference/tolerance)"]
    if not heat.complete:
        lines.append("blank: right, or not tested")
    if heat.block != (1, 1):
        lines.append(f"a character is the worst of {heat.block[0]} x {heat.block[1]} elements")
    return lines
