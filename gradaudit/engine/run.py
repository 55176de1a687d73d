"""A run: every case audited once, in worker processes or in this one, each told of in the order of the plan."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from math import prod
from operator import itemgetter

from gradaudit.audit.conclusion import Audit, failed_audit, joined, passes, with_draw
from gradaudit.engine.audit import audit_case, parts_of
from gradaudit.engine.events import (
    CaseDone,
    CaseFinished,
    CasesSkipped,
    CaseStarted,
    CasesTold,
    Handler,
    RunFinished,
    RunStarted,
)
from gradaudit.engine.executor import Executor, ExecutorError, InProcess, Lost, Task
from gradaudit.engine.imports import look_up
from gradaudit.engine.interrupt import held, told_apart
from gradaudit.spec.case import Case
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import Specs
from gradaudit.targets.frameworks import install_command, missing_framework, preloaded

DEFAULT_TIMEOUT = 60.0
"""Seconds that a case may take before it is stopped."""

OVERTIME = 0.3
"""Part of the time limit after which a case is ended whose op does not answer: till then it may say what is known."""


def run_specs(
    specs: Specs,
    emit: Handler,
    *,
    jobs: int | None = None,
    timeout: float | None = None,
    audit: Callable[..., Audit] = audit_case,
    recalled: Mapping[str, Audit] | None = None,
    began: float | None = None,
    elsewhere: AbstractContextManager[Executor] | None = None,
    apart: Set[str] = frozenset(),
) -> None:
    """Audit every case of the specs and emit what happens.

    Ctrl-C ends the run at once: the cases audited by then are still emitted, and ``RunFinished`` says so.

    Args:
        specs: what to audit.
        emit: called with each event, in this process.
        jobs: worker processes; None for one for each core, 0 for none: everything happens in this process.
        timeout: seconds that a case may take; None for the default, and for any number without workers. Without them it
            is kept between two calls of the op only.
        audit: audits a case, in a worker, in so many ``seconds``.
        recalled: audits that were made before, by the id of their case, and are told of instead of being made again.
        began: since when the run is taken to last, as ``time.perf_counter`` tells; None for now.
        elsewhere: another executor than worker processes, ``jobs`` and ``timeout`` being its own.
        apart: ids of cases whose gradients are tasks of their own, each with the time that a case may take.

    Raises:
        SpecError: where there is no module or function that the specs name.
        ExecutorError: where the executor is gone; what was audited by then has been emitted.

    """
    began = time.perf_counter() if began is None else began
    specs = _auditable(specs, emit)
    telling = _Telling(specs.cases, emit)
    interrupted = False
    count = min(cores() if jobs is None else jobs, max(1, len(specs.cases)))

    def begun(task: Task) -> None:
        if isinstance(task.arguments[0], Case):
            emit(CaseStarted(task.arguments[0].id))

    seconds = timeout if timeout or not (count or elsewhere) else DEFAULT_TIMEOUT
    lost: ExecutorError | None = None
    known = recalled or {}
    try:
        with told_apart(), elsewhere or _here(count, timeout or DEFAULT_TIMEOUT, begun, telling.told) as executor:
            imports = look_up(replace(specs, cases=tuple(c for c in specs.cases if c.id not in known)), executor)
            if imports.problems:
                raise SpecError(imports.problems)
            emit(RunStarted(len(specs.cases), len({case.op for case in specs.cases})))
            settled: dict[str, Audit | Lost] = {**known, **{id_: Lost(cause) for id_, cause in imports.broken.items()}}
            outcomes = _outcomes(specs.cases, settled, executor, partial(audit, seconds=seconds), apart)
            for position, outcome in outcomes:
                with held():
                    telling.done(position, _audit(specs.cases[position], outcome))
                    if elsewhere or not count:
                        telling.told()
    except (KeyboardInterrupt, ExecutorError) as error:
        with held():
            interrupted = True
            lost = error if isinstance(error, ExecutorError) else None
            telling.rest(known)
    emit(RunFinished(time.perf_counter() - began, interrupted))
    if lost is not None:
        raise lost


class _Telling:
    """Tells of cases twice: of each when it is done, and in the order of the plan.

    Args:
        cases: the plan.
        emit: called with each event.

    """

    def __init__(self, cases: Sequence[Case], emit: Handler) -> None:
        self._cases = cases
        self._emit = emit
        self._done = 0
        self._audits: dict[int, Audit] = {}
        self._next = 0
        self._more = False

    def done(self, position: int, made: Audit) -> None:
        """Tell of a case that is done, and of those whose turn it is."""
        self._audits[position] = made
        self._done += 1
        self._more = True
        id_, total = self._cases[position].id, len(self._cases)
        self._emit(CaseDone(id_, self._done, total, made.results, made.trace, made.check_evaluations))
        while self._next in self._audits:
            self._finish()

    def told(self) -> None:
        """Tell that no other case is done yet."""
        if self._more:
            self._emit(CasesTold())
        self._more = False

    def rest(self, known: Mapping[str, Audit]) -> None:
        """Tell of all that are done or known, by their id, whether or not those before them are."""
        while self._next < len(self._cases):
            if (made := known.get(self._cases[self._next].id)) is not None:
                self._audits[self._next] = made
            self._finish()

    def _finish(self) -> None:
        made = self._audits.pop(self._next, None)
        if made is not None:
            self._emit(CaseFinished(self._cases[self._next].id, made.results, made.check_evaluations))
        self._next += 1


def _here(
    count: int, timeout: float, begun: Callable[[Task], None], told: Callable[[], None]
) -> AbstractContextManager[Executor]:
    """Return the executor of so many processes of this machine; in this process without any."""
    if not count:
        return nullcontext(InProcess())
    from gradaudit.engine.pool import workers  # with what processes talk by

    return workers(count, timeout, begun, told)


def audit_here(case: Case) -> Audit:
    """Audit one case in this process; whatever its op raises costs the case alone, and Ctrl-C is still the user's."""
    ((_, outcome),) = _outcomes((case,), {}, InProcess(), audit_case, frozenset())
    return _audit(case, outcome)


