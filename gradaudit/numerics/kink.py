"""Points at which a function has two one-sided derivatives, or none: kinks and jumps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gradaudit.numerics.arrays import Array, namespace
from gradaudit.numerics.derivative import UNKNOWN, Difference, Estimate, Sampler
from gradaudit.numerics.margins import FAR, HALFWAY, NEAR, SIGNIFICANT

Slopes = tuple[Array, Array]

STEPS = (FAR, NEAR)
"""Steps at which the two sides of a point are compared, relative to the one at which central differences start.

The first sees through noise, the second passes by a kink that is merely near.
"""


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
