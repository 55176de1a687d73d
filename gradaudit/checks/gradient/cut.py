"""Where calls or time ran out: what is known of a gradient by then, in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from gradaudit.results import LIMIT_REACHED, Finding, Result, Verdict
from gradaudit.targets.calls import AN_INDEX, CLOSE_LOOK, RIGHT, Limit


@dataclass(frozen=True)
class Cut:
    """A look at a gradient that ended before its time.

    Attributes:
        limit: what was reached.
        more: what more would do, in words.

    """

    limit: Limit
    more: str

    def finding(self, message: str, looked: int) -> Finding:
        """Return the finding that tells of it; ``looked`` counts the indices looked at one by one."""
        return Finding(LIMIT_REACHED, message, {self.limit.kind: self.limit.amount, "looked": looked})


def more_of_a_table(looked: int, size: int, calls: int) -> str:
    """Say what the rest of a table would take, given what it took so far."""
    if looked == size:
        return "the error that rounding causes is not known"
    each = math.ceil(calls / looked) if looked else AN_INDEX
    return f"about {each * (size - looked):,} more calls would test the other {size - looked:,}"


def more_of_a_search(size: int, *, failing: bool) -> str:
    """Say what the rest of a search would take."""
    if not failing:
        return f"the audit of a right gradient takes up to {RIGHT} calls where forward is smooth"
    halving = 2 * math.ceil(math.log2(max(2, size))) + CLOSE_LOOK
    return f"about {halving} more calls would locate it"


def undecided(limit: Limit, more: str = "") -> str:
    """Say that nothing is known."""
    return f"not decided in {limit}" + (f"; {more}" if more else "")


def left_undecided(result: Result, limit: Limit, what: str = "") -> Result:
    """Return the result of a gradient, or of something else, of which nothing is known for want of calls or time."""
    message = f"{what} {undecided(limit)}".lstrip()
    finding = Finding(LIMIT_REACHED, message, {limit.kind: limit.amount, "looked": 0})
    findings = (*result.findings, finding)
    return replace(result, verdict=Verdict.INCONCLUSIVE, message=message, findings=findings)


def is_of_checks(finding: Finding) -> bool:
    """Whether a finding says that checks of a case were not made, so that nothing passes by it."""
    return finding.code == LIMIT_REACHED and "checks" in finding.evidence


def unmade(limit: Limit, checks: list[str], about: str = "") -> Finding:
    """Return the finding that says which checks of a case were not made; it is told with the gradient of an input."""
    named = ", ".join(check.replace("_", " ") for check in checks)
    evidence: dict[str, Any] = {limit.kind: limit.amount, "checks": checks} | ({"array": about} if about else {})
    return Finding(LIMIT_REACHED, f"not all checks were made in {limit}; left out: {named}", evidence)
