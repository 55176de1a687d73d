"""All checks beside the gradient's own, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

from gradaudit.checks.broadcast import broadcast_not_reduced
from gradaudit.checks.captured import captured_state
from gradaudit.checks.determinism import stochastic_backward, stochastic_forward
from gradaudit.checks.gradient.cut import unmade
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.layout import layout_dependent
from gradaudit.checks.linearity import upstream_dependence
from gradaudit.checks.miscounted import ties_miscounted
from gradaudit.checks.missing import missing_gradient
from gradaudit.checks.probe import Probe
from gradaudit.checks.retraced import retraced
from gradaudit.checks.subject import Subject
from gradaudit.checks.symmetry import symmetric_inputs
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.draw import UndrawableError
from gradaudit.targets.calls import LimitReachedError
from gradaudit.targets.op import OpError

Check = Callable[[Probe], Iterator[Finding]]

LOOKS: tuple[Check, ...] = (symmetric_inputs,)
"""Checks that call nothing; they always have their say."""

CHECKS: tuple[Check, ...] = (
    stochastic_forward,
    stochastic_backward,
    retraced,
    upstream_dependence,
    layout_dependent,
    captured_state,
    broadcast_not_reduced,
    missing_gradient,
    ties_miscounted,
)
"""What is told of a fault is told by the first check that sees it: each relies on what those before it have ruled out.

A new check is a file with a function like these, and a line here. Together they may call forward 18 times, with the one
that the case was opened with, which a test holds them to; where there are kinks, four times more for each value at one.
"""


def run_checks(subject: Subject, point: EvaluationPoint, results: list[Result]) -> list[Finding]:
    """Run every check, until one makes a finding that fails the case: the next would only see the same fault again.

    A check that the op gives no usable answer to says nothing: that it raises at a second point, or refuses another
    upstream, is no fault at the first. Where calls or time run out, a finding says which were not made.

    Args:
        subject: the op, fed and called once.
        point: where its forward was differenced.
        results: what the audit of the gradient found.

    """
    probe = Probe(subject, point, results)
    findings = [*subject.findings, *point.findings, *(finding for look in LOOKS for finding in look(probe))]
    for position, check in enumerate(CHECKS):
        if any(finding.fails for finding in findings):
            break
        try:
            with suppress(OpError, UndrawableError, MemoryError):
                findings += list(check(probe))
        except LimitReachedError as reached:
            left = [check.__name__ for check in CHECKS[position:]]
            open_ones = [result.input for result in results if result.verdict is not Verdict.PASS]
            findings.append(unmade(reached.limit, left, open_ones[0] if open_ones else ""))
            break
    return findings
