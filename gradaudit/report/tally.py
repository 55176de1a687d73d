"""Counting the results of a run: by verdict, by module, and whether all ended as expected."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from gradaudit.engine.events import CaseFinished, CasesSkipped, Event, RunFinished
from gradaudit.results import Verdict


@dataclass
class Row:
    """What is counted for a module, or for the whole run.

    ``evaluations`` are the forwards spent on gradients, ``forwards`` and ``backwards`` all calls of whole audits.
    """

    ops: set[str] = field(default_factory=set)
    cases: int = 0
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    evaluations: int = 0
    forwards: int = 0
    backwards: int = 0
    seconds: float = 0.0

    def add(self, event: CaseFinished) -> None:
        """Count a case in."""
        self.cases += 1
        self.forwards += event.results[0].forwards
        self.backwards += event.results[0].backwards
        for result in event.results:
            self.ops.add(result.op)
            self.verdicts[result.verdict] += 1
            self.evaluations += result.evaluations
            self.seconds += result.seconds


@dataclass
class Tally:
    """A handler of events that counts.

    Attributes:
        modules: a row for each module, in the order of first appearance.
        total: the row of all.
        check_evaluations: forwards spent on other checks than the gradient's.
        unexpected: results that did not end as their spec says, by verdict.
        expected_failures: failing results of specs that expect them.
        skipped: cases that were not audited because what they need is not installed.
        durations: seconds and id of every case.
        finished: the end of the run, once it came.
        seeds: how many each case was audited with, where they were several.

    """

    modules: dict[str, Row] = field(default_factory=lambda: defaultdict(Row))
    total: Row = field(default_factory=Row)
    check_evaluations: int = 0
    unexpected: Counter[Verdict] = field(default_factory=Counter)
    expected_failures: int = 0
    skipped: int = 0
    durations: list[tuple[float, str]] = field(default_factory=list)
    finished: RunFinished | None = None
    seeds: int = 0

    def __call__(self, event: Event) -> None:
        """Count an event in."""
        if isinstance(event, CaseFinished):
            self._add(event)
        elif isinstance(event, CasesSkipped):
            self.skipped += event.cases
        elif isinstance(event, RunFinished):
            self.finished = event

    def _add(self, event: CaseFinished) -> None:
        self.modules[event.results[0].module].add(event)
        self.total.add(event)
        self.check_evaluations += event.check_evaluations
        self.seeds = max(self.seeds, *(len(result.draws) for result in event.results))
        self.durations.append((sum(result.seconds for result in event.results), event.id))
        for result in event.results:
            if not result.expected:
                self.unexpected[result.verdict] += 1
            elif result.verdict is Verdict.FAIL:
                self.expected_failures += 1

    def slowest(self, count: int) -> list[tuple[float, str]]:
        """Return the seconds and ids of the slowest cases, slowest first."""
        return sorted(self.durations, key=lambda entry: (-entry[0], entry[1]))[:count]

    def as_expected(self, *, allow_inconclusive: bool = False) -> bool:
        """Whether every case ended as its spec says and any was audited; inconclusive ones may be forgiven."""
        if self.skipped and not self.total.cases:
            return False
        return all(allow_inconclusive and verdict is Verdict.INCONCLUSIVE for verdict in self.unexpected)
