"""Two small plots of a project's coverage, as SVG that is the same for the same coverage."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from gradaudit.coverage.model import Coverage, OpCoverage
from gradaudit.report.coverage_markdown import RATIO_STEPS, ratio_step

WIDTH, LEFT, RIGHT = 720, 250, 60
ROW, TOP, BOTTOM = 18, 34, 12
"""Sizes in pixels: of the plot, of the names to the left and the numbers to the right, of a row and of the margins."""

MAX_NAME = 34
"""Characters of a name that fit to the left."""

INK, GRID, GOOD, PART, BAD = "#767676", "#d0d0d0", "#3a9d5d", "#d4a017", "#c8452f"
"""Colours that read on a light and on a dark page."""


def modules_plot(coverage: Coverage) -> str:
    """Return bars of the share of backward passes with a spec, by module."""
    rows = [*coverage.modules, coverage.total]
    span = WIDTH - LEFT - RIGHT
    body = []
    for k, row in enumerate(rows):
        y = TOP + k * ROW
        colour = GOOD if row.percent == 100 else PART if row.checked else BAD
        body += [
            _name(row.module, y),
            f'<rect x="{LEFT}" y="{y + 3}" width="{span}" height="{ROW - 6}" fill="{GRID}" fill-opacity="0.4"/>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{span * row.percent // 100}" height="{ROW - 6}" fill="{colour}"/>',
            _text(WIDTH - RIGHT + 6, y, f"{row.checked}/{row.passes}"),
        ]
    return _svg("Backward passes with a gradient check, by module", len(rows), body)


def errors_plot(coverage: Coverage) -> str:
    """Return a point for the worst error over tolerance of each op, on the steps that the page rounds it up to."""
    audited = [(op, ratio) for op in coverage.ops if not math.isnan(ratio := _worst(op))]
    span = (WIDTH - LEFT - RIGHT) / (len(RATIO_STEPS) + 1)
    bottom = TOP + len(audited) * ROW
    body = []
    for k, label in enumerate([*(f"\u2264 {step:g}" for step in RATIO_STEPS), "&gt; 1"], 1):
        x = LEFT + k * span
        body += [
            f'<line x1="{x:.0f}" y1="{TOP}" x2="{x:.0f}" y2="{bottom}" stroke="{GRID}"/>',
            f'<text x="{x:.0f}" y="{TOP - 4}" text-anchor="middle">{label}</text>',
        ]
    for k, (op, ratio) in enumerate(audited):
        y, colour = TOP + k * ROW, GOOD if ratio <= 1 else BAD
        x = LEFT + span * (ratio_step(ratio) + 1)
        body += [
            _name(f"{op.module}/{op.op}", y),
            f'<line x1="{LEFT}" y1="{y + ROW / 2:.0f}" x2="{x:.0f}" y2="{y + ROW / 2:.0f}" stroke="{colour}"/>',
            f'<circle cx="{x:.0f}" cy="{y + ROW / 2:.0f}" r="4" fill="{colour}"/>',
        ]
    return _svg("Worst error / tolerance by op, rounded up", len(audited), body)


def _worst(op: OpCoverage) -> float:
    return max((row.worst_ratio for row in op.inputs if not math.isnan(row.worst_ratio)), default=math.nan)


def _name(name: str, y: int) -> str:
    short = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."
    return f'<text x="{LEFT - 8}" y="{y + ROW - 5}" text-anchor="end">{_clean(short)}</text>'


def _text(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y + ROW - 5}">{_clean(text)}</text>'


def _clean(text: str) -> str:
    return escape("".join(char if char.isprintable() else "?" for char in text))


def _svg(title: str, rows: int, body: Sequence[str]) -> str:
    return "\n".join(_lines(title, TOP + rows * ROW + BOTTOM, body)) + "\n"


def _lines(title: str, height: int, body: Sequence[str]) -> Iterator[str]:
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    yield f'  font-family="sans-serif" font-size="12" fill="{INK}" role="img">'
    yield f"<title>{title}</title>"
    yield f'<text x="8" y="14" font-weight="bold">{title}</text>'
    yield from body
    yield "</svg>"
