"""One case from beginning to end: open the op, call it, run every check, and say how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from gradaudit.audit.conclusion import Audit, concluded, failed_audit
from gradaudit.audit.likely_causes import unexplained, with_likely_causes
from gradaudit.checks.gradient import check_gradient
from gradaudit.checks.registry import run_checks
from gradaudit.checks.subject import examine
from gradaudit.flow.audit import audit_flow
from gradaudit.learning.audit import audit_learning
from gradaudit.spec.case import Case, FlowTarget, LearningTarget
from gradaudit.spec.draw import UndrawableError
from gradaudit.targets import opened
from gradaudit.targets.op import LostOpError, Op, OpError


def audit_case(case: Case, reached: Callable[[Case], AbstractContextManager[Op]] = opened) -> Audit:
    """Audit one case in this process; whatever its op does short of killing the process becomes a verdict.

    Args:
        case: the case.
        reached: opens its op, with params bound, for as long as the audit lasts.

    """
    with np.errstate(all="ignore"):  # values outside the domain are looked for, not warned about
        try:
            with reached(case) as op:
                return AUDITS.get(type(case.target), audit_op)(case, op)
        except (OpError, LostOpError, UndrawableError, MemoryError) as error:
            finding = error.finding if isinstance(error, OpError) else None
            said = str(error) or "the audit ran out of memory"
            return failed_audit(case, said, (finding,) if finding else ())


def audit_op(case: Case, op: Op) -> Audit:
    """Audit the gradient of every differentiable input of an op, and run every check."""
    subject = examine(case, op)
    results, ground, seen = check_gradient(subject)
    findings = run_checks(subject, ground, results)
    results = with_likely_causes(subject, results, seen, findings)
    checking = subject.op.forwards - sum(result.evaluations for result in results)
    shapes = {name: array.shape for name, array in subject.inputs.items()}
    return Audit(concluded(subject.case, results, unexplained(findings, results)), checking, shapes=shapes)


AUDITS: Mapping[type, Callable[[Case, Any], Audit]] = {FlowTarget: audit_flow, LearningTarget: audit_learning}
"""How a case is audited whose target is more than an op, by the kind of its target."""
