"""What mutants say of the specs, on the terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from gradaudit.mutation.mutants import Mutant
from gradaudit.mutation.score import Mutation, OpMutation
from gradaudit.mutation.trial import Trial
from gradaudit.report import numbers
from gradaudit.report.visible import visible
from gradaudit.results import MutantCounts

SCHEMA = 1

COLOURS = {"+": "green", "-": "red", "@": "cyan"}
"""Colours of the lines of a diff, by how they begin."""


def print_mutation(mutation: Mutation, console: Console) -> None:
    """Print a row for each op, every survivor as a diff, and what could not be tried."""
    for op in mutation.ops:
        for mutant, trial in op.survivors:
            console.print(_survivor(op, mutant, trial), soft_wrap=True)
            console.print()
    if mutation.ops:
        console.print(_table(mutation))
    for line in _remarks(mutation):
        console.print(line, soft_wrap=True)


def _table(mutation: Mutation) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Op", "Mutants", "Killed", "Survived", "Equivalent", "Score"):
        table.add_column(heading, justify="left" if heading == "Op" else "right")
    for op in mutation.ops:
        table.add_row(*_cells(f"{op.module}/{op.op}", op.counts))
    table.add_row(*_cells("TOTAL", mutation.total), style="bold")
    return table


def _cells(name: str, counts: MutantCounts) -> list[Text | str]:
    survived = Text(f"{counts.survived:,}", style="red" if counts.survived else "dim")
    fates = (f"{counts.killed:,}", survived, f"{counts.equivalent:,}")
    return [Text(visible(name)), f"{counts.telling + counts.equivalent:,}", *fates, numbers.score(counts)]


def _survivor(op: OpMutation, mutant: Mutant, trial: Trial) -> Text:
    place = f"{mutant.file}:{mutant.line}"
    text = Text(visible(f"{op.op}: {mutant.fault} in {mutant.function} survived ({place})"), style="bold")
    for line in mutant.diff.splitlines():
        text.append("\n  ").append(visible(line), style=f"not bold {COLOURS.get(line[:1], '')}".strip())
    if trial.case:
        nearest = f"nearest: {trial.case}, where the largest error is {numbers.short(trial.ratio)} of the tolerance"
        if trial.ratio > 1:
            nearest += ", within what a kink or forward's precision allows"
        text.append("\n  ").append(visible(nearest), style="not bold")
    return text


def _remarks(mutation: Mutation) -> Iterator[Text]:
    for op in mutation.ops:
        if op.unexpected:
            count = numbers.counted(len(op.unexpected), "case")
            said = f"{op.op}: {count} not as the spec expects, even without a fault; the first is {op.unexpected[0]}"
            yield Text(visible(said), style="yellow")
    for name, reason in mutation.failing:
        yield Text(visible(f"{name} was not mutated: it fails by itself. {reason}"), style="yellow")
    for name, reason in mutation.skipped:
        yield Text(visible(f"{name} was not mutated: {reason}"), style="yellow")
    if mutation.interrupted:
        yield Text(f"Interrupted after {numbers.counted(len(mutation.ops), 'op')}", style="yellow")


def mutation_document(mutation: Mutation) -> dict[str, Any]:
    """Return the whole outcome as plain data."""
    return {
        "schema": SCHEMA,
        "summary": _counted(mutation.total),
        "ops": [
            {
                "op": op.op,
                "module": op.module,
                **_counted(op.counts),
                "unexpected": list(op.unexpected),
                "mutants": [_document(mutant, trial) for mutant, trial in op.tried],
            }
            for op in mutation.ops
        ],
        "failing": [{"op": op, "reason": reason} for op, reason in mutation.failing],
        "skipped": [{"op": op, "reason": reason} for op, reason in mutation.skipped],
        "interrupted": mutation.interrupted,
    }


def _counted(counts: MutantCounts) -> dict[str, Any]:
    fates = {"killed": counts.killed, "survived": counts.survived, "equivalent": counts.equivalent}
    return {"mutants": counts.telling + counts.equivalent, **fates, "score": counts.percent if counts.telling else None}


def _document(mutant: Mutant, trial: Trial) -> dict[str, Any]:
    return {
        "fate": str(trial.fate),
        "fault": mutant.fault,
        "function": mutant.function,
        "file": mutant.file,
        "line": mutant.line,
        "diff": mutant.diff,
        "case": trial.case or None,
        "ratio": trial.ratio if math.isfinite(trial.ratio) else None,
        "cause": trial.cause,
    }


def progress_bar(console: Console) -> Progress:
    """Return a bar for a console that someone looks at."""
    columns = (
        TextColumn("mutating"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[op]}", style="dim", markup=False),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.file.isatty())
