"""The coverage of a project on the terminal."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradaudit.coverage.model import Coverage, ModuleRow, OpCoverage
from gradaudit.report import numbers
from gradaudit.report.coverage_columns import Share, thoroughness, thoroughness_headings
from gradaudit.report.coverage_levels import (
    PYRAMID,
    lacking,
    level_cells,
    level_headings,
    pyramid_cells,
)
from gradaudit.report.terminal import COLOURS
from gradaudit.report.visible import visible
from gradaudit.results import Verdict

SHOWN_MISSING = 50
"""Backward passes without a spec that are listed; the page lists them all."""

GAP = 2
"""Columns between two of a table."""

WRAPPED = ("Inputs", "Verdicts")
"""Columns of the table of ops whose cells may take several lines."""

FULL, HALF = 100, 50
"""Percentages from which coverage is green, and yellow."""


def print_coverage(coverage: Coverage, console: Console) -> None:
    """Print the table of modules, the pyramid, a row for each op, and what is missing and stale."""
    console.print(_module_table(coverage))
    if coverage.levels:
        console.print()
        console.print(_pyramid(coverage))
    if coverage.ops:
        console.print()
        console.print(_op_table(coverage.ops, console))
    for line in _lists(coverage):
        console.print(line, soft_wrap=not console.file.isatty())


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0))
    for heading in headings:
        right = heading.endswith(":")
        # A name that is too long goes on in the next line: what is cut cannot be looked for.
        table.add_column(heading.removesuffix(":"), justify="right" if right else "left", overflow="fold")
    return table


def _module_table(coverage: Coverage) -> Table:
    extra = level_headings(coverage)
    table = _table("Module", "Backward Passes:", "With Gradient Check:", "Coverage:", *extra)
    for row in coverage.modules:
        table.add_row(*_module_cells(row), *level_cells(row, extra))
    table.add_row(*_module_cells(coverage.total), *level_cells(coverage.total, extra), style="bold")
    return table


def _module_cells(row: ModuleRow) -> list[Text | str]:
    colour = "green" if row.percent >= FULL else "yellow" if row.percent >= HALF else "red"
    return [Text(visible(row.module)), f"{row.passes:,}", f"{row.checked:,}", Text(f"{row.percent}%", style=colour)]


def _pyramid(coverage: Coverage) -> Table:
    table = _table(*PYRAMID)
    for row in coverage.levels:
        table.add_row(*pyramid_cells(row), style="" if row.cases.expected == row.cases.total else "yellow")
    return table


def _op_table(ops: Sequence[OpCoverage], console: Console) -> Table:
    """Return a row for each op, without the columns that leave no room for names where the console is narrow."""
    extra = thoroughness_headings(ops)
    rows = [_op_cells(op, extra) for op in ops]
    for without in ({None}, {"Inputs"}):  # names of parameters may be longer than all the rest
        for dropped in (None, "Missed:", "Error/tol.:", "Findings", *extra, "Cases:", "Audited"):
            without = {*without, dropped}
            shown = [heading for heading in rows[0] if heading not in without]
            table = _table(*shown)
            for heading, column in zip(shown, table.columns, strict=True):
                column.no_wrap = heading not in WRAPPED
            for row in rows:
                table.add_row(*(row[heading] for heading in shown))
            if sum(_least_width(heading, rows) + GAP for heading in shown) - GAP <= console.width:
                return table
    table.columns[0].no_wrap = False
    return table


def _least_width(heading: str, rows: Sequence[Mapping[str, Text | str]]) -> int:
    """Return the width of a column below which words are broken, or lines where those stay whole."""
    texts = [heading.removesuffix(":"), *(str(row[heading]) for row in rows)]
    parts = [part for text in texts for part in (text.split() if heading in WRAPPED else [text])]
    return max(map(cell_len, parts), default=0)


def _op_cells(op: OpCoverage, extra: Sequence[str]) -> dict[str, Text | str]:
    ratio = _greatest(row.worst_ratio for row in op.inputs)
    missed = _greatest(row.miss_probability for row in op.inputs)
    return {
        "Op": Text(visible(f"{op.module}/{op.op}")),
        "Inputs": Text(visible(numbers.listed([row.input for row in op.inputs]))),
        "Verdicts": _verdicts(op),
        "Cases:": str(max((row.cases for row in op.inputs), default=0)),
        "Error/tol.:": "-" if math.isnan(ratio) else f"{ratio:.2g}",
        "Missed:": "-" if math.isnan(missed) else f"{missed:.0g}",
        **dict(zip(extra, map(_share, thoroughness(op, extra)), strict=True)),
        "Findings": Text(", ".join(code for code, _ in op.findings)),
        "Audited": _audited(op),
    }


def _share(share: Share | None) -> Text:
    if share is None:
        return Text("-")
    full = share.part == share.whole and not share.stale
    return Text(f"{share.part}/{share.whole}{' stale' if share.stale else ''}", style="" if full else "yellow")


def _greatest(values: Iterator[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _verdicts(op: OpCoverage) -> Text:
    """Return each verdict with the dtypes that ended with it, all of them together where there is one verdict."""
    by_verdict: dict[Verdict | None, list[str]] = {}
    for row in op.inputs:
        for dtype, verdict in row.verdicts.items():
            dtypes = by_verdict.setdefault(verdict, [])
            if dtype not in dtypes:
                dtypes.append(dtype)
    text = Text()
    for k, (verdict, dtypes) in enumerate(by_verdict.items()):
        text.append("; " if k else "").append(
            str(verdict or "not audited"), style=COLOURS[verdict] if verdict else "dim"
        )
        if len(by_verdict) > 1 or verdict is not Verdict.PASS:
            text.append(f" {', '.join(dtypes)}")
    return text


def _audited(op: OpCoverage) -> Text:
    if op.audited is None:
        return Text("skipped" if op.skipped else "never", style="yellow")
    text = Text(f"{op.audited.astimezone():%Y-%m-%d %H:%M}")
    return text.append(" stale", style="yellow") if op.stale else text


def _lists(coverage: Coverage) -> Iterator[Text]:
    if tried := coverage.mutants:
        yield Text(f"\n{tried.killed:,} of {numbers.counted(tried.telling, 'mutant')} killed: {numbers.score(tried)}")
    if gaps := list(lacking(coverage)):
        yield Text("")
        yield from (Text(visible(gap)) for gap in gaps)
    if coverage.missing:
        count = numbers.counted(len(coverage.missing), "backward pass", "backward passes")
        yield Text(f"\n{count} without a spec ('gradaudit init FILE:LINE' drafts one):")
        for _, one in coverage.missing[:SHOWN_MISSING]:
            yield Text(visible(f"  {one.place}: {one.name} ({one.kind})"))
        if (more := len(coverage.missing) - SHOWN_MISSING) > 0:
            yield Text(f"  and {more:,} more")
    if coverage.stale:
        yield Text(f"\n{numbers.counted(len(coverage.stale), 'op')} stale:")
        yield from (Text(visible(f"  {op.op}: {'; '.join(op.stale)}")) for op in coverage.stale)
    for framework, ops in Counter(op.needs for op in coverage.skipped).items():
        yield Text(f"skipped: {framework} is not installed ({numbers.counted(ops, 'op')})", style="yellow")
    for trouble in coverage.troubles:
        yield Text(visible(f"not searched: {trouble}"))
    if not coverage.total.passes:
        yield Text(f"no backward passes were found in {numbers.counted(coverage.files, 'file')}")
