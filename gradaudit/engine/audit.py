"""One case from beginning to end: open the op, call it, run every check, and say how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from gradaudit.audit.conclusion import Audit, conclusion, failed_audit, undecided_audit
from gradaudit.checks.gradient import check_gradient
from gradaudit.checks.gradient.fold import blank_result
from gradaudit.checks.registry import BrokenCheckError, run_checks
from gradaudit.checks.subject import Subject, examine
from gradaudit.engine.by_then import is_heard, tell
from gradaudit.numerics.arrays import Array
from gradaudit.results import Finding, Result, Verdict, changed
from gradaudit.source.place import place_of
from gradaudit.spec.case import Case, Part
from gradaudit.spec.draw import UndrawableError
from gradaudit.spec.model_targets import FlowTarget, LearningTarget
from gradaudit.spec.op_targets import UncalledTarget
from gradaudit.targets import opened, written_backwards
from gradaudit.targets.calls import Calls, LimitReachedError, budget_of
from gradaudit.targets.counted import counting
from gradaudit.targets.generators import set_aside
from gradaudit.targets.op import LostOpError, Op, OpError


def audit_case(
    case: Case,
    reached: Callable[[Case], AbstractContextManager[Op]] = opened,
    *,
    seconds: float | None = None,
    explained: bool = True,
) -> Audit:
    """Audit one case in this process; whatever its op does short of killing the process becomes a verdict.

    Args:
        case: the case.
        reached: opens its op, with params bound, for as long as the audit lasts.
        seconds: time after which no call of the op begins but those for what is told at the end; None for any.
        explained: whether likely causes of wrong gradients are looked for, which takes longer than to find these.

    """
    op: Any = None
    with np.errstate(all="ignore"), set_aside():  # values outside the domain are looked for, not warned about
        try:
            with reached(case) as op:
                op = counting(op)
                if seconds is not None:
                    op.calls.limit_time(seconds)
                audit = AUDITS.get(type(case.target), partial(audit_op, explained=explained))(case, op)
        except LimitReachedError as reached_limit:
            audit = undecided_audit(case, reached_limit.limit)
        except (OpError, LostOpError, UndrawableError, MemoryError, BrokenCheckError) as error:
            finding = error.finding if isinstance(error, OpError) else None
            said = str(error) or "the audit ran out of memory"
            audit = failed_audit(case, said, (finding,) if finding else ())
            audit = audit if op is None else replace(audit, results=_placed(audit.results, op))
    return audit if op is None else changed(audit, results=_counted(audit.results, op.calls))


def _counted(results: tuple[Result, ...], calls: Calls) -> tuple[Result, ...]:
    """Add to the results of a case the calls that its audit took."""
    return tuple(changed(result, forwards=calls.forwards, backwards=calls.backwards) for result in results)


def audit_op(case: Case, op: Op, *, explained: bool = True) -> Audit:
    """Audit the gradient of every differentiable input of an op, or of a part's own, and run every check.

    Likely causes of what is wrong are looked for where it is to be ``explained``.
    """
    subject = examine(case, op)
    subject.op.calls.limit_number(budget_of(case), len(subject.case.audited))
    results, point, seen = check_gradient(subject, _told_by_then(subject))
    findings: Sequence[Finding] = run_checks(subject, point, results)
    if case.relations:
        from gradaudit.relations.registry import broken_relations  # which few runs ask for

        findings = [*findings, *broken_relations(subject, point, results, findings)]
    if explained and any(result.verdict is Verdict.FAIL for result in results):
        from gradaudit.audit.likely_causes import unexplained, with_likely_causes  # which right ops do without

        with suppress(LimitReachedError):
            results = with_likely_causes(subject, results, point, seen, findings)
        findings = unexplained(findings, results)
    checking = subject.op.calls.forwards - sum(result.evaluations for result in results)
    shapes = {name: array.shape for name, array in subject.inputs.items()}
    audit = conclusion(subject.case, results, tuple(findings))
    placed = _placed(audit.results, op, subject.inputs)
    return changed(audit, results=placed, check_evaluations=checking, shapes=shapes)


def _told_by_then(subject: Subject) -> Callable[[Mapping[str, Result]], None] | None:
    """Return what tells of the gradients that are judged already, should the op not answer any more; None for nobody.

    The others are lost then.
    """
    case, op, time = subject.case, subject.op, subject.op.calls.time
    if time is None or not is_heard():
        return None

    def told(judged: Mapping[str, Result]) -> None:
        if not judged:
            return
        lost = f"exceeded its time limit of {time.amount:g} s"
        results = [judged[name] if name in judged else blank_result(case, name, lost) for name in case.audited]
        tell(conclusion(case, list(_counted(_placed(tuple(results), op), op.calls)), ()))

    return told


def _placed(results: tuple[Result, ...], op: Op, inputs: Mapping[str, Array] | None = None) -> tuple[Result, ...]:
    """Name the line of the backward; what a framework's function calls is looked for only where something is wrong."""
    wrong = any(result.verdict is not Verdict.PASS for result in results)
    place = next(filter(None, map(place_of, written_backwards(op, inputs if wrong else None))), None)
    return tuple(changed(result, source=place) for result in results)


def audit_uncalled(case: Case, op: Any) -> Audit:
    """Return the audit of a backward pass that nobody knows how to call: undecided."""
    return Audit((replace(blank_result(case, "?", case.notes), verdict=Verdict.INCONCLUSIVE, expected=False),))


def parts_of(case: Case) -> tuple[Case, ...]:
    """Return a case as several to be audited apart: one for each seed of many, else for each gradient of an op."""
    if case.seeds:
        return tuple(replace(case, seed=seed, seeds=()) for seed in case.seeds)
    names = case.audited
    if type(case.target) in AUDITS or len(names) < 2:
        return (case,)
    parts = (Part(frozenset({name}), frozenset(names) - {name}, parameters=name == names[-1]) for name in names)
    return tuple(replace(case, part=part) for part in parts)


def audit_model(case: Case, model: Any) -> Audit:
    """Audit the gradients of a model's parameters."""
    from gradaudit.models.audit import audit_flow

    return audit_flow(case, model)


def audit_training(case: Case, model: Any) -> Audit:
    """Audit how a model learns."""
    from gradaudit.models.learning.audit import audit_learning

    return audit_learning(case, model)


AUDITS: Mapping[type, Callable[[Case, Any], Audit]] = {
    FlowTarget: audit_model,
    LearningTarget: audit_training,
    UncalledTarget: audit_uncalled,
}
"""How a case is audited whose target is more than an op, by the kind of its target."""
