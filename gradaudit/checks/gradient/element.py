"""A close look at one index: its derivative, or where it has none, what lies on its two sides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.decision import settles
from gradaudit.numerics.derivative import Estimate, Sampler, estimate_at_step, estimate_derivative
from gradaudit.numerics.kink import compare_sides, suspicious
from gradaudit.numerics.loss import Loss
from gradaudit.spec.case import Tolerance

Array = NDArray[Any]


@dataclass(frozen=True)
class Element:
    """What is known of the true gradient at an index.

    Attributes:
        numerical: the estimate; at a kink that admits the claim, the claim itself.
        bound: what it may be off by; infinite where forward is not finite around the point.
        kink: whether the one-sided derivatives differ there.
        jump: whether forward itself is discontinuous there.
        outside: whether nothing is known because forward is not finite around the point.

    """

    numerical: complex
    bound: float
    kink: bool = False
    jump: bool = False
    outside: bool = False


def look_at(
    loss: Loss,
    index: tuple[int, ...],
    claimed: complex,
    tolerance: Tolerance,
    step: float | None = None,
    start: float | None = None,
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

    """
    if not np.iscomplexobj(claimed):
        return _real(loss, index, 1.0, float(claimed.real), tolerance, step, start)
    real = _real(loss, index, 1.0, claimed.real, tolerance, step, start)
    imaginary = _real(loss, index, 1j, claimed.imag, tolerance, step, start)
    return Element(
        numerical=complex(real.numerical.real, imaginary.numerical.real),
        bound=math.hypot(real.bound, imaginary.bound),
        kink=real.kink or imaginary.kink,
        jump=real.jump or imaginary.jump,
        outside=real.outside or imaginary.outside,
    )


def _real(
    loss: Loss,
    index: tuple[int, ...],
    unit: complex,
    claimed: float,
    tolerance: Tolerance,
    step: float | None,
    start: float | None,
) -> Element:
    def settled(made: Estimate) -> bool:
        return settles(claimed, made.value, made.bound, tolerance.rtol, tolerance.atol)

    axis = loss.along_element(index, unit)
    sample = cache(axis)
    if step is not None:
        start, estimate = step, estimate_at_step(sample, step)
    else:
        start = start or loss.step_at(index)
        estimate = estimate_derivative(sample, start, settled)
    if abs(claimed - estimate.value) + estimate.bound <= tolerance.at(abs(estimate.value)):
        return Element(estimate.value, estimate.bound)
    if not suspicious(sample, start):
        return Element(estimate.value, estimate.bound, outside=axis.outside and math.isinf(estimate.bound))
    return _beside(sample, start, claimed, tolerance, estimate)


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
