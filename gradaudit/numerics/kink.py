"""Points at which a function has two one-sided derivatives, or none, or more: kinks, jumps and ties.

Among equal elements of a sort each has as many derivatives as there are places to take. One-sided ones show the first
and the last of them. The others are those at points nearby where the other elements have moved out of the way, some
down and some up: all of them, and what lies between, are in Clarke's subdifferential.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, namespace
from gradaudit.numerics.derivative import UNKNOWN, Difference, Estimate, Floats, Sampler
from gradaudit.numerics.loss import Loss
from gradaudit.numerics.magnitude import power_of_two
from gradaudit.numerics.margins import FAR, HALFWAY, MAX_ATTEMPTS, NEAR, SAFETY, SAMPLE, SIGNIFICANT, SLOPE_RTOL

Slopes = tuple[Array, Array]

STEPS = (FAR, NEAR)
"""Steps at which the two sides of a point are compared, relative to the one at which central differences start.

The first sees through noise, the second passes by a kink that is merely near.
"""

APART = 1 / SIGNIFICANT
"""How far the others move, in units of the step."""

WITHIN = APART / 2
"""How far the element itself is moved among them, in the same units: not so far that it meets one."""


@dataclass(frozen=True)
class Sides:
    """The derivatives from below and from above at a point, each with its bound.

    ``jumps`` tells whether the function itself does, so that it has no derivative at all.
    """

    below: Estimate
    above: Estimate
    jumps: bool

    @property
    def differ(self) -> bool:
        """Whether no single derivative can be both."""
        return bool(abs(self.below.value - self.above.value) > 2 * (self.below.bound + self.above.bound))

    def admit(self, claimed: float, allowed: float) -> bool:
        """Whether a claim lies between the two, in Clarke's subdifferential, give or take what is allowed.

        So does rounding excuse it, but not truncation: a claim beyond them by less than that is undecided.
        """
        low, high = sorted((self.below, self.above), key=lambda side: side.value)
        return bool(low.value - low.rounding - allowed <= claimed <= high.value + high.rounding + allowed)


def suspicious(near: Difference, far: Difference) -> Any:
    """Whether differences at steps and at twice those steps may straddle kinks or jumps; arrays of rows."""
    bent = (abs(near.bend) > 2 * near.rounding) & (abs(far.bend) < HALFWAY * abs(near.bend))
    return bent | _jumps(near.central, far.central, near)  # a jump up on both sides bends nothing


def compare_sides(sample: Sampler, step: float) -> Sides:
    """Estimate both one-sided derivatives, at steps well below the one that suits central differences."""
    below = above = UNKNOWN
    jumps = False
    for relative in STEPS:
        near, far = sample(step * relative), sample(2 * step * relative)
        if near is None or far is None:
            continue
        rounding = 4 * near.rounding + 2 * far.rounding
        jumps = _jumps(near.up, far.up, near) or _jumps(near.down, far.down, near)
        low = Estimate(2 * near.down - far.down, abs(near.down - far.down), rounding)
        high = Estimate(2 * near.up - far.up, abs(near.up - far.up), rounding)
        if low.bound + high.bound < below.bound + above.bound:
            below, above = low, high
    return Sides(below, above, jumps)


def hull(far: Slopes, near: Slopes) -> tuple[float, float]:
    """Return the least and the largest sum of one slope of each output, of those to its two sides.

    At a kink of several outputs each may have any subgradient of its own, and what these sum to need not lie between
    the slopes of the loss. An output has a kink where its two slopes do not tend to each other.

    Args:
        far: what each output adds to the loss over a step up, and over a step down, by its length.
        near: likewise over a much smaller step.

    """
    (up, down), (near_up, near_down) = far, near
    xp = namespace(up)
    kinked, middle = abs(near_up - near_down) > abs(up - down) / HALFWAY, (up + down) / 2
    least, most = xp.minimum(near_up, near_down), xp.maximum(near_up, near_down)
    return float(xp.where(kinked, least, middle).sum()), float(xp.where(kinked, most, middle).sum())


def _jumps(near_slope: Any, far_slope: Any, near: Difference) -> Any:
    """Whether half of the step keeps most of the change: slopes then grow as the step falls."""
    return (abs(near_slope) > HALFWAY * abs(far_slope)) & (abs(near_slope) > SIGNIFICANT * near.rounding)


def admitted_among_ties(
    loss: Loss, index: tuple[int, ...], unit: complex, claimed: float, rtol: float, allowed: float, side: float
) -> bool | None:
    """Judge a claim again that lies between no two one-sided derivatives.

    Args:
        loss: the op as a function of the input.
        index: where the claim is made.
        unit: the axis, real or imaginary.
        claimed: the analytical gradient there.
        rtol: by how much it may differ, relative to the largest slope beside the point.
        allowed: by how much at least.
        side: the one-sided derivative that is nearest to the claim.

    Returns:
        Whether there are derivatives nearby that admit the claim; None where it may be one of several that were not
        met, since not every way for the others to move was tried, or is too close to one for rounding to tell.

    """
    nearby = _Nearby(loss, index, unit)
    found: list[tuple[float, Floats]] = []
    for ways in (_ways(loss.shape, index), _ranks(loss.equals(index), index)):
        found += [(slope, signs) for signs in ways if math.isfinite(slope := nearby.slope(signs))]
        slopes = [side, *(slope for slope, _ in found)]
        low, high = min(slopes), max(slopes)
        allowed = max(allowed, rtol * max(map(abs, slopes)))
        margin = allowed + SLOPE_RTOL * max(map(abs, slopes))
        if high - low <= margin:  # the others do not matter, or not as they have been moved: there is one derivative
            continue
        (lowest, below), (highest, above) = (nearby.limit(most(found, key=itemgetter(0))[1]) for most in (min, max))
        if min(side, lowest + below) - allowed <= claimed <= max(side, highest - above) + allowed:
            return True
    if high - low <= margin:
        return False
    beyond = high - low if any(min(slope - low, high - slope) > margin for slope in slopes) else 0.0
    low, high = min(side, lowest - below), max(side, highest + above)
    return None if low - beyond - allowed <= claimed <= high + beyond + allowed else False


class _Nearby:
    """Derivatives in an element at points nearby, where the others have moved."""

    def __init__(self, loss: Loss, index: tuple[int, ...], unit: complex) -> None:
        self._loss = loss
        self._index = index
        self._unit = unit
        step = SIGNIFICANT * loss.step_at(index)
        clear = min(step, loss.gap_beside(index) / SAFETY)
        self._step = max(NEAR * step, power_of_two(clear))

    def slope(self, signs: Floats) -> float:
        """Return the derivative where the others have moved that way."""
        return self._difference(signs, 1.0)[0]

    def limit(self, signs: Floats) -> tuple[float, float]:
        """Return what the derivative tends to as the others move back, and what that may be off by."""
        (one, finest), (two, finer), (four, fine) = (self._difference(signs, times) for times in (1.0, 2.0, 4.0))
        limit = (8 * one - 6 * two + four) / 3
        return limit, abs(limit - (2 * one - two)) + (8 * finest + 6 * finer + fine) / 3

    def _difference(self, signs: Floats, times: float) -> tuple[float, float]:
        step = times * self._step
        return self._loss.slope_beside(APART * step * signs, self._index, self._unit, WITHIN * step)


def _ways(shape: tuple[int, ...], index: tuple[int, ...]) -> Iterator[Floats]:
    rng = np.random.default_rng(0)
    places = np.arange(math.prod(shape)).reshape(shape)
    by_position = np.sign(places - places[index]).astype(np.float64)
    yield by_position
    yield -by_position
    for share in rng.random(MAX_ATTEMPTS):
        signs = np.where(rng.random(shape) < share, -1.0, 1.0)
        signs[index] = 0.0
        yield signs


def _ranks(equals: NDArray[np.bool_], index: tuple[int, ...]) -> Iterator[Floats]:
    """Yield ways that take the element to places among its equals, all of them or some from the first to the last."""
    places = np.flatnonzero(equals)
    for first_above in np.unique(np.linspace(0, places.size, SAMPLE).astype(int)):
        signs = np.where(equals, -1.0, 0.0)
        signs.flat[places[first_above:]] = 1.0
        signs[index] = 0.0
        yield signs
