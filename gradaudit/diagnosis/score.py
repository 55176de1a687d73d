"""How much of a mismatch a prediction explains, and whether that is more than chance."""

from __future__ import annotations

import math

import numpy as np

from gradaudit.diagnosis.evidence import Array, Evidence, Mask

EXPLAINS = 0.95
"""Least share of the wrong indices that a cause must explain to be named."""

SURPRISE = 8.0
"""Bits of agreement that a prediction needs beyond the choice it was picked from: met by chance once in 256."""

PROBED = 0.75
"""Share of the telling places at which a prediction must hold before it is held against all of them."""


def explained(
    evidence: Evidence, predicted: Array, *, alternatives: float = 1.0, by_construction: Mask | None = None
) -> float:
    """Return the share of the wrong places at which a prediction is met, less the right ones that it spoils.

    Args:
        evidence: what is known.
        predicted: the prediction at the places.
        alternatives: how many predictions this one was chosen from: the more, the less it says that one is met.
        by_construction: places at which it is met because it was fitted there. They are no evidence.

    Returns:
        At most 1; 0 where what is met may be chance.

    """
    wrong = int(evidence.wrong.sum())
    if not wrong:
        return 0.0
    met = np.abs(predicted - evidence.numerical) <= evidence.slack
    repaired, spoilt = evidence.wrong & met, evidence.right & ~met
    free = repaired if by_construction is None else repaired & ~by_construction
    if evidence.bits[free].sum() < SURPRISE + math.log2(alternatives):
        return 0.0
    return max(0.0, float(repaired.sum() - spoilt.sum()) / wrong)


def promising(evidence: Evidence, predicted: Array) -> bool:
    """Whether a prediction, given at the probes alone, holds at most of them: cheap where there is much to try."""
    probes = evidence.probes
    met = np.abs(predicted - evidence.numerical[probes]) <= evidence.slack[probes]
    return bool(len(probes)) and int(np.count_nonzero(met)) >= PROBED * len(probes)


def extent(evidence: Evidence, share: float) -> str:
    """Say in words at how many indices something holds."""
    if share < 1.0:
        return f"at {share:.0%} of the wrong indices"
    places, size = len(evidence.places), evidence.analytical.size
    if evidence.complete or places >= size:
        return "at every index"
    return f"at each of {places} indices tested" if places > 1 else "at the one index tested"
