"""A report of all results that is one text, written when the run ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from gradaudit.engine.events import CaseFinished, Event, RunFinished
from gradaudit.report.files import AtomicFile
from gradaudit.results import Result


class ResultsReport(ABC):
    """A handler of events that keeps the results of a run, and writes them to a file when it ends."""

    def __init__(self, file: AtomicFile) -> None:
        self._file = file
        self._results: list[Result] = []

    def __call__(self, event: Event) -> None:
        """Collect results; write them at the end."""
        if isinstance(event, CaseFinished):
            self._results += event.results
        elif isinstance(event, RunFinished):
            self._file.write(self.text(self._results, interrupted=event.interrupted))

    @abstractmethod
    def text(self, results: Sequence[Result], *, interrupted: bool) -> str:
        """Return what the file holds.

        Args:
            results: in the order of the run.
            interrupted: whether cases were left out because of Ctrl-C.

        """
