"""A close look at one index: its derivative, or where it has none, what lies on its two sides."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.derivative import UNKNOWN, Estimate, Sampler, estimate_at_step, estimate_derivative
from gradaudit.numerics.judging import judge
from gradaudit.numerics.kink import compare_sides, hull, suspicious
from gradaudit.numerics.loss import Axis, Loss
from gradaudit.numerics.margins import HEADROOM, NEAR, SIGNIFICANT, SLOPE_RTOL
from gradaudit.numerics.ties import admitted_among_ties
from gradaudit.spec.case import Tolerance

Array = NDArray[Any]


NEARBY = ((HEADROOM, 0.5), (SIGNIFICANT, 1.0), (2.0, math.inf))
"""Parts of the first step at which an estimate is confirmed before a claim is called wrong.

With each, how far from the claim a difference may lie, in units of how far from the estimate, to speak for the claim.
"""


@dataclass(frozen=True)
class Element:
    """What is known of the true gradient at an index.

    Attributes:
        numerical: the estimate; at a kink that admits the claim, the claim itself.
        bound: what it may be off by; infinite where forward is not finite around the point.
        kink: whether the one-sided derivatives differ there.
        jump: whether forward itself is discontinuous there.
        outside: whether nothing is known because forward is not finite around the point.
        doubtful: whether differences closer to the point bore neither the estimate out nor the claim.

    """

    numerical: complex
    bound: float
    kink: bool = False
    jump: bool = False
    outside: bool = False
    doubtful: bool = False


def look_at(
    loss: Loss,
    index: tuple[int, ...],
    claimed: complex,
    tolerance: Tolerance,
    step: float | None = None,
    start: float | None = None,
    *,
    confirm: bool = True,
) -> Element:
    """Estimate the derivative at an index as well as it takes to decide about the claim.

    Where the claim is not right by then, the two sides of the point are compared: at a kink any value between the
    one-sided derivatives is right.

    Args:
        loss: the op as a function of the input.
        index: where to look.
        claimed: the analytical gradient there.
        tolerance: what difference is allowed.
        step: a fixed step, None to choose one.
        start: the power of two to start choosing from, None for what the survey of forward suggests.
        confirm: whether a claim is called wrong only after a look much closer to the point.

    """
    question = _Question(loss, index, 1.0, float(claimed.real), tolerance, step, start, confirm)
    if not np.iscomplexobj(claimed):
        return _real(question)
    real, imaginary = _real(question), _real(question._replace(unit=1j, claimed=float(claimed.imag)))
    return Element(
        numerical=complex(real.numerical.real, imaginary.numerical.real),
        bound=math.hypot(real.bound, imaginary.bound),
        kink=real.kink or imaginary.kink,
        jump=real.jump or imaginary.jump,
        outside=real.outside or imaginary.outside,
        doubtful=real.doubtful or imaginary.doubtful,
    )


class _Question(NamedTuple):
    """What is asked about one real number of the gradient, along the axis of a unit; the rest is as for ``look_at``."""

    loss: Loss
    where: tuple[int, ...]
    unit: complex
    claimed: float
    tolerance: Tolerance
    step: float | None
    start: float | None
    confirm: bool

    @property
    def axis(self) -> Axis:
        """The loss along the element, as it is differenced now."""
        return self.loss.along_element(self.where, self.unit)

    def is_wrong(self, element: Element) -> bool:
        """Whether what is known of the true gradient contradicts the claim."""
        allowed = self.tolerance.at(abs(element.numerical))
        return bool(judge(self.claimed, element.numerical, element.bound, allowed).wrong)


def _real(asked: _Question) -> Element:
    element = _estimated(asked)
    if asked.step is None and asked.is_wrong(element) and (element.kink or asked.loss.is_tied(asked.where)):
        return Element(asked.claimed, 0.0, kink=True) if _is_in_hull(asked) else _at_ties(asked, element)
    return element


def _is_in_hull(asked: _Question) -> bool:
    """Whether the claim is a sum of subgradients of the outputs, each of which may choose its own.

    Two steps must show the same: rounding does not, nor does a kink that is merely near.
    """
    axis, step = asked.axis, asked.start or asked.loss.step_at(asked.where)
    far = axis.slopes(step)
    (low, high), closest = (hull(far, axis.slopes(part * step)) for part in (1 / SIGNIFICANT, NEAR))
    allowed = asked.tolerance.at(max(abs(low), abs(high)))
    agree = max(abs(low - closest[0]), abs(high - closest[1])) <= allowed
    return agree and low - allowed <= asked.claimed <= high + allowed


def _estimated(asked: _Question) -> Element:
    loss, claimed, tolerance, axis = asked.loss, asked.claimed, asked.tolerance, asked.axis
    first = asked.step or asked.start or loss.step_at(asked.where)
    element = _along(axis, claimed, tolerance, first, fixed=asked.step is not None)
    if asked.step is not None or not asked.is_wrong(element):
        return element
    if abs(claimed) <= tolerance.at(0.0) and axis.is_flat(element.numerical.real):
        # A staircase seen from afar has a slope, and none where one stands: rounding to integers is one, float32 too.
        return Element(element.numerical, math.inf)
    if axis.may_be_as_steep(claimed, element.numerical.real, first):
        return Element(element.numerical, math.inf)
    if not asked.confirm or _is_seen_nearby(axis, first, claimed, element, tolerance):
        return element
    if stair := axis.stair(max(abs(claimed), abs(element.numerical))):
        with loss.climbing(stair):
            return _along(asked.axis, claimed, tolerance, loss.step_at(asked.where), fixed=False)
    if element.kink or element.jump:
        return element
    return replace(_beside(cache(axis), first, claimed, tolerance, UNKNOWN), doubtful=True)


def _at_ties(asked: _Question, kink: Element) -> Element:
    """Look for other derivatives near a kink, or among ties, whose two sides do not admit the claim."""
    side = kink.numerical.real
    allowed = asked.tolerance.at(abs(side))
    admitted = admitted_among_ties(
        asked.loss, asked.where, asked.unit, asked.claimed, asked.tolerance.rtol, allowed, side
    )
    if admitted:
        return Element(asked.claimed, 0.0, kink=True)
    return kink if admitted is False else Element(side, math.inf, kink=True)


def _is_seen_nearby(axis: Axis, step: float, claimed: float, element: Element, tolerance: Tolerance) -> bool:
    """Whether differences closer to the point bear an estimate out: what spoils it may lie inside the step.

    The closest that can tell the claim from the estimate decides. Where rounding lets none of them, the estimate
    stands, unless the closer ones lie by the claim: a forward with kinks everywhere seems noisier than it is, and
    one whose second derivative is infinite at the point converges more slowly than extrapolation takes for granted.
    """
    if element.kink:
        return False
    slope = element.numerical.real
    by_the_claim = True
    for part, share in NEARBY:
        near = axis(step / part)
        if near is None:
            return True
        doubt = near.rounding + SLOPE_RTOL * abs(slope)
        if abs(near.central - slope) > element.bound + doubt or slope == 0.0:
            return False
        if abs(near.central - claimed) > doubt + tolerance.at(abs(slope)):
            return True
        by_the_claim = by_the_claim and abs(near.central - claimed) <= share * abs(near.central - slope)
    return not by_the_claim


def _along(axis: Axis, claimed: float, tolerance: Tolerance, step: float, *, fixed: bool) -> Element:
    """Estimate the derivative along an axis, from differences at a fixed step or from there on."""

    def settled(made: Estimate) -> bool:
        judged = judge(claimed, made.value, made.bound, tolerance.at(abs(made.value)))
        return bool(judged.right or judged.wrong)

    sample = cache(axis)
    if not fixed and (kink := _kink_between(sample, step, claimed, tolerance)):
        return kink
    estimate = estimate_at_step(sample, step) if fixed else estimate_derivative(sample, step, settled)
    if judge(claimed, estimate.value, estimate.bound, tolerance.at(abs(estimate.value))).right:
        return Element(estimate.value, estimate.bound)
    if not suspicious(sample, step):
        return Element(estimate.value, estimate.bound, outside=axis.outside and math.isinf(estimate.bound))
    return _beside(sample, step, claimed, tolerance, estimate)


def _kink_between(sample: Sampler, step: float, claimed: float, tolerance: Tolerance) -> Element | None:
    """Return a kink at the very point whose two sides admit the claim; None where the slopes show none.

    Central differences see no end of a kink, at whatever step: the two sides tell at once.
    """
    near = sample(step)
    if near is None or not suspicious(sample, step):
        return None
    low, high = sorted((near.down, near.up))
    allowed = tolerance.at(max(abs(low), abs(high)))
    if not low - allowed <= claimed <= high + allowed:
        return None
    sides = _beside(sample, step, claimed, tolerance, UNKNOWN)
    return sides if sides.kink and sides.bound == 0.0 else None


def _beside(sample: Sampler, step: float, claimed: float, tolerance: Tolerance, central: Estimate) -> Element:
    """Look at the two sides of a point whose central difference does not bear out the claim."""
    sides = compare_sides(sample, step)
    if sides.jumps:
        return Element(central.value, math.inf, jump=True)
    if sides.differ:
        largest = max(abs(sides.below.value), abs(sides.above.value))
        if sides.admit(claimed, tolerance.at(largest)):
            return Element(claimed, 0.0, kink=True)
        nearest = min((sides.below, sides.above), key=lambda side: abs(side.value - claimed))
        return Element(nearest.value, nearest.bound, kink=True)
    # No kink at the point itself, but one beside it may have spoilt the wider central difference.
    narrow = Estimate((sides.below.value + sides.above.value) / 2, max(sides.below.bound, sides.above.bound), 0.0)
    best = central if narrow.agrees_with(central) and central.bound <= narrow.bound else narrow
    return Element(best.value, best.bound)