def _auditable(specs: Specs, emit: Handler) -> Specs:
    """Return the specs without the cases that need a framework which is not installed; tell of those."""
    missing = [missing_framework(case.target) for case in specs.cases]
    for framework, count in Counter(name for name in missing if name is not None).items():
        emit(CasesSkipped(count, framework, install_command(framework)))
    left = (case for case, framework in zip(specs.cases, missing, strict=True) if framework is None)
    return replace(specs, cases=tuple(left))


def _outcomes(
    cases: Sequence[Case],
    settled: Mapping[str, Audit | Lost],
    executor: Executor,
    audit: Callable[[Case], Audit],
    apart: Set[str],
) -> Iterator[tuple[int, Audit | Lost]]:
    """Yield the outcome of each case, by its position; those that are settled, by their id, need no audit."""
    yield from ((k, settled[case.id]) for k, case in enumerate(cases) if case.id in settled)
    left = [k for k, case in enumerate(cases) if case.id not in settled]
    parts = [
        (k, part)
        for k in left
        for part in (parts_of(cases[k]) if cases[k].seeds or cases[k].id in apart else (cases[k],))
    ]
    missing = Counter(k for k, _ in parts)
    audits: dict[int, dict[int, Audit]] = defaultdict(dict)
    drawn: dict[int, Audit] = {}
    for position, outcome in executor.map(audit, [task_of(part) for _, part in parts]):
        k, part = parts[position]
        if part is cases[k]:
            yield k, outcome
            continue
        missing[k] -= 1
        if cases[k].seeds:
            drawn[k] = with_draw(drawn.get(k), part.seed, _audit(part, outcome))
        else:
            audits[k][position] = _audit(part, outcome)
        if missing[k]:
            continue
        if cases[k].seeds:
            yield k, drawn.pop(k)
        else:
            yield k, joined(cases[k], [made for _, made in sorted(audits.pop(k).items(), key=itemgetter(0))])


def task_of(case: Case) -> Task:
    """Return the task of auditing a case, or a part of one: an op's cases may share a process, and no part does."""
    elements = sum(prod(made.shape) for made in case.inputs if case.part is None or made.name in case.audited)
    return Task(
        (case,),
        group=case.op if case.part is None else None,
        preload=preloaded(case.target),
        cost=1.0 + elements,
        overtime=OVERTIME,
        stands=passes if case.part is None else None,
    )


def _audit(case: Case, outcome: Audit | Lost) -> Audit:
    if not isinstance(outcome, Lost):
        return outcome
    audit = failed_audit(case, outcome.cause)
    share = outcome.seconds / len(audit.results)
    return replace(audit, results=tuple(replace(result, seconds=share) for result in audit.results))


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
