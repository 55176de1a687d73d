"""Mutating ops and trying the mutants, in worker processes: this one never runs what was mutated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradaudit.coverage.reach import reach_finder
from gradaudit.engine.audit import Audit, audit_case, failed_audit
from gradaudit.engine.imports import unimportable
from gradaudit.engine.pool import Workers, workers
from gradaudit.engine.run import cores
from gradaudit.engine.worker import Lost
from gradaudit.mutation.mutants import Mutant, backward_of, mutants_of
from gradaudit.mutation.score import Mutation, OpMutation
from gradaudit.mutation.trial import Fate, Trial, ending, try_mutant
from gradaudit.spec.case import Case, PythonTarget
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import Specs

DEFAULT_TIMEOUT = 10.0
"""Seconds that a mutant may take, all cases together: thirty times what most take; those that loop wait for it."""

Progress = Callable[[int, int, str], None]
"""Called with how many mutants were tried, of how many, and the op of the last."""


@dataclass(frozen=True)
class Plan:
    """An op with its cases and its mutants."""

    op: str
    cases: tuple[Case, ...]
    mutants: tuple[Mutant, ...]


def mutate_specs(
    specs: Specs, folders: Sequence[Path], *, jobs: int | None, timeout: float, progress: Progress
) -> Mutation:
    """Try every mutant of every op of the specs.

    Ctrl-C ends it at once: ops whose mutants were all tried by then are in what is returned.

    Args:
        specs: what to mutate, and what to hold the mutants to.
        folders: where the project's modules are, the last being what files are named from.
        jobs: worker processes; None for one for each core.
        timeout: seconds that a mutant may take.
        progress: told of every mutant.

    Raises:
        SpecError: where a module or function that the specs name cannot be imported.

    """
    plans, skipped = _planned(specs.cases, folders)
    audits: dict[str, Audit] = {}
    trials: dict[tuple[str, int], Trial] = {}
    interrupted = False
    try:
        with workers(cores() if jobs is None else jobs, timeout) as tasks:
            if problems := unimportable(specs, tasks.map):
                raise SpecError(problems)
            for case, audit in _audited([case for plan in plans for case in plan.cases], tasks):
                audits[case.id] = audit
            for key, trial in _tried(plans, audits, tasks):
                trials[key] = trial
                progress(len(trials), sum(len(plan.mutants) for plan in plans), key[0])
    except KeyboardInterrupt:
        interrupted = True
    ops = tuple(_mutation(plan, audits, trials) for plan in plans if _is_done(plan, audits, trials))
    return Mutation(ops, skipped, interrupted)


def _planned(cases: Sequence[Case], folders: Sequence[Path]) -> tuple[list[Plan], tuple[tuple[str, str], ...]]:
    find = reach_finder(folders)
    by_op: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_op[case.op].append(case)
    plans, skipped = [], []
    for op, own in by_op.items():
        target = own[0].target
        backward = backward_of(target, find) if isinstance(target, PythonTarget) else None
        if backward is None:
            skipped.append((op, "its backward is not in Python source that can be read"))
        else:
            plans.append(Plan(op, tuple(own), tuple(mutants_of(backward, folders[-1]))))
    return plans, tuple(skipped)


def _audited(cases: Sequence[Case], tasks: Workers) -> Iterator[tuple[Case, Audit]]:
    for position, outcome in tasks.map(audit_case, [(case,) for case in cases]):
        case = cases[position]
        yield case, failed_audit(case, outcome.cause) if isinstance(outcome, Lost) else outcome


def _tried(
    plans: Sequence[Plan], audits: Mapping[str, Audit], tasks: Workers
) -> Iterator[tuple[tuple[str, int], Trial]]:
    endings = {plan.op: {case.id: ending(audits[case.id]) for case in plan.cases} for plan in plans}
    keys = [(plan.op, k) for plan in plans for k in range(len(plan.mutants))]
    calls = ((mutant, plan.cases, endings[plan.op]) for plan in plans for mutant in plan.mutants)
    for position, outcome in tasks.map(try_mutant, calls):
        yield keys[position], Trial(Fate.KILLED, cause=outcome.cause) if isinstance(outcome, Lost) else outcome


def _is_done(plan: Plan, audits: Mapping[str, Audit], trials: Mapping[tuple[str, int], Trial]) -> bool:
    audited = all(case.id in audits for case in plan.cases)
    return audited and all((plan.op, k) in trials for k in range(len(plan.mutants)))


def _mutation(plan: Plan, audits: Mapping[str, Audit], trials: Mapping[tuple[str, int], Trial]) -> OpMutation:
    tried = tuple((mutant, trials[plan.op, k]) for k, mutant in enumerate(plan.mutants))
    unexpected = tuple(case.id for case in plan.cases if not all(made.expected for made in audits[case.id].results))
    return OpMutation(plan.op, plan.cases[0].module, tried, unexpected)
