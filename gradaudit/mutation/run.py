"""Mutating ops and trying the mutants, in worker processes: this one never runs what was mutated."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from gradaudit.audit.conclusion import Audit, failed_audit
from gradaudit.engine.audit import audit_case
from gradaudit.engine.executor import Lost, Task
from gradaudit.engine.imports import look_up
from gradaudit.engine.pool import Workers, workers
from gradaudit.engine.run import cores, task_of
from gradaudit.mutation.mutants import Mutant, backward_of, control, mutants_of
from gradaudit.mutation.score import Mutation, OpMutation
from gradaudit.mutation.trial import Fate, Trial, ending, try_mutant
from gradaudit.results import Result, Verdict
from gradaudit.source.reach import reach_finder
from gradaudit.spec.case import Case
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import Specs
from gradaudit.spec.op_targets import PythonTarget
from gradaudit.targets.frameworks import missing_framework

DEFAULT_TIMEOUT = 30.0
"""Seconds that a mutant may take, all cases together: ten times what the slowest needs; those that loop wait for it."""

K = TypeVar("K")

Progress = Callable[[int, int, str], None]
"""Called with how many mutants were tried, of how many, and the op of the last."""


@dataclass(frozen=True)
class Plan:
    """An op with its cases and its mutants."""

    op: str
    cases: tuple[Case, ...]
    control: Mutant
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
    failing: dict[str, str] = {}
    interrupted = False
    try:
        with workers(cores() if jobs is None else jobs, timeout) as tasks:
            if problems := look_up(_installed(specs), tasks).problems:
                raise SpecError(problems)
            for case, audit in _audited([case for plan in plans for case in plan.cases], tasks):
                audits[case.id] = audit
            failing = {plan.op: said for plan in plans if (said := _failing_by_itself(plan, audits))}
            plans = [plan for plan in plans if plan.op not in failing]
            plans, unfit = _controlled(plans, audits, tasks)
            skipped = (*skipped, *unfit)
            calls = [((plan.op, k), plan, mutant) for plan in plans for k, mutant in enumerate(plan.mutants)]
            for key, trial in _tried(calls, audits, tasks):
                trials[key] = trial
                progress(len(trials), len(calls), key[0])
    except KeyboardInterrupt:
        interrupted = True
    tried = Counter(op for op, _ in trials)
    done = [plan for plan in plans if 0 < tried[plan.op] == len(plan.mutants)]
    mutated = tuple(_mutation(plan, audits, trials) for plan in done)
    return Mutation(mutated, skipped, interrupted, tuple(failing.items()))


def _installed(specs: Specs) -> Specs:
    """Return the specs without those of frameworks that are not there, which are not mutated anyway."""
    return replace(specs, cases=tuple(case for case in specs.cases if missing_framework(case.target) is None))


def _planned(cases: Sequence[Case], folders: Sequence[Path]) -> tuple[list[Plan], tuple[tuple[str, str], ...]]:
    find = reach_finder(folders)
    by_op: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_op[case.op].append(case)
    plans, skipped = [], []
    for op, own in by_op.items():
        target = own[0].target
        right = tuple(case for case in own if case.expect.verdict == "pass" and case.target == target)
        backward = backward_of(target, find) if isinstance(target, PythonTarget) else None
        mutants = tuple(mutants_of(backward, folders[-1])) if backward else ()
        if backward is None:
            skipped.append((op, "its backward is not in Python source that can be read"))
        elif not right:
            skipped.append((op, "its spec expects it to be wrong"))
        elif not mutants:
            skipped.append((op, "its backward has no place for a fault"))
        else:
            plans.append(Plan(op, right, control(backward), mutants))
    return plans, tuple(skipped)


def _audited(cases: Sequence[Case], tasks: Workers) -> Iterator[tuple[Case, Audit]]:
    for position, outcome in tasks.map(audit_case, [task_of(case) for case in cases]):
        case = cases[position]
        yield case, failed_audit(case, outcome.cause) if isinstance(outcome, Lost) else outcome


def _failing_by_itself(plan: Plan, audits: Mapping[str, Audit]) -> str:
    """Return how an op fails that is wrong in every case as it is, an empty text for one that is not."""
    wrong = [
        [result for result in _unexpected(audits[case.id]) if result.verdict is not Verdict.INCONCLUSIVE]
        for case in plan.cases
    ]
    if not all(wrong):
        return ""
    first = wrong[0][0]
    said = first.message.partition("\n")[0] or next((finding.message for finding in first.findings), "")
    return f"{plan.cases[0].id} ends with {first.verdict} w.r.t. {first.input}{f': {said}' if said else ''}"


def _unexpected(audit: Audit) -> list[Result]:
    return [result for result in audit.results if not result.expected]


def _controlled(
    plans: Sequence[Plan], audits: Mapping[str, Audit], tasks: Workers
) -> tuple[list[Plan], list[tuple[str, str]]]:
    """Return the ops whose copy without a fault fares as they do themselves, and why the others' does not."""
    fates = dict(_tried([(plan.op, plan, plan.control) for plan in plans], audits, tasks))
    unfit = {op: trial for op, trial in fates.items() if trial.fate is not Fate.EQUIVALENT}
    said = "an unmodified copy behaves differently (it keeps state), so it cannot be mutated: "
    reasons = [(op, f"{said}{trial.cause or f'see {trial.case}'}") for op, trial in unfit.items()]
    return [plan for plan in plans if plan.op not in unfit], reasons


def _tried(
    calls: Sequence[tuple[K, Plan, Mutant]], audits: Mapping[str, Audit], tasks: Workers
) -> Iterator[tuple[K, Trial]]:
    endings = {plan.op: {case.id: ending(audits[case.id]) for case in plan.cases} for _, plan, _ in calls}
    trials = [Task((mutant, plan.cases, endings[plan.op]), group=plan.op) for _, plan, mutant in calls]
    for position, outcome in tasks.map(try_mutant, trials):
        yield calls[position][0], Trial(Fate.KILLED, cause=outcome.cause) if isinstance(outcome, Lost) else outcome


def _mutation(plan: Plan, audits: Mapping[str, Audit], trials: Mapping[tuple[str, int], Trial]) -> OpMutation:
    tried = tuple((mutant, trials[plan.op, k]) for k, mutant in enumerate(plan.mutants))
    unexpected = tuple(case.id for case in plan.cases if _unexpected(audits[case.id]))
    return OpMutation(plan.op, plan.cases[0].module, tried, unexpected)
