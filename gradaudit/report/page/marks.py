"""A verdict as a word and a shape: colour only adds to them."""

from __future__ import annotations

from dataclasses import dataclass

from gradaudit.results import Result, Verdict

SHAPES = {Verdict.PASS: "\u2713", Verdict.INCONCLUSIVE: "?", Verdict.FAIL: "\u2717", Verdict.ERROR: "!"}


@dataclass(frozen=True)
class Mark:
    """How a gradient, or several, ended; ``expected`` is whether a spec says so."""

    verdict: str
    shape: str
    expected: bool


def mark_of(*results: Result) -> Mark:
    """Return the mark of the gravest of some results, those that a spec does not expect before all others."""
    worst = max(results, key=lambda result: (not result.expected, result.verdict.severity))
    return mark(worst.verdict, expected=worst.expected)


def mark(verdict: Verdict, *, expected: bool) -> Mark:
    """Return the mark of a verdict."""
    return Mark(str(verdict), SHAPES[verdict], expected)
