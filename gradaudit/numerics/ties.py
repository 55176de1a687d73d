"""Where more than two derivatives meet: among equal elements of a sort, each has as many as there are places to take.

One-sided derivatives show the first and the last of them. The others are those at points nearby where the other
elements have moved out of the way, some down and some up: all of them, and what lies between, are in Clarke's
subdifferential.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.loss import Loss

APART = 2.0**-3
"""How far the others move, in units of the first step; the element itself is moved by as small a part of that."""

DRAWN = 6
"""Ways for the others to move that are drawn at random, after those by position."""

ALIKE = 1e-3
"""Part of the slopes by which one at a point nearby may differ from the one that it stands for."""


def admitted_among_ties(
    loss: Loss, index: tuple[int, ...], unit: complex, claimed: float, allowed: float, side: float
) -> bool | None:
    """Judge a claim again that lies between no two one-sided derivatives.

    Args:
        loss: the op as a function of the input.
        index: where the claim is made.
        unit: the axis, real or imaginary.
        claimed: the analytical gradient there.
        allowed: by how much it may differ.
        side: the one-sided derivative that is nearest to the claim.

    Returns:
        Whether there are derivatives nearby that admit the claim; None where it may be one of several that were not
        met, since not every way for the others to move was tried.

    """
    slopes = [slope for slope in _slopes_nearby(loss, index, unit) if math.isfinite(slope)]
    margin = allowed + ALIKE * max(map(abs, slopes), default=0.0)
    if any(abs(slope - claimed) <= margin for slope in slopes):
        return True
    low, high = min([side, *slopes]), max([side, *slopes])
    between = any(min(slope - low, high - slope) > margin for slope in slopes)
    if not between or not low - (high - low) <= claimed <= high + (high - low):
        return False
    return True if low <= claimed <= high else None


def _slopes_nearby(loss: Loss, index: tuple[int, ...], unit: complex) -> Iterator[float]:
    """Yield derivatives in the element where others have moved: those before it down, those after it up, and so on."""
    apart = APART * loss.step_at(index)
    for signs in _ways(loss.shape, index):
        yield loss.slope_beside(apart * signs, index, unit, APART * apart)


def _ways(shape: tuple[int, ...], index: tuple[int, ...]) -> Iterator[NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    places = np.arange(math.prod(shape)).reshape(shape)
    by_position = np.sign(places - places[index]).astype(np.float64)
    yield by_position
    yield -by_position
    for share in rng.random(DRAWN):
        signs = np.where(rng.random(shape) < share, -1.0, 1.0)
        signs[index] = 0.0
        yield signs
