"""A conjugation that is missing: of the upstream and of the answer."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.diagnosis.cause import Cause
from gradaudit.diagnosis.evidence import Array, Claim, Evidence
from gradaudit.diagnosis.score import EXPLAINS, explained
from gradaudit.results import Finding


def conjugate_missing(evidence: Evidence) -> Iterator[Cause]:
    """Numerical = the conjugate of what backward answers for the conjugate of the upstream."""
    if evidence.conjugated is None:
        return
    share = explained(evidence, evidence.at_places(evidence.conjugated))
    if share >= EXPLAINS:
        message = (
            "conj(backward(conj(upstream))) is right: backward has to conjugate the factor that it multiplies upstream "
            "by"
        )
        yield Cause(Finding("conjugate-missing", message, {"explained": share}), _conjugated)


def _conjugated(claim: Claim) -> Array | None:
    return None if claim.conjugated is None else claim.at_places(claim.conjugated)
