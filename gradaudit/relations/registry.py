"""All relations, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.probe import Probe
from gradaudit.checks.subject import Subject
from gradaudit.relations.copies import laid_out_otherwise
from gradaudit.relations.parts import adds_up
from gradaudit.relations.rows import rows_apart
from gradaudit.relations.threads import threads_apart
from gradaudit.results import Finding, Result, Verdict
from gradaudit.targets.calls import LimitReachedError
from gradaudit.targets.op import OpError
from gradaudit.targets.unwritten import FIRST, unwritten

Relation = Callable[[Probe], Iterator[Finding]]

RELATIONS: tuple[Relation, ...] = (adds_up, laid_out_otherwise, rows_apart, threads_apart)
"""A new one is a file with a function like these, and a line here. Each takes the case in its own dtype.

That backward answers the same when it is asked again, every audit asks; ``repeat`` asks often.
"""


MOST_CALLS = 96
"""Calls that all relations take together at most, whatever the case has left of its own: twice what they do."""


def broken_relations(
    subject: Subject, point: EvaluationPoint, results: list[Result], findings: Sequence[Finding]
) -> list[Finding]:
    """Return what breaks the first relation that is broken, of a gradient that nothing else is wrong with.

    An op that gives no usable answer where only a relation asks breaks none.

    Args:
        subject: the op, fed and called once.
        point: where its forward was differenced.
        results: what the audit of the gradient found.
        findings: what all checks found.

    """
    wrong = any(result.verdict in (Verdict.FAIL, Verdict.ERROR) for result in results)
    if wrong or any(finding.fails for finding in findings):
        return []
    subject.op.calls.limit_further(MOST_CALLS)
    probe = Probe(subject, point, results)
    for relation in RELATIONS:
        # Memory that nobody writes is told of by other checks: here it holds what it did at the first calls.
        with suppress(OpError, MemoryError, LimitReachedError), unwritten(FIRST):
            if found := list(relation(probe)):
                return found
    return []
