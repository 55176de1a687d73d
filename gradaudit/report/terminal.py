"""The terminal's report: progress while the run lasts, what did not end as expected, and a summary."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gradaudit.engine.events import (
    CaseDone,
    CaseFinished,
    CasesRecalled,
    CasesSkipped,
    CaseStarted,
    DepthMeasured,
    Event,
    KnownFailuresCompared,
    RepairsFound,
    RunFinished,
    RunShared,
    RunStarted,
)
from gradaudit.report import numbers
from gradaudit.report.baseline import known_failure_lines
from gradaudit.report.depth import depth_lines
from gradaudit.report.explanation.glyphs import glyphs_for
from gradaudit.report.failures import Failure, closing_list, gathered, in_a_line
from gradaudit.report.learning import learning_lines
from gradaudit.report.mismatch import block, case_blocks
from gradaudit.report.tally import Row, Tally
from gradaudit.report.visible import visible
from gradaudit.results import Result, Verdict

if TYPE_CHECKING:
    from rich.progress import Progress

    from gradaudit.repair.repairs import Repairs

ROW = re.compile(r"  (Index |\([\d, ]*\) )")
"""How the rows of a mismatch table begin."""

SLOWEST = 3
"""How many of the slowest cases the summary names."""

ROOM = 60
"""Lines that a whole report should take, so that it is read: what failed is shown in full as far as they go."""

SUMMARY_LINES = 9
"""Lines of them that the end takes, besides one for each module and each op that failed."""

FEW_ROWS = 3
"""Rows of a table that is shortened so that more can be shown."""

COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow", Verdict.ERROR: "magenta"}


class TerminalReport:
    """A handler of events that writes to a console.

    Args:
        console: where to write; colour and width are its own.
        max_rows: rows of a mismatch table.
        quiet: whether to leave out progress, tables and summary: one line for each gradient that did not end as
            expected, and one for the run.
        verbose: whether to show each of them in full as soon as it is known. Else the first op that fails is, and at
            the end as many others as ``ROOM`` holds.

    Attributes:
        kept_in: where the run is recorded, if that is to be said.

    """

    def __init__(self, console: Console, *, max_rows: int = 10, quiet: bool = False, verbose: bool = False) -> None:
        self._console = console
        self._max_rows = max_rows
        self._quiet = quiet
        self._verbose = verbose
        self._failed: list[Result] = []
        self._at_work: dict[str, float] = {}
        self._known: KnownFailuresCompared | None = None
        self._dtypes: dict[str, set[str]] = {}
        self._current: list[Result] = []
        self._held: list[Failure] = []
        self._shown = 0
        self._tally = Tally()
        self._depths: list[DepthMeasured] = []
        self._repairs: list[Repairs] = []
        self._trained: list[Result] = []
        self._planned = 0
        self.kept_in = ""
        self._progress: Progress | None = None

    def __call__(self, event: Event) -> None:
        """Write what an event calls for."""
        self._tally(event)
        match event:
            case CasesSkipped():
                self._pass_over(event)
            case CasesRecalled() | RunShared() if not self._quiet:
                self._console.print(Text(_narrowed(event)), soft_wrap=True)
            case RunStarted():
                self._start(event)
            case CaseStarted() | CaseDone():
                self._follow(event)
            case CaseFinished():
                self._trained += [result for result in event.results if result.training]
                self._tell(event)
            case DepthMeasured():
                self._depths.append(event)
            case KnownFailuresCompared():
                self._known = event
            case RepairsFound():
                self._repairs.append(event.repairs)
            case RunFinished():
                self._finish(event)

    def _print_part(self, lines: Iterable[str]) -> None:
        """Print a part of the summary, if there is any: a heading, and lines that are indented."""
        for k, line in enumerate(lines):
            text = Text(visible(line), style="" if line.startswith(" ") else "bold")
            self._console.print(Text("\n").append(text) if k == 0 else text, soft_wrap=True)

    def _start(self, event: RunStarted) -> None:
        self._planned = event.cases
        if self._console.file.isatty() and not self._quiet:  # FORCE_COLOR makes Rich call a pipe a terminal
            from gradaudit.report.progress import progress_bar

            self._progress = progress_bar(self._console, event.cases, self._at_work)
            self._progress.start()

    def _follow(self, event: CaseStarted | CaseDone) -> None:
        """Keep what is at work, and show how far the run is."""
        if isinstance(event, CaseStarted):
            self._at_work[event.id] = time.monotonic()
            return
        self._at_work.pop(event.id, None)
        if self._progress:
            self._progress.update(self._progress.task_ids[0], completed=event.done, id=event.id)

    def _pass_over(self, event: CasesSkipped) -> None:
        said = f"skipped: {event.needs} is not installed ({numbers.counted(event.cases, 'case')}; {event.install})"
        self._console.print(Text(said, style="yellow"), soft_wrap=True)

    def _tell(self, event: CaseFinished) -> None:
        for result in event.results:
            self._dtypes.setdefault(result.op, set()).add(result.dtype)
        self._failed += [result for result in event.results if not result.expected]
        if self._verbose and not self._quiet:
            for lines in case_blocks(event.results, self._max_rows):
                self._show([*lines, ""])
        else:
            self._hold(event.results)

    def _hold(self, results: Sequence[Result]) -> None:
        """Tell of what failed of an op once all of its cases are known: its first failure, if it is the first of all.

        The others are kept for the end. Quietly each has its line at once.

        Args:
            results: those of a case; none at the end of the run.

        """
        if self._current and (not results or results[0].op != self._current[0].op):
            failures = gathered(self._current)
            self._current = []
            if self._quiet:
                for failure in failures:
                    self._show([in_a_line(failure)])
                failures = []
            if failures and not self._shown:
                lines = _failure_block(failures.pop(0), self._max_rows)
                self._show(lines)
                self._shown = sum(len(self._fitted(line)) for line in lines)
            self._held += failures
        self._current += [result for result in results if not result.expected]

    def _show_what_fits(self, room: int) -> bool:
        """Show what was kept, with shorter tables where not all of it fits; return whether all of it was shown."""
        for rows in (self._max_rows, min(self._max_rows, FEW_ROWS)):
            blocks = [_failure_block(failure, rows) for failure in self._held]
            lengths = [sum(len(self._fitted(line)) for line in lines) for lines in blocks]
            if everything := sum(lengths) <= room:
                break
        for lines, length in zip(blocks, lengths, strict=True):
            if length <= room:
                self._show(lines)
                room -= length
        return everything

    def _show(self, lines: Iterable[str]) -> None:
        """Print lines in one piece: the progress bar is drawn anew below whatever is printed."""
        self._console.print(Text("\n").join(part for line in lines for part in self._fitted(line)), soft_wrap=True)

    def _fitted(self, line: str) -> list[Text]:
        """Return a line of a block, wrapped where it is prose; what is searched for in logs stays in one piece."""
        line = visible(line)
        heads = not line.startswith(" ")
        lines = [line]
        if not ROW.match(line) and not (heads and (self._quiet or not self._console.file.isatty())):
            indent = " " * (len(line) - len(line.lstrip()) + (4 if heads else 2))
            width = max(self._console.width, 40)
            lines = textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        texts = [Text(part, style="bold" if heads else "") for part in lines or [""]]
        for text in texts:
            for status, colour in (("FAIL", "red"), (r"INCONCL\.|INCONCLUSIVE", "yellow")):
                text.highlight_regex(rf"(?<= )({status})$", f"bold {colour}")
        return texts

    def _finish(self, event: RunFinished) -> None:
        if self._progress:
            self._progress.stop()
        self._hold(())
        closing = list(closing_list(self._failed, self._dtypes, max(self._console.width, 40)))
        room = ROOM - len(closing) - len(self._tally.modules) - SUMMARY_LINES
        everything = self._show_what_fits(room - self._shown)
        if event.interrupted:
            done = f"after {self._tally.total.cases:,} of {self._planned:,} cases" if self._planned else "at the start"
            self._console.print(Text(f"Interrupted {done}", style="yellow"))
        if not self._quiet and self._tally.total.cases:
            self._console.print(_summary_table(self._tally))
            self._console.print()
            for k, (seconds, where) in enumerate(self._tally.slowest(SLOWEST)):
                heading = "Slowest:" if k == 0 else ""
                self._console.print(Text(f"{heading:8} {seconds:.2f} s  {visible(where)}"), soft_wrap=True)
        if self._known and (self._known.mended or not self._quiet):
            self._print_part(known_failure_lines(self._known))
        if self._repairs:
            from gradaudit.report.repairs import repair_lines

            for found in self._repairs:
                self._print_part([f"Repair of {found.op}", *(f"  {line}" for line in repair_lines(found))])
        if not self._quiet:
            self._print_part(depth_lines(self._depths) if self._depths else ())
            self._print_part(learning_lines(self._trained, glyphs_for(self._console.encoding)))
            self._print_part(_closing(closing, everything=everything))
        if self.kept_in and self._tally.total.cases and not self._quiet:
            self._console.print(Text(f"Recorded in {visible(self.kept_in)}", style="dim"), soft_wrap=True)
        self._console.print(_conclusion(self._tally, event), soft_wrap=not self._console.file.isatty())


def _narrowed(event: CasesRecalled | RunShared) -> str:
    """Say which cases of all the run audits."""
    if isinstance(event, RunShared):
        by = "recorded seconds" if event.measured else "number of elements"
        of = f"{event.cases:,} of {numbers.counted(len(event.planned), 'case')}"
        return f"Shard {event.number}/{event.of}: {of}, balanced by {by}"
    have = "has" if event.cases == 1 else "have"
    done = "not audited again" if event.reported else "left out"
    return f"{numbers.counted(event.cases, 'case')} recorded before {have} not changed: {done}"


def _failure_block(failure: Failure, max_rows: int) -> list[str]:
    return [*block(failure.first, max_rows, failure.likewise), ""]


def _closing(lines: Sequence[str], *, everything: bool) -> Iterator[str]:
    """Yield the closing list with its heading, which says how to see what was left out."""
    if lines:
        more = "" if everything else "; -v shows all in full, 'gradaudit explain OP' one"
        yield f"Not as expected: {numbers.counted(len(lines), 'op')}{more}"
        yield from lines


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
    return [
        Text(visible(name)),
        f"{len(row.ops)}",
        f"{row.cases:,}",
        *verdicts,
        f"{row.forwards:,}",
        f"{row.seconds:.2f} s",
    ]


_SHOWN = (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.ERROR)


def _count(count: int, colour: str) -> Text:
    return Text(f"{count:,}", style=colour if count else "dim")


def _conclusion(tally: Tally, event: RunFinished) -> Text:
    total = tally.total
    gradients = sum(total.verdicts.values())
    text = Text(f"{numbers.counted(gradients, 'gradient')}, {numbers.counted(len(total.ops), 'op')}, ")
    seeds = f" with {tally.seeds:,} seeds each" if tally.seeds else ""
    text.append(f"{numbers.counted(total.cases, 'case')}{seeds}: ")
    found = [verdict for verdict in _SHOWN if total.verdicts[verdict]]
    for k, verdict in enumerate(found):
        text.append(", " if k else "").append(
            f"{total.verdicts[verdict]:,} {verdict}", style=f"bold {COLOURS[verdict]}"
        )
        if verdict is Verdict.FAIL and tally.expected_failures:
            text.append(f" ({tally.expected_failures:,} as expected)")
    if not found:
        text.append("nothing was audited", style="bold yellow")
    if tally.skipped:
        text.append(", ").append(f"{tally.skipped:,} skipped", style="yellow")
    cost = numbers.seconds(event.seconds)
    if total.forwards:
        forwards, backwards = numbers.counted(total.forwards, "forward"), numbers.counted(total.backwards, "backward")
        cost = f"{forwards} and {backwards}, {cost}"
    return text.append(f" ({cost})")
