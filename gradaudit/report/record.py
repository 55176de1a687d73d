"""Recording a run in the store while it happens."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from gradaudit.engine.events import CaseDone, CasesTold, DepthMeasured, Event, RunFinished, RunShared, RunStarted
from gradaudit.store.records import Circumstances, DepthRecord, Provenance
from gradaudit.store.schema import StoreError, open_to_write, transaction
from gradaudit.store.write import add_depths, add_results, begin_run, finish_run


class Recorder:
    """A handler of events that records every case as it ends, those that end together in one transaction.

    A store that cannot be written does not end the run: ``problem`` says then why nothing more was recorded.

    Args:
        path: the store.
        circumstances: what the run is made with.
        provenances: what each case's results are about, by the case's id.
        states: a hash of what each op's cases are about together, by the op.

    """

    def __init__(
        self,
        path: Path,
        circumstances: Circumstances,
        provenances: Mapping[str, Provenance],
        states: Mapping[str, str],
    ) -> None:
        self.problem = ""
        self._path = path
        self._circumstances = circumstances
        self._provenances = provenances
        self._states = states
        self._opened = ExitStack()
        self._connection: sqlite3.Connection | None = None
        self._run = 0
        self._done: list[CaseDone] = []

    def __call__(self, event: Event) -> None:
        """Record what an event tells, unless recording has failed before."""
        if self.problem:
            return
        try:
            self._record(event)
        except StoreError as error:
            self._give_up(str(error))
        except sqlite3.Error as error:
            self._give_up(f"{self._path} cannot be written: {error}")

    def _record(self, event: Event) -> None:
        if isinstance(event, RunShared):
            self._circumstances = replace(self._circumstances, planned=event.planned)
        elif isinstance(event, RunStarted):
            self._connection = self._opened.enter_context(open_to_write(self._path))
            self._run = begin_run(self._connection, self._circumstances)
        elif self._connection is None:
            return  # the run ended before it began
        elif isinstance(event, CaseDone):
            self._done.append(event)
        elif isinstance(event, CasesTold):
            self._add(self._connection)
        elif isinstance(event, DepthMeasured):
            add_depths(self._connection, self._run, [DepthRecord(event.op, self._states[event.op], event.functions)])
        elif isinstance(event, RunFinished):
            self._add(self._connection)
            finish_run(self._connection, self._run, interrupted=event.interrupted)
            self.close()

    def _add(self, connection: sqlite3.Connection) -> None:
        if not self._done:
            return
        with transaction(connection):
            for event in self._done:
                about = self._provenances[event.id]
                add_results(connection, self._run, about, event.results, event.check_evaluations)
        self._done.clear()

    def _give_up(self, problem: str) -> None:
        self.problem = problem
        self.close()

    def close(self) -> None:
        """Let go of the store; what was recorded stays."""
        self._connection = None
        self._opened.close()
