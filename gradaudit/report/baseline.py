"""Known failures in a run: as expected for whatever reports it, told of at the end, written down where asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gradaudit.engine.events import CaseFinished, CasesSkipped, Event, Handler, KnownFailuresCompared, RunFinished
from gradaudit.report import numbers
from gradaudit.report.failures import cause_of
from gradaudit.report.files import AtomicFile
from gradaudit.results import Result
from gradaudit.store.baseline import Baseline, Known, baseline_text
from gradaudit.store.records import Subject, subject_of

MOST_NAMED = 20
"""Mended gradients that are named; how many more there are is told."""


class KnownFailures:
    """A handler of events that passes them on, known failures as if they were expected.

    Args:
        emit: what the events are passed on to.
        baseline: the known failures.
        path: the file that they stand in.

    """

    def __init__(self, emit: Handler, baseline: Baseline, path: Path) -> None:
        self._emit = emit
        self._baseline = baseline
        self._path = path
        self._known = 0
        self._mended: list[str] = []

    def __call__(self, event: Event) -> None:
        """Pass an event on, before the last one what became of the known failures."""
        if isinstance(event, CaseFinished):
            event = replace(event, results=tuple(map(self._judged, event.results)))
        elif isinstance(event, RunFinished):
            self._emit(KnownFailuresCompared(str(self._path), self._known, tuple(self._mended)))
        self._emit(event)

    def _judged(self, result: Result) -> Result:
        if self._baseline.mended(result):
            self._mended.append(_named(result))
        if result.expected or not self._baseline.forgives(result):
            return result
        self._known += 1
        return replace(result, expected=True)


class BaselineFile:
    """A handler of events that writes what failed in a run into the file of known failures; ``said`` tells of it.

    Args:
        file: where it is written, when the run ends by itself.
        path: what the file is called.
        before: the known failures so far.
        whole: whether the run audits all there is.

    """

    def __init__(self, file: AtomicFile, path: Path, before: Baseline, *, whole: bool) -> None:
        self.said = f"{path} is unchanged: the run did not finish"
        self._file = file
        self._path = path
        self._before = before
        self._whole = whole
        self._found: dict[Subject, Known] = {}
        self._audited: set[Subject] = set()

    def __call__(self, event: Event) -> None:
        """Collect what failed; write it at the end."""
        if isinstance(event, CasesSkipped):
            self._whole = False
        elif isinstance(event, CaseFinished):
            self._audited |= {subject_of(result) for result in event.results}
            failed = (result for result in event.results if not result.expected)
            self._found |= {subject_of(result): _known(result) for result in failed}
        elif isinstance(event, RunFinished) and not event.interrupted:
            after = self._before.updated(self._found.values(), self._audited, whole=self._whole)
            self._file.write(baseline_text(after))
            added = len(after.known.keys() - self._before.known.keys())
            removed = len(self._before.known.keys() - after.known.keys())
            count = numbers.counted(len(after.known), "known failure")
            self.said = f"{self._path} holds {count} now: {added:,} added, {removed:,} removed"


def known_failure_lines(event: KnownFailuresCompared) -> Iterator[str]:
    """Yield a heading that counts the known failures of a run, and a line for each that is mended; nothing for none."""
    if not (event.known or event.mended):
        return
    mended = f", {len(event.mended):,} fixed: --update-baseline removes them" if event.mended else ""
    yield f"{numbers.counted(event.known, 'known failure')} of {event.path}{mended}"
    more = len(event.mended) - MOST_NAMED
    yield from (f"  fixed  {name}" for name in event.mended[:MOST_NAMED])
    if more > 0:
        yield f"  and {more:,} more"


def _known(result: Result) -> Known:
    return Known(result.op, result.case, result.dtype, result.input, result.verdict, cause_of(result).code)


def _named(result: Result) -> str:
    return f"{result.op} ({result.dtype}, case {result.case}) w.r.t. {result.input}"
