"""Finding the step and the tolerance that suit root tests of a block, from what they measure themselves.

Differences at two steps tell truncation, which a smaller step would mend, from an error of the claim. Where the noise
of so many elements together is larger than the tolerance, the tolerance is raised to what the noise allows
(``Gauge.floor``): a larger error is still found for sure, a smaller one may not be, and the resolution of the result
says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from gradaudit.numerics.arrays import Array
from gradaudit.numerics.gauge import AFTER_FEWEST, COARSE_RESOLUTION, FEWEST, THRESHOLDS, Gauge, finest_gauge
from gradaudit.numerics.judging import Judgement
from gradaudit.numerics.margins import HALFWAY, MAX_ATTEMPTS, SAFETY, SIGNIFICANT, SMALL_SAMPLE, STEP
from gradaudit.numerics.noise import NOISE_POINTS, SAME_NOISE, read_walk
from gradaudit.numerics.root_test import RootTest, RootTester
from gradaudit.numerics.survey import COARSE, ROUNDINGS
from gradaudit.results import changed
from gradaudit.spec.dtypes import spacing

KNOWN_STEP_NOISE = HALFWAY
"""The same at a step to which truncation was measured to be half of rounding."""

NOISE_STEPS = tuple(SAFETY * SIGNIFICANT**k for k in range(SMALL_SAMPLE))
"""Parts of the step at which noise is measured, one after the other, as long as it is none.

