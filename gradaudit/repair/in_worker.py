"""A search for repairs in a process of its own: an edit may hang, or take the process with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from gradaudit.engine.executor import Executor, InProcess, Lost, Task
from gradaudit.engine.pool import workers
from gradaudit.repair.repair import AUDIT_SECONDS, SECONDS, repair
from gradaudit.repair.repairs import Repairs
from gradaudit.results import Result
from gradaudit.spec.case import Case
from gradaudit.spec.model_targets import FlowTarget, LearningTarget, ModelTarget

SLACK = 4 * AUDIT_SECONDS
"""Seconds beyond the search for the audits of what it found, after which the process is ended."""


def search_repairs(
    cases: Sequence[Case], results: Iterable[Result], *, seconds: float = SECONDS, jobs: int | None = None
) -> Repairs:
    """Search for repairs of an op.

    Args:
        cases: all of its cases.
        results: how they ended; of a case with several seeds, those of the seed that is told of are searched.
        seconds: time for the search.
        jobs: 0 for this process instead of one of its own.

    """
    op = cases[0].op
    if isinstance(cases[0].target, (ModelTarget, FlowTarget, LearningTarget)):
        return Repairs(op, (), "it is a model: 'gradaudit explain' names the wrong step, which can be repaired")
    ids = {(case.name, case.dtype): case.id for case in cases}
    results = list(results)
    cases = [_as_shown(case, results) for case in cases]
    ended = {(ids[made.case, made.dtype], made.input): made for made in results}
    place: AbstractContextManager[Executor] = nullcontext(InProcess()) if jobs == 0 else workers(1, seconds + SLACK)
    with place as tasks:
        for _, outcome in tasks.map(repair, [Task((tuple(cases), ended, seconds))]):
            return Repairs(op, (), f"the search was lost: {outcome.cause}") if isinstance(outcome, Lost) else outcome
    return Repairs(op, (), "the search was not started")


def _as_shown(case: Case, results: Sequence[Result]) -> Case:
    """Return a case with the seed, of several, of the first of its gradients that did not end as expected."""
    own = [made for made in results if (made.case, made.dtype) == (case.name, case.dtype) and made.draws]
    wrong = [made.seed for made in own if not made.expected and made.seed is not None]
    return replace(case, seed=wrong[0] if wrong else case.seed, seeds=())
