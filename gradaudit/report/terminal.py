"""The terminal's report: progress while the run lasts, what did not end as expected, and a summary."""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from gradaudit.engine.events import CaseDone, CaseFinished, Event, RunFinished, RunStarted
from gradaudit.report import numbers
from gradaudit.report.mismatch import case_blocks
from gradaudit.report.tally import Row, Tally
from gradaudit.results import Verdict

SLOWEST = 3
"""How many of the slowest cases the summary names."""

COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow", Verdict.ERROR: "magenta"}


class TerminalReport:
    """A handler of events that writes to a console.

    Args:
        console: where to write; colour and width are its own.
        max_rows: rows of a mismatch table.
        quiet: whether to leave out progress, tables and summary: one line for each case that did not end as
            expected, and one for the run.

    """

    def __init__(self, console: Console, *, max_rows: int = 10, quiet: bool = False) -> None:
        self._console = console
        self._max_rows = max_rows
        self._quiet = quiet
        self._tally = Tally()
        self._progress: Progress | None = None

    def __call__(self, event: Event) -> None:
        """Write what an event calls for."""
        self._tally(event)
        match event:
            case RunStarted():
                self._start(event)
            case CaseDone() if self._progress:
                self._progress.update(self._progress.task_ids[0], completed=event.done, id=event.id)
            case CaseFinished():
                self._tell(event)
            case RunFinished():
                self._finish(event)

    def _start(self, event: RunStarted) -> None:
        if self._console.is_terminal and not self._quiet:
            columns = (
                TextColumn("auditing"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[id]}", style="dim"),
            )
            self._progress = Progress(*columns, console=self._console, transient=True)
            self._progress.add_task("", total=event.cases, id="")
            self._progress.start()

    def _tell(self, event: CaseFinished) -> None:
        for block in case_blocks(event.results, self._max_rows):
            for line in block[:1] if self._quiet else block:
                self._print(line)
            if not self._quiet:
                self._print("")

    def _print(self, line: str) -> None:
        wrap = line.startswith("  ") and "FAIL" not in line and "UNDECIDED" not in line
        width = max(self._console.width, 40)
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        lines = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False) if wrap else [line]
        for part in lines or [""]:
            self._console.print(_coloured(part), soft_wrap=True)

    def _finish(self, event: RunFinished) -> None:
        if self._progress:
            self._progress.stop()
        if event.interrupted:
            self._console.print(Text("Interrupted: what follows counts the cases audited by then.", style="yellow"))
        if not self._quiet and self._tally.total.cases:
            self._console.print(_summary_table(self._tally))
            slowest = ", ".join(f"{where} ({seconds:.2f} s)" for seconds, where in self._tally.slowest(SLOWEST))
            self._console.print(Text(f"\nSlowest: {slowest}"))
        self._console.print(_conclusion(self._tally, event))


def _coloured(line: str) -> Text:
    text = Text(line)
    if not line.startswith(" ") and ": " in line:
        text.stylize("bold")
    for word, colour in (("FAIL", "red"), ("UNDECIDED", "yellow")):
        text.highlight_words([word], f"bold {colour}")
    return text


def _summary_table(tally: Tally) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("Module", "Ops", "Cases", "Pass", "Fail", "Inconcl.", "Error", "Forwards", "Time"):
        table.add_column(heading, justify="left" if heading == "Module" else "right", no_wrap=heading != "Module")
    for module, row in tally.modules.items():
        table.add_row(*_cells(module, row))
    table.add_row(*_cells("TOTAL", tally.total), style="bold")
    return table


def _cells(name: str, row: Row) -> list[Text | str]:
    verdicts = [_count(row.verdicts[verdict], COLOURS[verdict]) for verdict in _SHOWN]
    return [name, f"{len(row.ops)}", f"{row.cases:,}", *verdicts, f"{row.evaluations:,}", f"{row.seconds:.2f} s"]


_SHOWN = (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR)


def _count(count: int, colour: str) -> Text:
    return Text(f"{count:,}", style=colour if count else "dim")


def _conclusion(tally: Tally, event: RunFinished) -> Text:
    total = tally.total
    gradients = sum(total.verdicts.values())
    text = Text(f"{numbers.counted(gradients, 'gradient')} of {numbers.counted(len(total.ops), 'op')} audited in ")
    text.append(f"{numbers.counted(total.cases, 'case')}: ")
    parts = [
        (f"{total.verdicts[verdict]:,} {said}", COLOURS[verdict])
        for verdict, said in zip(_SHOWN, ("right", "wrong", "not decidable", "in error"), strict=True)
        if total.verdicts[verdict]
    ] or [("none", "yellow")]
    for k, (said, colour) in enumerate(parts):
        text.append(", " if k else "").append(said, style=f"bold {colour}")
    if tally.expected_failures:
        text.append(f" ({tally.expected_failures:,} wrong as their specs expect)")
    return text.append(f" ({numbers.seconds(event.seconds)})")
