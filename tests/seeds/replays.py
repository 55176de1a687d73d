"""What the replays of the five documents share: audits of functions written in a test, and what they tell by input."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "checks"))

from pairs import Audit, array, audit

from gradaudit.results import Verdict

__all__ = ["array", "audit", "in_peace", "told", "verdicts"]


def verdicts(audited: Audit) -> dict[str, Verdict]:
    """Return the verdict on each input."""
    return {result.input: result.verdict for result in audited.results}


def told(audited: Audit) -> dict[str, set[str]]:
    """Return the codes of all findings, by the input that they are told of; only of those that any are told of."""
    codes = {result.input: {finding.code for finding in result.findings} for result in audited.results}
    return {name: found for name, found in codes.items() if found}


def in_peace(audited: Audit) -> bool:
    """Whether every gradient passes and nothing is found."""
    return set(verdicts(audited).values()) == {Verdict.PASS} and not told(audited)
