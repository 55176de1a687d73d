"""The summary of a step of GitHub Actions: a page of Markdown that the run's own page shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gradaudit.engine.events import CaseFinished, Event, KnownFailuresCompared, RunFinished
from gradaudit.report import numbers
from gradaudit.report.failures import Failure, cause_of, gathered
from gradaudit.report.github import seen_from_workspace
from gradaudit.report.markdown import code, escaped, table
from gradaudit.report.tally import Tally
from gradaudit.results import Result, Verdict

MOST_ROWS = 200
"""Failures that are listed: GitHub takes no more than a mebibyte."""

MOST_TEXT = 500
"""Characters of a cause that are shown."""

SIGNS = {Verdict.PASS: "❌", Verdict.FAIL: "❌", Verdict.INCONCLUSIVE: "⚠️", Verdict.ERROR: "💥"}
"""What stands beside a gradient that did not end as expected; a pass may be one that was expected to fail."""


class StepSummary:
    """A handler of events that adds a summary to the file that GitHub names, when the run ends.

    A file that cannot be written is no failure of the run: ``problem`` says why then.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        self._path = path
        self._tally = Tally()
        self._results: list[Result] = []
        self._known: KnownFailuresCompared | None = None

    def __call__(self, event: Event) -> None:
        """Collect results; write them at the end."""
        self._tally(event)
        if isinstance(event, CaseFinished):
            self._results += event.results
        elif isinstance(event, KnownFailuresCompared):
            self._known = event
        elif isinstance(event, RunFinished):
            text = "\n".join(summary_lines(self._tally, self._results, self._known, event))
            try:
                with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                    file.write(text + "\n")
            except OSError as error:
                self.problem = f"{self._path} cannot be written: {error.strerror or error}"


def summary_lines(
    tally: Tally, results: Sequence[Result], known: KnownFailuresCompared | None, ended: RunFinished
) -> Iterator[str]:
    """Yield the lines of the page: a verdict, counts by module, and what did not end as expected."""
    total = tally.total
    worst = max(tally.unexpected, key=lambda verdict: verdict.severity, default=None)
    counted = ", ".join(f"{total.verdicts[verdict]:,} {verdict}" for verdict in Verdict if total.verdicts[verdict])
    yield f"## {SIGNS[worst] if worst else '✅'} Gradients: {counted or 'nothing was audited'}"
    yield ""
    extent = f"{numbers.counted(len(total.ops), 'op')}, {numbers.counted(total.cases, 'case')}"
    interrupted = ", interrupted" if ended.interrupted else ""
    yield f"{extent}, {numbers.seconds(ended.seconds)}{interrupted}"
    if failures := [failure for own in _by_op(results) for failure in gathered(own)]:
        yield from ("", "### Not as expected", "")
        yield from table(("", "Op", "With respect to", "Likely cause", "Where"), map(_row, failures[:MOST_ROWS]))
        if (more := len(failures) - MOST_ROWS) > 0:
            yield from ("", f"and {more:,} more")
    if known:
        yield from ("", f"{numbers.counted(known.known, 'known failure')} of {code(known.path)}")
        if known.mended:
            yield from ("", f"Fixed: {', '.join(map(escaped, known.mended[:MOST_ROWS]))}")
    yield from ("", "<details><summary>By module</summary>", "")
    heading = ("Module", "Ops:", "Cases:", *(f"{verdict}:" for verdict in Verdict))
    rows = [
        (escaped(name), f"{len(row.ops)}", f"{row.cases:,}", *(f"{row.verdicts[verdict]:,}" for verdict in Verdict))
        for name, row in tally.modules.items()
    ]
    yield from table(heading, rows)
    yield from ("", "</details>", "")


def _by_op(results: Sequence[Result]) -> list[list[Result]]:
    found: dict[str, list[Result]] = {}
    for result in results:
        found.setdefault(result.op, []).append(result)
    return list(found.values())


def _row(failure: Failure) -> tuple[str, ...]:
    first = failure.first
    cause = cause_of(first)
    named = "" if cause.code == str(first.verdict) else f"{code(cause.code)} "
    file, line = (first.source.file, first.source.line) if first.source else first.location.rpartition(":")[::2]
    place = code(f"{seen_from_workspace(file)}:{line}") if file else ""
    said = cause.message if len(cause.message) <= MOST_TEXT else f"{cause.message[:MOST_TEXT]} ..."
    return SIGNS[first.verdict], code(first.op), code(first.input), f"{named}{escaped(said)}", place
