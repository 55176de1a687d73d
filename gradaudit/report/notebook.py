"""Results as HTML, for notebooks: what was found for each input, its worst indices, and a map of where they lie."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

from gradaudit.explain.heat_map import HeatMap, heat_map
from gradaudit.report import numbers
from gradaudit.report.failures import UNEXPLAINED
from gradaudit.report.mismatch import is_cause, is_unexplained
from gradaudit.results import Mismatch, Result, Verdict

COLOURS = {
    Verdict.PASS: "#1a7f37",
    Verdict.INCONCLUSIVE: "#9a6700",
    Verdict.FAIL: "#cf222e",
    Verdict.ERROR: "#8250df",
}
"""Dark enough to be read on white, light enough to be read on black."""

CELL = 10
"""Pixels of a cell of a map."""

DARKEST = 4.0
"""Decades above the tolerance at which a cell is as dark as it gets."""


def results_html(results: Sequence[Result], shapes: Mapping[str, tuple[int, ...]], max_rows: int) -> str:
    """Return results as HTML without scripts or styles of its own.

    Args:
        results: those of one case.
        shapes: the shape of each input.
        max_rows: rows of a table of wrong indices.

    """
    heading = ("input", "verdict", "indices", "wrong", "resolution", "forwards")
    parts = [_table(heading, [_summary(result) for result in results])]
    for result in results:
        parts += _detail(result, shapes.get(result.input, ()), max_rows)
    return f"<div>{''.join(parts)}</div>"


def _summary(result: Result) -> tuple[str, ...]:
    verdict = f'<b style="color:{COLOURS[result.verdict]}">{result.verdict}</b>'
    resolution = "" if math.isnan(result.resolution) else f"{result.resolution:.1e}"
    looked = f"{result.checked:,} of {result.size:,}"
    return escape(result.input), verdict, looked, f"{result.wrong:,}", resolution, f"{result.evaluations:,}"


def _detail(result: Result, shape: tuple[int, ...], max_rows: int) -> Iterator[str]:
    said = [
        f"{'likely cause: ' if is_cause(finding) else ''}<b>{escape(finding.code)}</b>: {escape(finding.message)}"
        for finding in sorted(result.findings, key=lambda finding: not is_cause(finding))
    ]
    if is_unexplained(result):
        said.append(UNEXPLAINED + " found")
    if result.message and result.message not in {finding.message for finding in result.findings}:
        said.insert(0, escape(result.message))
    if not said:
        return
    yield f"<p><b>{escape(result.op)}</b> w.r.t. <b>{escape(result.input)}</b></p>"
    yield "".join(f'<p style="white-space:pre-wrap;margin:0 0 0.4em 0">{line}</p>' for line in said)
    if result.mismatches:
        heading = ("index", "analytical", "numerical", "difference", "tolerance")
        yield _table(heading, [_row(mismatch) for mismatch in result.mismatches[:max_rows]])
    if (heat := heat_map(result, shape)) is not None:
        yield _map(heat)


def _row(mismatch: Mismatch) -> tuple[str, ...]:
    values = (mismatch.analytical, mismatch.numerical, mismatch.difference)
    return str(mismatch.index), *map(numbers.column, values), numbers.tolerance(mismatch.tolerance)


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{word}</th>" for word in heading)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _map(heat: HeatMap) -> str:
    height, width = len(heat.cells) * CELL, len(heat.cells[0]) * CELL
    cells = "".join(
        f'<rect x="{column * CELL}" y="{row * CELL}" width="{CELL}" height="{CELL}" fill="{_shade(ratio)}">'
        f"<title>{_place(heat, row, column)}: {ratio:.2g} x tolerance</title></rect>"
        for row, line in enumerate(heat.cells)
        for column, ratio in enumerate(line)
        if ratio > 0
    )
    frame = f'<rect width="{width}" height="{height}" fill="#eee" stroke="#888"/>'
    svg = f'<svg width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">{frame}{cells}</svg>'
    return f"{svg}<p>wrong indices, leading axes stacked, last axis across</p>{_scale(heat)}"


def _scale(heat: HeatMap) -> str:
    """Return a row of boxes, each with how many times the tolerance an error of its colour is."""
    blank = "right" if heat.complete else "right, or not tested"
    steps = [(_shade(10.0**k), f"{10**k:,}") for k in range(int(DARKEST) + 1)]
    boxes = [
        f'<span style="background:{colour};border:1px solid #888">&#160;&#160;&#160;</span> {word}'
        for colour, word in (("#eee", blank), *steps)
    ]
    return f"<p>difference over tolerance: {' '.join(boxes)} and more</p>"


def _place(heat: HeatMap, row: int, column: int) -> str:
    first, _ = heat.row_indices(row)
    return ", ".join(map(str, (*first, column * heat.block[1])))


def _shade(ratio: float) -> str:
    """Return a red that darkens with the decades above the tolerance."""
    depth = min(math.log10(max(ratio, 1.0)) / DARKEST, 1.0) if math.isfinite(ratio) else 1.0
    return f"rgb({round(250 - 130 * depth)},{round(170 * (1 - depth))},{round(140 * (1 - depth))})"
