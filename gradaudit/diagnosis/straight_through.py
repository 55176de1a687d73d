"""A gradient that is zero, where backward passes the upstream: a rounding or a sign that is trained through."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradaudit.diagnosis.cause import Cause
from gradaudit.diagnosis.evidence import Array, Claim, Evidence
from gradaudit.results import Finding


def straight_through(evidence: Evidence) -> Iterator[Cause]:
    """Numerical = 0 everywhere, and analytical = the upstream."""
    if not (np.abs(evidence.numerical) <= evidence.slack).all() or not _passes(evidence):
        return
    message = "forward is flat here: numerical = 0 at every index, and backward passes the upstream straight through"
    yield Cause(Finding("missing-term", message, {"explained": 1.0, "term": "-upstream"}), _zero)


def _passes(claim: Claim) -> bool:
    alike = (upstream for upstream in claim.upstream if upstream.shape == claim.analytical.shape)
    return any(np.allclose(claim.analytical, upstream, rtol=1e-6, atol=0.0) for upstream in alike)


def _zero(claim: Claim) -> Array | None:
    return np.zeros_like(claim.claimed) if _passes(claim) else None
