"""The root test: one random displacement of many elements at once, and the step and tolerance that suit it.

A block of elements is displaced along ``v_i = s_i a_i w_i``, with fair signs s, magnitudes a uniform on [1/2, 3/2] and
weights w that measure each error in units of its own tolerance. A right gradient leaves nothing but noise; a single
wrong index always shows, since it contributes at least half its error; any set of wrong indices is missed by one round
with probability at most tau, the threshold in units of the tolerance, because the last of them has a density of at
most 1/2.

Where the noise of so many elements together is larger than the tolerance, the tolerance is raised to what the noise
allows (``Gauge.floor``): a larger error is still found for sure, a smaller one may not be, and the resolution of the
result says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, NamedTuple

import numpy as np

from gradaudit.numerics.arrays import Array, count, elementwise, in_cache, like, namespace, written
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.displacing import Direction, Scales
from gradaudit.numerics.gauge import COARSE_RESOLUTION, THRESHOLDS, Gauge, finest_gauge
from gradaudit.numerics.noise import NOISE_POINTS, noise_along_line
from gradaudit.numerics.random_signs import random_bits, signed_magnitudes
from gradaudit.numerics.survey import COARSE, NOISE_MARGIN, ROUNDINGS
from gradaudit.numerics.tested import LEAST_MOVE, Tested

EXPECTED_NOISE = 4.0
"""How much of its rounding alone the whole error of a root test is expected to be before truncation is measured."""

KNOWN_STEP_NOISE = 1.5
"""The same at a step at which truncation was measured before."""

WORTH_ANOTHER = 1.5
"""How much finer a block must be testable than it was for another test at the same step."""

TRUNCATION_MARGIN = 3.0
"""How much larger the truncation error may be along another random direction than along the one it was measured on."""

MAX_SPREAD = 2.0**10
"""Ratio of tolerances up to which each error is weighed by its own.

Beyond it the displacement of an element would be lost in the rounding of the element.
"""

ABSURD_NOISE = 0.02
"""Relative noise beyond that of any dtype."""

NOISE_STEPS = (4.0, 32.0, 256.0, 2048.0)
"""Parts of the step at which noise is measured, one after the other, as long as it is none.

