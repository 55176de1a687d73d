"""A root test that failed, where there was no time to find out at which index: whether it is evidence by itself.

It is where the same error shows at the step of the test, much closer to the point, and over a much wider step; where
the error is more than allowed ones may add up to; and where a forward that is only approximate does not explain it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.excuse import APPROXIMATION_ERROR
from gradaudit.checks.gradient.fold import VANISHING
from gradaudit.numerics.displacing import Direction
from gradaudit.numerics.gauge import Gauge, surely_more
from gradaudit.numerics.margins import HEADROOM, SPREAD, WIDE_STEP
from gradaudit.numerics.root_test import RootTest, RootTester


@dataclass(frozen=True)
class Suspect:
    """A part of the gradients of a case that a root test says is wrong somewhere.

    Attributes:
        tester: measures it.
        test: the test; its direction says which part.
        gauge: the step and the threshold of the test.
        positions: places of the numbers of one gradient in the one vector of all that were tested together.

    """

    tester: RootTester
    test: RootTest
    gauge: Gauge
    positions: range

    def accusation(self, claim: Claim) -> str:
        """Say what is wrong with the gradient, and that it was not located; nothing where that is not certain.

        It takes up to five forwards.
        """
        whole, positions = self.test.direction, self.positions
        part = replace(whole, start=max(whole.start, positions.start), stop=min(whole.stop, positions.stop))
        error = self._error_in(claim, part) if part.size > 0 else 0.0
        if not error:
            return ""
        if part.size == 1:
            index = claim.index_of((part.start - positions.start) // (claim.numbers // claim.size))
            return f"index {index} is off by a relative error of {error:.2g}; not tested more closely"
        some = "its elements" if part.size == len(positions) else f"{part.size:,} of its elements"
        return f"along a random direction of {some} the gradient is off by a relative error of {error:.2g}; not located"

    def _error_in(self, claim: Claim, part: Direction) -> float:
        """Return the error of a gradient along a direction, relative to the claim; 0 where none is certain."""
        whole, line = self.test.direction, self.tester.line
        is_known = part.size == whole.size and math.isfinite(self.test.result)
        error = self.test.result * self.test.unit if is_known else line.excess(part, self.gauge.step)
        if not abs(error) > max(self.gauge.threshold * self.test.unit, surely_more(self.tester.allowed_along(part))):
            return 0.0
        closer, moved_closer = line.excess_one_sided(part, self.gauge.step / HEADROOM, watched=True), line.moved
        wide, moved = line.excess(part, WIDE_STEP, watched=True), line.moved
        if not moved or 2 * moved_closer < moved:  # it stands on a stair, whose slope is no evidence
            return 0.0
        if not all(abs(other - error) <= SPREAD * abs(error) for other in (closer, wide)):
            return 0.0
        relative = abs(error) / self._size(claim, part)
        return relative if relative > APPROXIMATION_ERROR else 0.0

    def _size(self, claim: Claim, part: Direction) -> float:
        """Return what a gradient claims along a direction; what a typical one would where that is more."""
        typical = max(claim.typical, VANISHING * claim.natural_scale)
        claimed, length = self.tester.line.sizes_along(part)
        return max(claimed, typical * length) or math.inf
