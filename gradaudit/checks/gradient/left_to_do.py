"""What is left to do about a gradient, given its result and what was seen of it."""

from __future__ import annotations

from dataclasses import replace

from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.seen import Seen
from gradaudit.numerics.margins import WORTHLESS
from gradaudit.results import Result, Verdict
from gradaudit.targets.calls import CLOSE_LOOK

Audited = dict[str, tuple[Result, Seen | None]]
"""By input, its result, and what was seen of its gradient; None where forward gave nothing usable."""


def affords_a_table(claim: Claim, made: Audited) -> bool:
    """Whether calls last to look at every index of a gradient that was right wherever it was looked at."""
    result, seen = made[claim.name]
    if seen is None or not is_right_where_seen(claim, made):
        return False
    each = max(CLOSE_LOOK, result.evaluations / len(seen.looks.places))
    return each * claim.size <= claim.point.subject.op.calls.left


def unsuspected(result: Result, seen: Seen | None) -> tuple[Result, Seen | None]:
    """Return what was seen without the tests of many that failed, where every element looked at was right."""
    return result, replace(seen, suspect=None) if seen else None


def is_right_where_seen(claim: Claim, made: Audited) -> bool:
    """Whether a gradient is open though it was right wherever it was looked at."""
    result, seen = made[claim.name]
    if seen is None or seen.cut or seen.cleared or result.verdict is not Verdict.INCONCLUSIVE:
        return False
    judged, _, _ = claim.judged(seen.looks)
    return bool(judged.right.any() and judged.right.all())


def passes(audited: tuple[Result, Seen | None]) -> bool:
    """Whether root tests say all that there is to say: a pass, or nothing but gradients below the noise."""
    result, seen = audited
    if seen is None or result.verdict is Verdict.PASS:
        return result.verdict is Verdict.PASS and not (seen and (seen.is_coarser_than_asked or seen.kinked))
    if seen.claim.of_formula.asked and seen.method == "search":
        return False
    below_noise = any(finding.code == "below-noise" for finding in result.findings)
    return result.verdict is Verdict.INCONCLUSIVE and seen.cleared and below_noise and result.resolution <= WORTHLESS


def was_not_seen(audited: tuple[Result, Seen | None]) -> bool:
    """Whether an input's own errors drowned in those of the others, or in their noise."""
    result, seen = audited
    blind = seen is not None and (not seen.cleared or result.resolution > WORTHLESS)
    return result.verdict is Verdict.INCONCLUSIVE and blind and not passes(audited)
