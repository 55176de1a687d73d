"""Close looks at single indices: their derivatives, or where there are none, what lies on their two sides.

Many indices are looked at together, a row each: of every difference that is taken all rows take theirs before the next.
What comes up at few of them, such as a kink, is looked into at one after the other.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.derivative import (
    UNKNOWN,
    Differences,
    Estimate,
    Floats,
    Mask,
    Rows,
    estimate_at_steps,
    estimate_derivatives,
)
from gradaudit.numerics.judging import Judged, judge
from gradaudit.numerics.kink import admitted_among_ties, compare_sides, hull, suspicious
from gradaudit.numerics.loss import Loss
from gradaudit.numerics.margins import HEADROOM, NEAR, SIGNIFICANT, SLOPE_RTOL

Array = NDArray[Any]


NEARBY = ((HEADROOM, 0.5), (SIGNIFICANT, 1.0), (2.0, math.inf))
"""Parts of the first step at which an estimate is confirmed before a claim is called wrong.

With each, how far from the claim a difference may lie, in units of how far from the estimate, to speak for the claim.
"""


class Element(NamedTuple):
    """What is known of the true gradient at an index, or at many: then arrays of shape (n,), written to by and by.

    Attributes:
        numerical: the estimate; at a kink that admits the claim, the claim itself.
        bound: what it may be off by; infinite where forward is not finite around the point.
        kink: whether the one-sided derivatives differ there.
        jump: whether forward itself is discontinuous there.
        outside: whether nothing is known because forward is not finite around the point.
        doubtful: whether differences closer to the point bore neither the estimate out nor the claim.
        known: whether all is known that was asked.

    """

    numerical: Any
    bound: Any
    kink: Any = False
    jump: Any = False
    outside: Any = False
    doubtful: Any = False
    known: Any = True

    @classmethod
    def unknown(cls, size: int, dtype: Any = np.float64) -> Element:
        """Return what is known of so many indices before any is looked at."""
        return cls(np.full(size, np.nan, dtype), np.full(size, np.inf), *np.zeros((5, size), np.bool_))

    def at(self, rows: Any) -> Element:
        """Return what is known of some of many, or of one."""
        return Element(*(part[rows] for part in self))

    def write(self, rows: Any, found: Element) -> None:
        """Write what was found out about some of many, or about one."""
        for part, there in zip(self, found, strict=True):
            part[rows] = there

    def of_complex(self) -> Element:
        """Return what is known of complex numbers, whose real and imaginary parts these are in turns."""
        real, imaginary = self.at(slice(0, None, 2)), self.at(slice(1, None, 2))
        marks = (one | other for one, other in zip(real[2:-1], imaginary[2:-1], strict=True))
        made = Element(self.numerical.view(np.complex128), np.hypot(real.bound, imaginary.bound), *marks)
        return made._replace(known=real.known & imaginary.known)


class Asked(NamedTuple):
    """What is to be found out: whether claims are right.

    Attributes:
        places: the elements of the input, in C order: shape (n,), as all others.
        claimed: the analytical gradient there.
        rtol: relative part of what difference is allowed.
        atol: absolute part.

    """

    places: Rows
    claimed: Array
    rtol: Floats
    atol: Floats

    def allowed(self, magnitudes: Any) -> Floats:
        """Return the differences allowed where the numerical gradient has these magnitudes."""
        allowed: Floats = self.atol + self.rtol * magnitudes
        return allowed

    def judged(self, numerical: Array, bound: Floats) -> Judged:
        """Judge the claims."""
        return judge(self.claimed, numerical, bound, self.allowed(abs(numerical)))

    def of(self, row: int) -> Asked:
        """Return one of them."""
        one = slice(row, row + 1)
        return Asked(self.places[one], self.claimed[one], self.rtol[one], self.atol[one])


def look_at(
    loss: Loss,
    asked: Asked,
    step: float | None = None,
    start: float | None = None,
    *,
    confirm: bool = True,
) -> tuple[Element, Exception | None]:
    """Estimate derivatives as well as it takes to decide about claims.

    Where a claim is not right by then, the two sides of the point are compared: at a kink any value between the
    one-sided derivatives is right.

    Args:
        loss: the op as a function of the input.
        asked: the claims.
        step: a fixed step, None to choose one.
        start: the power of two to start choosing from, None for what the survey of forward suggests.
        confirm: whether a claim is called wrong only after a look much closer to the point.

    Returns:
        What was found out, and what brought that to an end before its time; None for nothing.

    """
    if not np.iscomplexobj(asked.claimed):
        return _Looks(loss, asked, np.ones(len(asked.places)), step, start, confirm).made()
    reals = np.ascontiguousarray(asked.claimed).view(np.float64)
    parts = Asked(np.repeat(asked.places, 2), reals, np.repeat(asked.rtol, 2), np.repeat(asked.atol, 2))
    units = np.tile((1.0, 1j), len(asked.places))
    made, ended = _Looks(loss, parts, units, step, start, confirm).made()
    return made.of_complex(), ended


class _Looks:
    """Looks at some real numbers of the gradient, along the axes of units; the rest is as for ``look_at``."""

    def __init__(
        self, loss: Loss, asked: Asked, units: Array, step: float | None, start: float | None, confirm: bool
    ) -> None:
        self._loss = loss
        self._asked = asked
        self._units = units.astype(np.complex128)
        self._fixed = step is not None
        self._confirm = confirm
        first = step or start
        self._first = np.full(units.shape, first) if first else loss.steps_at(asked.places)
        self._axes = loss.along(asked.places, self._units)
        self._differences = Differences(self._axes, self._first)
        self._seen = Element.unknown(len(units))

    def made(self) -> tuple[Element, Exception | None]:
        """Return what was found out, and what brought that to an end before its time."""
        try:
            self._look()
            return self._seen, self._axes.ended
        except Exception as ended:
            return self._seen, ended
        finally:
            self._loss.vicinity.ended = None

    def _look(self) -> None:
        """Find out what there is to be, each row's as soon as it can be had."""
        found, left = self._estimated()
        if not left.any():
            return
        wrong = left & self._wrong(found)
        self._keep(found, left & ~wrong)
        if self._fixed or not wrong.any():
            self._keep(found, wrong)
            return
        # A staircase seen from afar has a slope, and none where one stands: rounding to integers is one, float32 too.
        for unseen in (self._are_flat(found, wrong), self._may_be_as_steep(found, wrong)):
            found.bound[unseen] = np.inf
            self._keep(found, unseen)
            wrong = wrong & ~unseen
        if self._confirm:
            seen = self._are_seen_nearby(found, wrong)
            wrong = wrong & ~self._axes.missing
            for row in (wrong & ~seen).nonzero()[0].tolist():
                found.write(row, self._closer(row, found.at(row)))
        for row in (wrong & self._wrong(found)).nonzero()[0].tolist():
            if found.kink[row] or self._loss.is_tied(self._asked.places[row]):
                found.write(row, self._in_hull_or_at_ties(row, found.at(row)))
        self._keep(found, wrong)

    def _keep(self, found: Element, rows: Mask) -> None:
        found.known[rows] = True
        self._seen.write(rows, found.at(rows))

    def _wrong(self, found: Element) -> Mask:
        """Whether what is known of the true gradients contradicts the claims."""
        return np.asarray(self._asked.judged(found.numerical, found.bound).wrong)

    def _estimated(self) -> tuple[Element, Mask]:
        """Estimate the derivatives, from differences at fixed steps or from there on.

        Returns:
            What was found, and for which rows it is not known to be right; those that are, are kept.

        """
        left = np.ones(len(self._first), bool)
        self._differences.take_pairs(left)
        left = left & ~self._axes.missing
        near, far = (self._differences.at(place, ~left & False) for place in (0, 1))
        doubtful = suspicious(near, far)
        if self._fixed:
            estimate = estimate_at_steps(self._differences)
        else:
            left = left & ~self._keep_kinks(near.up, near.down, left & doubtful)
            estimate = estimate_derivatives(self._differences, self._settled, left)
        left = left & ~self._axes.missing
        found = Element.unknown(len(self._first))
        found.numerical[:], found.bound[:] = estimate.value, estimate.bound
        left = left & ~self._keep_right(estimate)
        found.outside[:] = self._axes.outside & np.isinf(estimate.bound)
        for row in (left & doubtful).nonzero()[0].tolist():
            found.write(row, self._beside(row, estimate.at(row)))
        return found, left

    def _settled(self, made: Estimate) -> Mask:
        return np.asarray(self._keep_right(made) | self._asked.judged(made.value, made.bound).wrong)

    def _keep_right(self, made: Estimate) -> Mask:
        """Keep the estimates that bear out the claims, and return which these are."""
        right = np.asarray(self._asked.judged(made.value, made.bound).right & ~self._axes.missing)
        self._seen.numerical[right], self._seen.bound[right] = made.value[right], made.bound[right]
        self._seen.known[right] = True
        return right

    def _keep_kinks(self, up: Floats, down: Floats, rows: Mask) -> Mask:
        """Keep kinks at the very points whose two sides admit the claims, and return where they are.

        Central differences see no end of a kink, at whatever step: the two sides tell at once.
        """
        low, high = np.minimum(up, down), np.maximum(up, down)
        allowed, claimed = self._asked.allowed(np.maximum(abs(low), abs(high))), self._asked.claimed
        kept = np.zeros(rows.shape, bool)
        for row in (rows & (low - allowed <= claimed) & (claimed <= high + allowed)).nonzero()[0].tolist():
            sides = self._beside(row, UNKNOWN)
            if sides.kink and sides.bound == 0.0:
                self._seen.write(row, sides)
                kept[row] = True
        return kept

    def _beside(self, row: int, central: Estimate) -> Element:
        """Look at the two sides of a point whose central difference does not bear out the claim."""
        claimed, asked = float(self._asked.claimed[row]), self._asked.of(row)
        sides = compare_sides(partial(self._axes.at, row), float(self._first[row]))
        if sides.jumps:
            return Element(float(central.value), math.inf, jump=True)
        if sides.differ:
            largest = max(abs(sides.below.value), abs(sides.above.value))
            if sides.admit(claimed, float(asked.allowed(largest)[0])):
                return Element(claimed, 0.0, kink=True)
            nearest = min((sides.below, sides.above), key=lambda side: abs(side.value - claimed))
            return Element(nearest.value, nearest.bound, kink=True)
        # No kink at the point itself, but one beside it may have spoilt the wider central difference.
        narrow = Estimate((sides.below.value + sides.above.value) / 2, max(sides.below.bound, sides.above.bound), 0.0)
        best = central if central.bound <= narrow.bound else narrow
        return Element(float(best.value), float(best.bound))

    def _are_flat(self, found: Element, rows: Mask) -> Mask:
        """Whether the outputs do not change so close to the point, where nothing is claimed."""
        flat = rows & (abs(self._asked.claimed) <= self._asked.allowed(0.0))
        where = flat.nonzero()[0]
        flat[where] = self._axes.are_flat(where, found.numerical[where])
        return flat

    def _may_be_as_steep(self, found: Element, rows: Mask) -> Mask:
        """Whether a function whose slope seems to be far less than claimed may have waves that are as steep.

        One that oscillates has any slope, and none that is meant, at steps that are wider than its waves. So close to
        the point that they would show, its outputs change by more than the slopes at that step explain.
        """
        size, wide = abs(self._asked.claimed), self._differences.at(0, rows & False)
        steep = rows & (SIGNIFICANT * abs(found.numerical) < size) & np.isfinite(size) & ~np.isnan(wide.rounding)
        steep &= ~(size <= SIGNIFICANT * np.fmax(abs(wide.up), abs(wide.down)))
        change = NEAR * self._loss.declared_noise / self._loss.grid
        where = steep.nonzero()[0]
        close = self._axes.close_steps(where, change / size[where])
        steep[where] = close < self._first[where]
        where, close = where[steep[where]], close[steep[where]]
        near = self._axes(where, close[:, None])
        steep[where] = abs(near.central[:, 0] - wide.central[where]) * close > change / SIGNIFICANT
        return np.asarray(steep)

    def _are_seen_nearby(self, found: Element, rows: Mask) -> Mask:
        """Whether differences closer to the point bear estimates out: what spoils one may lie inside the step.

        The closest that can tell the claim from the estimate decides. Where rounding lets none of them, the estimate
        stands, unless the closer ones lie by the claim: a forward with kinks everywhere seems noisier than it is, and
        one whose second derivative is infinite at the point converges more slowly than extrapolation takes for granted.
        """
        slope, claimed = found.numerical, self._asked.claimed
        going, seen, by_the_claim = rows & ~found.kink, rows & False, rows
        for part, share in NEARBY:
            if not going.any():
                break
            near = self._differences.at(-round(math.log2(part)), going)
            doubt = near.rounding + SLOPE_RTOL * abs(slope)
            off, from_claim = abs(near.central - slope), abs(near.central - claimed)
            seen = seen | (going & np.isnan(near.rounding))
            going = going & ~np.isnan(near.rounding) & ~(off > found.bound + doubt) & (slope != 0.0)
            seen = seen | (going & (from_claim > doubt + self._asked.allowed(abs(slope))))
            going = going & ~seen
            by_the_claim = by_the_claim & (from_claim <= share * off)
        return np.asarray(seen | (going & ~by_the_claim))

    def _closer(self, row: int, element: Element) -> Element:
        """Look again at a point where nothing close to it bears out what contradicts the claim."""
        stair = self._axes.stair(row, max(abs(self._asked.claimed[row]), abs(element.numerical)))
        if stair:
            with self._loss.climbing(stair):
                again = _Looks(self._loss, self._asked.of(row), self._units[row : row + 1], None, None, False)
                found, left = again._estimated()
                if again._axes.missing[0] and again._axes.ended:
                    raise again._axes.ended
                return (found if left[0] else again._seen).at(0)
        if element.kink or element.jump:
            return element
        return self._beside(row, UNKNOWN)._replace(doubtful=True)

    def _in_hull_or_at_ties(self, row: int, kink: Element) -> Element:
        """Look for other derivatives near a kink, or among ties, whose two sides do not admit the claim."""
        claimed, side, asked = float(self._asked.claimed[row]), kink.numerical.real, self._asked.of(row)
        if self._is_in_hull(row):
            return Element(claimed, 0.0, kink=True)
        index = tuple(int(k) for k in np.unravel_index(self._asked.places[row], self._loss.shape))
        rtol, allowed = float(asked.rtol[0]), float(asked.allowed(abs(side))[0])
        unit = 1j if self._units[row].imag else 1.0
        admitted = admitted_among_ties(self._loss, index, unit, claimed, rtol, allowed, side)
        if admitted:
            return Element(claimed, 0.0, kink=True)
        return kink if admitted is False else Element(side, math.inf, kink=True)

    def _is_in_hull(self, row: int) -> bool:
        """Whether the claim is a sum of subgradients of the outputs, each of which may choose its own.

        Two steps must show the same: rounding does not, nor does a kink that is merely near.
        """
        claimed, rows, step = self._asked.claimed[row], np.array([row]), self._first[row : row + 1]
        far = self._axes.slopes(rows, step)
        (low, high), closest = (hull(far, self._axes.slopes(rows, part * step)) for part in (1 / SIGNIFICANT, NEAR))
        allowed = float(self._asked.of(row).allowed(max(abs(low), abs(high)))[0])
        agree = max(abs(low - closest[0]), abs(high - closest[1])) <= allowed
        return bool(agree and low - allowed <= claimed <= high + allowed)
