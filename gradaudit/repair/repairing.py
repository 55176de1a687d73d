"""Repairs in a run: searched for at its end, for every op that has a wrong gradient."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from gradaudit.engine.events import CaseFinished, Event, Handler, RepairsFound, RunFinished
from gradaudit.repair.in_worker import search_repairs
from gradaudit.repair.repair import SECONDS
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Case


class Repairing:
    """A handler of events that searches for repairs before the end of a run, and passes all events on.

    Args:
        emit: told of everything.
        cases: the cases of the run.
        jobs: 0 for this process instead of one of its own.
        seconds: time for each op.

    """

    def __init__(
        self, emit: Handler, cases: Sequence[Case], *, jobs: int | None = None, seconds: float = SECONDS
    ) -> None:
        self._emit = emit
        self._jobs = jobs
        self._seconds = seconds
        self._cases: dict[str, list[Case]] = defaultdict(list)
        for case in cases:
            self._cases[case.op].append(case)
        self._results: dict[str, list[Result]] = defaultdict(list)

    def __call__(self, event: Event) -> None:
        """Note results; search where the run has ended by itself."""
        if isinstance(event, CaseFinished):
            for result in event.results:
                self._results[result.op].append(result)
        elif isinstance(event, RunFinished) and not event.interrupted:
            try:
                self._search()
            except KeyboardInterrupt:
                event = replace(event, interrupted=True)
        self._emit(event)

    def _search(self) -> None:
        for op, results in self._results.items():
            if any(_is_wrong(result) for result in results):
                found = search_repairs(self._cases[op], results, seconds=self._seconds, jobs=self._jobs)
                self._emit(RepairsFound(found))


def _is_wrong(result: Result) -> bool:
    return not result.expected and result.verdict in (Verdict.FAIL, Verdict.ERROR)
