"""Where more than two derivatives meet: among equal elements of a sort, each has as many as there are places to take.

One-sided derivatives show the first and the last of them. The others are those at points nearby where the other
elements have moved out of the way, some down and some up: all of them, and what lies between, are in Clarke's
subdifferential.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from gradaudit.numerics.decision import is_right
from gradaudit.numerics.loss import Loss
from gradaudit.numerics.vicinity import Floats

APART = 2.0**-3
"""How far the others move, in units of the first step."""

WITHIN = 2.0**-4
"""How far the element itself is moved among them, in the same units: not so far that it meets one."""

DRAWN = 6
"""Ways for the others to move that are drawn at random, after those by position."""

ALIKE = 1e-3
"""Part of the slopes by which one at a point nearby may differ from the one that it stands for."""

EXTRAPOLATED = 5.0
"""What rounding of a difference grows to as three of them are extrapolated to no displacement."""


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
        met, since not every way for the others to move was tried, or is too close to one for rounding to tell.

    """
    nearby = _Nearby(loss, index, unit)
    found = [(slope, signs) for signs in _ways(loss.shape, index) if math.isfinite(slope := nearby.slope(signs))]
    slopes = [slope for slope, _ in found]
    low, high = min([side, *slopes]), max([side, *slopes])
    margin = allowed + ALIKE * max(map(abs, slopes), default=0.0)
    if high - low <= margin:  # the others do not matter: there is one derivative
        return False
    admitted = [nearby.admits(signs, claimed, allowed) for slope, signs in found if abs(slope - claimed) <= margin]
    if any(admitted):
        return True
    between = any(min(slope - low, high - slope) > margin for slope in slopes)
    if between and low <= claimed <= high:
        return True
    near = between and low - (high - low) <= claimed <= high + (high - low)
    return None if near or None in admitted else False


class _Nearby:
    """Derivatives in an element at points nearby, where the others have moved."""

    def __init__(self, loss: Loss, index: tuple[int, ...], unit: complex) -> None:
        self._loss = loss
        self._index = index
        self._unit = unit
        self._step = loss.step_at(index)

    def slope(self, signs: Floats) -> float:
        """Return the derivative where the others have moved that way."""
        return self._difference(signs, 1.0)[0]

    def admits(self, signs: Floats, claimed: float, allowed: float) -> bool | None:
        """Whether a claim is what the derivative tends to as the others move back; None where there is no telling."""
        (one, rounding), (two, _), (four, _) = (self._difference(signs, times) for times in (1.0, 2.0, 4.0))
        coarser, coarse = 2 * two - four, 2 * one - two
        limit = (4 * coarse - coarser) / 3
        off, bound = abs(limit - claimed), abs(limit - coarse) + EXTRAPOLATED * rounding
        if is_right(off, bound, allowed):
            return True
        return False if off - bound > allowed else None

    def _difference(self, signs: Floats, times: float) -> tuple[float, float]:
        step = times * self._step
        return self._loss.slope_beside(APART * step * signs, self._index, self._unit, WITHIN * step)


def _ways(shape: tuple[int, ...], index: tuple[int, ...]) -> Iterator[Floats]:
    rng = np.random.default_rng(0)
    places = np.arange(math.prod(shape)).reshape(shape)
    by_position = np.sign(places - places[index]).astype(np.float64)
    yield by_position
    yield -by_position
    for share in rng.random(DRAWN):
        signs = np.where(rng.random(shape) < share, -1.0, 1.0)
        signs[index] = 0.0
        yield signs