In a dtype that is coarse by declaration also as long as it falls: kinks inside the step do. Elsewhere rounding to a
coarser dtype inside forward falls too, once its stairs go out of view.
"""

FALL = 4.0
"""Factor by which noise that is measured at an eighth of the step must have fallen to have been something else."""

MOST_TAKEN_BACK = 16.0
"""How much smaller than was taken for granted measured noise is believed to be: an op without arithmetic has none."""

SHRINK = 32.0
"""Factor on a step that left the domain of forward, or that has kinks inside."""

LEAST_UNIT = 2.0**-1074
"""Tolerance of a gradient that has none, or one that underflows: any error is one."""

LARGEST = 2.0**1000
"""Beside what may not be off at all, any error is so large; infinity is left for a forward that is not finite."""

LEAST_NOISE = 1e-18
"""Relative noise that a first step is chosen for at least: no dtype rounds less."""

KINK = 8.0
"""How many times the noise a bend must be to be one."""

BETWEEN = 3.0
"""Between two, which a kink grows by as the step is doubled, and the four of a smooth function."""

FAR = 2.0**-6
"""Displacement, in units of the scales, at which a forward that rounds to a few digits has changed."""

MAX_CALIBRATIONS = 7
"""Steps tried for the root test."""


@dataclass
class RootTest:
    """One random direction in a block, and what it measured.

    ``direction`` holds ``s_i a_i w_i``; ``unit`` is the least tolerance among the block's, ``result`` the weighted sum
    of errors in units of it, and ``share`` that of forward's noise which the block's outputs carry.
    """

    direction: Direction
    unit: float
    result: float = math.nan
    share: float = 1.0


class Culprits(Enum):
    """What a few elements are that make a root test fail before its step is known to be good."""

    UNKNOWN = auto()
    FLAWED = auto()
    RIGHT = auto()


class TooMuchError(Exception):
    """Nothing can be tested together: too many elements make tests fail, or the noise leaves nothing to test.

    Carries the step in use, and the largest sum of errors that a root test saw, as an absolute error.
    """

    def __init__(self, step: float, largest: float = math.inf) -> None:
        super().__init__()
        self.step = step
        self.largest = largest


class Calibrated(NamedTuple):
    """What is known of forward once root tests are quiet.

    ``spacing`` is that of a dtype which would make it as noisy as it is, ``step`` one at which it is smooth,
    in units of the inputs' scales.
    """

    spacing: float
    step: float


class RootTester:
    """Draws and measures root tests.

    Args:
        line: the claim and the measurement along displacements.
        rtol: relative tolerance.
        atol: absolute tolerance of each input's gradient, by input.
        scales: what each input's displacements are measured in.
        typical: magnitude of a typical gradient, times the scale of its input, that resolution is relative to.
        spacing: distance from 1 to the next number of the dtype that forward computes in.
        rng: random stream for directions.

    Attributes:
        tested: the elements that tests are about.
        calibrated: what is known of forward once root tests are quiet; None before.
        kinked: whether forward turns at the point itself.
        moved: share of the outputs that the least telling of the steps in use changed.

    """

    def __init__(
        self,
        line: Directional,
        *,
        rtol: float,
        atol: Mapping[str, float],
        scales: Scales,
        typical: float,
        spacing: float,
        rng: np.random.Generator,
    ) -> None:
        self.line = line
        self.typical = typical
        self._rtol = rtol
        absolute = {name: least * scales[name] for name, least in atol.items()}
        self._atol = min(part if isinstance(part, float) else float(part.min()) for part in absolute.values())
        self._scales: Any = line.by_number(scales)
        self._absolute: Any = line.by_number(absolute)
        if isinstance(self._scales, float) != isinstance(self._absolute, float):
            none = namespace(line.claims).zeros_like(line.claims)
            self._scales, self._absolute = self._scales + none, self._absolute + none
        self.moved = 1.0
        self.kinked = False
        self._rng = rng
        self._noise = ROUNDINGS * spacing * line.signal()
        self._noise_of_changes = ROUNDINGS * spacing * typical * math.sqrt(line.size)
        self._declared_coarse = spacing > COARSE
        self.calibrated: Calibrated | None = None
        self._noise_seen = False
        self.tested = Tested(line)
        self._weighed: tuple[int, int, float] | None = None

    def next_step(self) -> float | None:
        """Turn to the elements that were hardly moved by the steps so far; return a step for them, None for none.

        Raises:
            TooMuchError: where none was moved enough since this was called last.

        """
        magnitude = self.tested.next_turn()
        if magnitude == 0.0:
            raise TooMuchError(self._starting_step())
        return None if magnitude is None else self._starting_step() * magnitude

    def moves_all(self, gauge: Gauge) -> bool:
        """Whether the step of a gauge moves every element that is not excluded."""
        self.tested.begin()
        self.draw(0, self.line.size, gauge.floor)
        self._with_grid(0, self.line.size, gauge)
        return self.tested.complete

    def _with_grid(self, start: int, stop: int, gauge: Gauge) -> Gauge:
        """Return a gauge, by which a block was drawn last, for those elements that its step moves by enough."""
        shortest = gauge.step / MAX_SPREAD
        if self.line.coarsest * LEAST_MOVE <= shortest:
            return replace(gauge, grid=self.line.coarsest / shortest)
        first = start - self.line.drawn_for(start, stop).start
        return replace(gauge, grid=self.tested.moved(start, stop, gauge.step * self._weights[first:][: stop - start]))

    def draw(self, start: int, stop: int, floor: float) -> RootTest:
        """Draw a direction for the elements from ``start`` to ``stop``, none with a tolerance below the floor."""
        if self._weighed != (start, stop, floor):
            self._weighed, self._unit, self._weights = (start, stop, floor), *self._weigh(start, stop, floor)
        drawn = self.line.drawn_for(start, stop)
        bits = random_bits(self._rng, stop - start)
        if len(bits) < count(self._weights):
            bits = np.pad(bits, (start - drawn.start, drawn.stop - stop))
        along = elementwise(_along, "float32", (like(bits, self._weights), self._weights))
        return RootTest(Direction(self.tested.only(along, drawn), drawn.start, start, stop), self._unit)

    def _weigh(self, start: int, stop: int, floor: float) -> tuple[float, Array]:
        """Return the least tolerance of the elements from ``start`` to ``stop``, and the weights to draw them with.

        They are kept for the next rounds in float32, as directions are: none is far from one.
        """
        claims = self.line.claims[start:stop]
        places = (slice(start + part.start, start + part.stop) for part in in_cache(claims))
        least = min(float(_tolerances(*self._parts_of_tolerances(part), self._rtol).min()) for part in places)
        unit = max(least, floor) or LEAST_UNIT
        parts = self._parts_of_tolerances(self.line.drawn_for(start, stop))
        vectors, numbers = (parts[:1], parts[1:]) if isinstance(self._scales, float) else (parts, ())
        return unit, elementwise(_weights, "float32", vectors, *numbers, self._rtol, unit)

    def _parts_of_tolerances(self, places: slice) -> tuple[Array, Any, Any]:
        """Return the claims of a range, the scales of its inputs, and their absolute tolerances times these."""
        claims = self.line.claims[places]
        if isinstance(self._scales, float):
            return claims, self._scales, self._absolute
        return claims, self._scales[places], self._absolute[places]

    def test(self, start: int, stop: int, gauge: Gauge, *, watched: bool = False) -> RootTest:
        """Draw a root test of the elements from ``start`` to ``stop``, and measure it."""
        test = self.draw(start, stop, gauge.floor)
        test.result = self.measure(test, gauge.step, watched=watched or self.tested.turned)
        test.share = self.line.touched
        return test

    def moves_further_away(self, share: float) -> bool:
        """Whether forward changes more of its outputs than a share when all elements are displaced much further."""
        test = self.draw(0, self.line.size, self.typical)
        self.measure(RootTest(test.direction, test.unit), FAR, watched=True)
        return self.line.moved > share

    def measure(self, test: RootTest, step: float, *, watched: bool = False) -> float:
        """Return the weighted sum of errors along a direction, in units of the least tolerance."""
        excess = self.line.excess(test.direction, step, watched=watched)
        return max(-LARGEST, min(LARGEST, excess / test.unit)) if math.isfinite(excess) else excess

    def calibrate(
        self, start: int, stop: int, culprits: Callable[[RootTest, Gauge], Culprits], step: float | None = None
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
        margin = KNOWN_STEP_NOISE if step else EXPECTED_NOISE
        step = step or self._starting_step()
        expected = margin * self._noise * math.sqrt((stop - start) / self.line.size) / step
        most = math.inf
        unexplained, worthwhile = True, WORTH_ANOTHER
        for _ in range(MAX_CALIBRATIONS):
            gauge = finest_gauge(step, expected, self._atol, self.typical)
            test = self.test(start, stop, gauge, watched=True)
            moved, bend = self.line.moved, self.line.bend
            wide = self.measure(test, 2 * step)
            if not math.isfinite(test.result + wide):
                step /= SHRINK
                expected = EXPECTED_NOISE * self._noise / step
                continue
            truncation = TRUNCATION_MARGIN * abs(wide - test.result) * test.unit / 3
            rounding = self._rounding(test, step)
            allowed = gauge.threshold * test.unit
            if truncation + rounding <= allowed and gauge.floor <= max(self._atol, COARSE_RESOLUTION * self.typical):
                self._noise_seen = True
                self._notice(moved, bend, rounding * step)
                return self._settled(start, stop, gauge), test
            if not self._noise_seen and unexplained:
                unexplained = False
                found = culprits(test, gauge)
                if found is Culprits.FLAWED:  # without those, the step may turn out to be good
                    continue
                if found is Culprits.RIGHT:  # kinks inside the step: a smaller one meets fewer
                    step /= SHRINK
                    expected = EXPECTED_NOISE * rounding * SHRINK
                    continue
            if not self._noise_seen and self._measure_noise(test, step):
                step = self._starting_step()
                expected = EXPECTED_NOISE * self._noise / step
                continue
            rounding = self._rounding(test, step)  # as measured by now
            move = min(_balancing_move(truncation, rounding), most / step)
            told = KNOWN_STEP_NOISE * (rounding / move + truncation * move**2)
            quiet = move == 1.0 and truncation + rounding <= allowed
            if quiet and not told < expected / worthwhile:
                self._notice(moved, bend, rounding * step)
                return self._with_grid(start, stop, gauge), test
            worthwhile = math.inf if quiet else worthwhile  # once: the next may be noisier again
            if move < 1.0:  # along another direction a step that was too large may not seem so
                most = step / 2
            step, expected = step * move, told
        raise TooMuchError(step)

    def _notice(self, moved: float, bend: float, noise: float) -> None:
        """Keep what a step showed that every element was displaced by: the outputs that changed, and a kink.

        Twice the step bends a smooth function four times as much, and doubles what a kink turns it by.
        """
        if not self.tested.turned:
            self.moved = min(self.moved, moved)
            self.kinked |= abs(bend) > KINK * noise and abs(self.line.bend) < BETWEEN * abs(bend)

    def _rounding(self, test: RootTest, step: float) -> float:
        """Return what the rounding of outputs, and of their changes, may come to in a root test."""
        return self._noise * test.share / step + self._noise_of_changes

    def _settled(self, start: int, stop: int, gauge: Gauge) -> Gauge:
        """Return a gauge whose step is good as it is, and remember what it says of forward if it moves anything."""
        gauge = self._with_grid(start, stop, gauge)
        if math.isfinite(gauge.grid):
            spacing = self._noise / ROUNDINGS / (self.line.signal() or 1.0)
            self.calibrated = Calibrated(spacing, 2.0 ** round(math.log2(gauge.step)))
        return gauge

    def _starting_step(self) -> float:
        """Return a step somewhat below that at which truncation and rounding of a well-scaled function balance.

        Rounding is known beforehand and truncation is not: too small a step costs resolution, too large a second try.
        """
        relative = self._noise / (self.line.signal() or 1.0)
        return math.cbrt(max(relative, LEAST_NOISE)) / 2

    def _measure_noise(self, test: RootTest, step: float) -> bool:
        """Measure forward's noise along a direction; return whether it is far from what was taken for granted."""
        middle = NOISE_POINTS // 2
        self._noise_seen = True
        measured = math.inf
        for shrink in NOISE_STEPS:
            values = self.line.walk(test.direction, step / shrink, range(-middle, middle + 1))
            noise, flat = noise_along_line(values[:, None])
            if not noise[0] * FALL < measured:
                break
            measured = float(noise[0]) if flat else math.inf
            if flat and not self._declared_coarse:
                break
        if not measured <= ABSURD_NOISE * self.line.signal():
            return False  # not noise, but a function whose scale is far below the step
        assumed = self._noise
        self._noise = max(assumed / MOST_TAKEN_BACK, NOISE_MARGIN * measured / (test.share or 1.0))
        return not assumed / MOST_TAKEN_BACK < self._noise <= 4.0 * assumed

    def parts(self, start: int, stop: int, gauge: Gauge) -> int:
        """Return into how many parts the noise of a block asks to cut it, so that each has a useful resolution.

        Noise grows as the square root of the size.

        Raises:
            TooMuchError: where looking at each element by itself is no dearer.

        """
        coarse = COARSE_RESOLUTION * self.typical
        excess = gauge.floor / coarse if coarse else math.inf
        if gauge.floor <= self._atol or excess <= 1.0:
            return 1
        if not excess <= math.sqrt((stop - start) / (gauge.rounds + 1)):
            raise TooMuchError(gauge.step)
        return math.ceil(excess**2)

    def matches_one_side(self, elements: Array, step: float) -> bool:
        """Whether the claims for some elements are all derivatives to the left, or all derivatives to the right.

        Differences to one side see no kink: with a fixed sign and random magnitudes they are a root test of their own.
        """
        gauge = Gauge(step, max(self._atol, 5 * self._noise / step / THRESHOLDS[-1]), THRESHOLDS[-1])
        allowed = gauge.threshold * gauge.floor
        return any(
            all(abs(self._one_sided(elements, side, step)) <= allowed for _ in range(gauge.rounds))
            for side in (-1.0, 1.0)
        )

    def _one_sided(self, elements: Array, side: float, step: float) -> float:
        away = side * abs(signed_magnitudes(like(random_bits(self._rng, count(elements)), elements)))
        direction = Direction.of(written(away, ~elements, 0.0))
        near = self.line.excess_one_sided(direction, step)
        far = self.line.excess_one_sided(direction, 2 * step)
        return float(2 * near - far)


def _tolerances(claims: Array, scale: Any, absolute: Any, rtol: float) -> Array:
    """Return the tolerance of each claim, times the scale of its input."""
    tolerances = abs(claims)
    tolerances *= rtol
    tolerances *= scale
    tolerances += absolute
    return tolerances


def _weights(claims: Array, scale: Any, absolute: Any, rtol: float, unit: float) -> Array:
    """Return ``w_i``: the unit over the tolerance of each claim."""
    tolerances = _tolerances(claims, scale, absolute, rtol)
    return unit / namespace(claims).clip(tolerances, unit, MAX_SPREAD * unit)


def _along(bits: Array, weights: Array) -> Array:
    """Return ``s_i a_i w_i``."""
    along = signed_magnitudes(bits)
    along *= weights
    return along


def _balancing_move(truncation: float, rounding: float) -> float:
    """Return the power of two that brings a step to where truncation, which goes with h^2, is half of rounding."""
    if truncation == 0.0 or rounding == 0.0:
        return 1.0
    doublings = round(math.log2(rounding / (2 * truncation)) / 3)
    return math.ldexp(1.0, max(-8, min(8, doublings))) if abs(doublings) > 1 else 1.0
