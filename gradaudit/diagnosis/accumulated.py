"""Gradients added to what an earlier call left behind."""

from __future__ import annotations

from gradaudit.diagnosis.evidence import Evidence
from gradaudit.diagnosis.score import EXPLAINS, explained
from gradaudit.results import Finding


def accumulated(evidence: Evidence) -> Finding | None:
    """Numerical = analytical less an earlier answer, or what the next call added to it."""
    answers = {}
    if evidence.earlier is not None:
        answers["analytical less the answer of an earlier call"] = evidence.claimed - evidence.at_places(
            evidence.earlier
        )
    if evidence.again is not None:
        answers["what the next call of backward added to its answer"] = (
            evidence.at_places(evidence.again) - evidence.claimed
        )
    for what, predicted in answers.items():
        share = explained(evidence, predicted, alternatives=len(answers))
        if share >= EXPLAINS:
            message = f"numerical = {what}: backward adds to a buffer that is not cleared"
            return Finding("accumulated", message, {"explained": share})
    return None
