"""A conjugation that is missing: of the upstream and of the answer."""

from __future__ import annotations

from gradaudit.diagnosis.evidence import Evidence
from gradaudit.diagnosis.score import EXPLAINS, explained
from gradaudit.results import Finding


def conjugate_missing(evidence: Evidence) -> Finding | None:
    """Numerical = the conjugate of what backward answers for the conjugate of the upstream."""
    if evidence.conjugated is None:
        return None
    share = explained(evidence, evidence.at_places(evidence.conjugated))
    if share < EXPLAINS:
        return None
    message = (
        "conj(backward(conj(upstream))) is right: a conjugate is missing, of a factor that upstream is multiplied by"
    )
    return Finding("conjugate-missing", message, {"explained": share})
