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
    """Return a point for the worst error over tolerance of each op, the largest first, on a logarithmic scale.

    A point stands on the step that the page rounds it up to; the tolerance is a line, and what lies beyond it fails.
    """
    audited = sorted(
        ((op, ratio_step(ratio)) for op in coverage.ops if not math.isnan(ratio := _worst(op))),
        key=lambda entry: (-entry[1], entry[0].module, entry[0].op),
    )
    bottom = TOP + len(audited) * ROW
    body = [
        part
        for step in RATIO_STEPS[:-1]
        for part in (
            f'<line x1="{_across(step):.0f}" y1="{TOP}" x2="{_across(step):.0f}" y2="{bottom}" stroke="{GRID}"/>',
            f'<text x="{_across(step):.0f}" y="{TOP - 4}" text-anchor="middle">{step:g}</text>',
        )
    ]
    body += [
        f'<text x="{_across(1.0) - 4:.0f}" y="{TOP - 4}" font-weight="bold">tolerance</text>',
        f'<line x1="{_across(1.0):.0f}" y1="{TOP}" x2="{_across(1.0):.0f}" y2="{bottom}" stroke="{BAD}" '
        'stroke-width="2" stroke-dasharray="6 3"/>',
    ]
    for k, (op, step) in enumerate(audited):
        within = step < len(RATIO_STEPS)
        x, y = _across(RATIO_STEPS[step] if within else BEYOND), TOP + k * ROW
        body.append(_name(f"{op.module}/{op.op}", y))
        body.append(_point(x, y + ROW / 2) if within else _cross(x, y + ROW / 2))
    return _svg("Worst error / tolerance by op, rounded up", len(audited), body)


BEYOND = 3.0
"""Where what exceeds its tolerance stands, however far it does."""

LEAST = 0.0005
"""Where the scale begins."""


def _across(ratio: float) -> float:
    """Return the pixel of a ratio of error to tolerance."""
    share = math.log10(ratio / LEAST) / math.log10(BEYOND / LEAST)
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _point(x: float, y: float) -> str:
    return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="4" fill="{GOOD}"/>'


def _cross(x: float, y: float) -> str:
    return f'<path d="M{x - 4:.0f} {y - 4:.0f}l8 8m0 -8l-8 8" stroke="{BAD}" stroke-width="3"/>'


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