In a dtype that is coarse by declaration also as long as it falls: kinks inside the step do. Elsewhere rounding to a
coarser dtype inside forward falls too, once its stairs go out of view.
"""

SHRINK = SAFETY * SIGNIFICANT
"""Factor on a step that left the domain of forward, or that has kinks inside."""


class TooMuchError(Exception):
    """Nothing can be tested together: too many elements make tests fail, or the noise leaves nothing to test.

    Carries the step in use, and the largest sum of errors that a root test saw, as an absolute error.
    """

    def __init__(self, step: float, largest: float = math.inf) -> None:
        super().__init__()
        self.step = step
        self.largest = largest


class Calibrated(NamedTuple):
    """What is known of forward once root tests have little enough noise.

    ``spacing`` is that of a dtype which would make it as noisy as it is, ``step`` one at which it is smooth,
    in units of the inputs' scales.
    """

    spacing: float
    step: float


class Calibration:
    """Chooses the steps and tolerances of root tests.

    Args:
        tester: draws and measures root tests.
        typical: magnitude of a typical gradient, times the scale of its input, that resolution is relative to.
        spacing: distance from 1 to the next number of the dtype that forward computes in.

    Attributes:
        tester: likewise.
        typical: likewise, for the elements that are tested at present.
        calibrated: what is known of forward once root tests have little enough noise; None before.
        kinked: whether forward turns at the point itself.
        moved: share of the outputs that the least telling of the steps in use changed.

    """

    def __init__(self, tester: RootTester, *, typical: float, spacing: float) -> None:
        self.tester = tester
        self.typical = typical
        self._line = line = tester.line
        self._noise = ROUNDINGS * spacing * line.signal
        self._noise_of_changes = ROUNDINGS * spacing * typical * math.sqrt(line.size)
        self._noise_seen = False
        self._declared_coarse = spacing > COARSE
        self.calibrated: Calibrated | None = None
        self.kinked = False
        self.moved = 1.0

    def next_step(self) -> float:
        """Turn to the elements that were hardly moved by the steps so far; return a step for them.

        Raises:
            TooMuchError: where none was moved enough since this was called last.

        """
        magnitude = self.tester.tested.next_turn()
        if magnitude == 0.0:
            raise TooMuchError(self._starting_step())
        return self._starting_step() * magnitude

    def calibrate(
        self, start: int, stop: int, culprits: Callable[[RootTest, Gauge], Judgement], step: float | None = None
    ) -> tuple[Gauge, RootTest]:
        """Find a step at which the noise of a block's root test is small, and return its first result.

        Differences at two steps tell truncation, which a smaller step would mend, from an error of the claim.

        Args:
            start: first element of the block.
            stop: the one after its last.
            culprits: looks for the elements that make a test fail; kinks inside the step look like truncation.
            step: where to start, None for a guess.

        Raises:
            TooMuchError: where no step is good.

        """
        margin = KNOWN_STEP_NOISE if step else SAFETY
        step = step or self._starting_step()
        expected = margin * self._noise * math.sqrt((stop - start) / self._line.size) / step
        most = math.inf
        unexplained, worthwhile = True, 1.0
        for _ in range(MAX_ATTEMPTS):
            gauge = finest_gauge(step, expected, self.tester.atol, self.typical, fewest=self.tester.even)
            test = self.tester.test(start, stop, gauge, watched=True)
            moved, bend = self._line.moved, self._line.bend
            wide = self.tester.measure(test, 2 * step)
            if not math.isfinite(test.result + wide):
                step /= SHRINK
                expected = SAFETY * self._noise / step
                continue
            truncation = SAFETY * abs(wide - test.result) * test.unit / 3
            rounding = self._rounding(test, step)
            allowed = gauge.threshold * test.unit
            useful = gauge.floor <= max(self.tester.atol, COARSE_RESOLUTION * self.typical)
            if truncation + rounding <= allowed and useful:
                self._noise_seen = True
                self._record(moved, bend, rounding * step)
                gauge = self._doubled(gauge, test, wide, 4 * truncation + rounding / 2)
                return self._settled(start, stop, gauge), test
            if not self._noise_seen and unexplained:
                unexplained = False
                found = culprits(test, gauge)
                if found is Judgement.WRONG:  # without those, the step may turn out to be good
                    continue
                if found is Judgement.RIGHT:  # kinks inside the step: a smaller one meets fewer
                    step /= SHRINK
                    expected = SAFETY * rounding * SHRINK
                    continue
            if not self._noise_seen and self._measure_noise(test, step):
                step = self._starting_step()
                expected = SAFETY * self._noise / step
                continue
            rounding = self._rounding(test, step)  # as measured by now
            move = min(_balancing_move(truncation, rounding), most / step)
            predicted = KNOWN_STEP_NOISE * (rounding / move + truncation * move**2)
            accurate = move == 1.0 and truncation + rounding <= allowed
            if accurate and not predicted < expected / worthwhile:
                self._record(moved, bend, rounding * step)
                return self.tester.with_grid(start, stop, gauge), test
            worthwhile = math.inf if accurate else worthwhile  # once: the next may be noisier again
            if move < 1.0:  # along another direction a step that was too large may not seem so
                most = step / 2
            step, expected = step * move, predicted
        raise TooMuchError(step)

    def _record(self, moved: float, bend: float, noise: float) -> None:
        """Record what a step showed that every element was displaced by: the outputs that changed, and a kink.

        Twice the step bends a smooth function four times as much, and doubles what a kink turns it by.
        """
        if self.tester.tested.turn is None:
            self.moved = min(self.moved, moved)
            self.kinked |= abs(bend) > SIGNIFICANT * noise and abs(self._line.bend) < 2 * HALFWAY * abs(bend)

    def _rounding(self, test: RootTest, step: float) -> float:
        """Return what the rounding of outputs, and of their changes, may come to in a root test."""
        return self._noise * test.share / step + self._noise_of_changes

    def _doubled(self, gauge: Gauge, test: RootTest, wide: float, error: float) -> Gauge:
        """Return the gauge of twice a good step, which noise weighs half at, with the fewest rounds if a test has none.

        Itself where truncation is too much there. The choice is made by what the error may be, and not by the results:
        they would be two chances to pass.
        """
        if error > AFTER_FEWEST * test.unit:
            return gauge
        test.result = wide
        # Most right gradients keep the least threshold: noise is less than it may be.
        fewest = self.tester.even and abs(wide) <= FEWEST and gauge.threshold == THRESHOLDS[2]
        return changed(gauge, step=2 * gauge.step, threshold=FEWEST if fewest else gauge.threshold)

    def _settled(self, start: int, stop: int, gauge: Gauge) -> Gauge:
        """Return a gauge whose step is good as it is, and remember what it says of forward if it moves anything."""
        gauge = self.tester.with_grid(start, stop, gauge)
        if math.isfinite(gauge.grid):
            spacing = self._noise / ROUNDINGS / (self._line.signal or 1.0)
            self.calibrated = Calibrated(spacing, 2.0 ** round(math.log2(gauge.step)))
        return gauge

    def _starting_step(self) -> float:
        """Return a step somewhat below that at which truncation and rounding of a well-scaled function balance.

        Rounding is known beforehand and truncation is not: too small a step costs resolution, too large a second try.
        """
        relative = self._noise / (self._line.signal or 1.0)
        return math.cbrt(max(relative, spacing("float64") / SIGNIFICANT)) / 2

    def _measure_noise(self, test: RootTest, step: float) -> bool:
        """Measure forward's noise along a direction; return whether it is far from what was taken for granted."""
        middle = NOISE_POINTS // 2
        self._noise_seen = True
        measured = math.inf
        for shrink in NOISE_STEPS:
            values = self._line.walk(test.direction, step / shrink, range(-middle, middle + 1))
            walk = read_walk(values[:, None])
            if not walk.level * SAME_NOISE < measured:
                break
            measured = walk.level if walk.flat else math.inf
            if walk.flat and not self._declared_coarse:
                break
        if not measured <= ROUNDINGS * spacing("bfloat16") * self._line.signal:
            return False  # more than that of any dtype: a function whose scale is far below the step
        assumed = self._noise
        least = assumed / ROUNDINGS / math.sqrt(12)  # the rms of rounding to nearest: an op without arithmetic has none
        self._noise = max(least, SAFETY * measured / (test.share or 1.0))
        return not least < self._noise <= SAFETY * assumed

    def slope_of_unclaimed(self, elements: Array) -> tuple[RootTest, Gauge] | None:
        """Return a test in which forward has a slope along elements of which nothing is claimed, more than rounding.

        It takes one forward where that stands still. Where it does not for a kink inside the step, or for a curvature
        that central differences do not see, no slope is left at smaller steps.
        """
        self.tester.tested.turn_to(elements)
        direction = self.tester.draw(0, self._line.size, self.tester.atol).direction
        self._line.excess_one_sided(direction, STEP, watched=True)
        if not self._line.moved:
            return None
        near, closer = STEP / SHRINK, STEP / SHRINK**2
        slope = self._line.excess(direction, near, watched=True)
        least = max(self.tester.atol, SAFETY * self._noise * self._line.touched / near)
        if not least < abs(slope) < math.inf or abs(self._line.excess(direction, closer)) < abs(slope) / HALFWAY:
            return None
        return RootTest(direction, least, slope / least), Gauge(near, least, 1.0)

    def parts(self, start: int, stop: int, gauge: Gauge) -> int:
        """Return into how many parts the noise of a block asks to cut it, so that each has a useful resolution.

        Noise grows as the square root of the size.

        Raises:
            TooMuchError: where looking at each element by itself is no dearer.

        """
        coarse = COARSE_RESOLUTION * self.typical
        excess = gauge.floor / coarse if coarse else math.inf
        if gauge.floor <= self.tester.atol or excess <= 1.0:
            return 1
        if not excess <= math.sqrt((stop - start) / (gauge.rounds + 1)):
            raise TooMuchError(gauge.step)
        return math.ceil(excess**2)

    def matches_one_side(self, elements: Array, step: float) -> bool:
        """Whether the claims for some elements are all derivatives to the left, or all derivatives to the right.

        Differences to one side see no kink: with a fixed sign and random magnitudes they are a root test of their own.
        """
        gauge = Gauge(step, max(self.tester.atol, 5 * self._noise / step / THRESHOLDS[-1]), THRESHOLDS[-1])
        allowed = gauge.threshold * gauge.floor
        return any(
            all(abs(self.tester.measure_one_sided(elements, side, step)) <= allowed for _ in range(gauge.rounds))
            for side in (-1.0, 1.0)
        )


def _balancing_move(truncation: float, rounding: float) -> float:
    """Return the power of two that brings a step to where truncation, which goes with h^2, is half of rounding."""
    if truncation == 0.0 or rounding == 0.0:
        return 1.0
    doublings = (math.log2(rounding) - math.log2(truncation) - 1.0) / 3  # their ratio may be beyond all numbers
    doublings = round(max(-8.0, min(8.0, doublings)))
    return math.ldexp(1.0, doublings) if abs(doublings) > 1 else 1.0
