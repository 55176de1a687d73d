"""The root test: one random displacement of many elements at once.

A block of elements is displaced along ``v_i = s_i a_i w_i``, with fair signs s, magnitudes a uniform on [1/2, 3/2] and
weights w that measure each error in units of its own tolerance. A right gradient leaves nothing but noise; a single
wrong index always shows, since it contributes at least half its error; any set of wrong indices is missed by one round
with probability at most tau, the threshold in units of the tolerance, because the last of them has a density of at
most 1/2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, cast, count, elementwise, in_cache, largest, like, namespace, written
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.displacing import Direction, Scales
from gradaudit.numerics.gauge import Gauge
from gradaudit.numerics.magnitude import norm_of_product
from gradaudit.numerics.margins import FAR, HEADROOM, MIN_MOVE
from gradaudit.results import changed

MAX_SPREAD = HEADROOM * MIN_MOVE
"""Ratio of tolerances up to which each error is weighed by its own: an element that moves so little is still displaced
by enough where others go as far as steps in any dtype do."""

MOST = math.sqrt(np.finfo(np.float64).max)
"""Largest result: infinity is left for a forward that is not finite, as sums and products of results are finite."""


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


@dataclass
class Tested:
    """The elements that directions are drawn for: not those that are settled, nor those that a step cannot displace.

    Attributes:
        line: the displacements.
        turn: where the elements are that alone are displaced at present; None for all that are not excluded.
        waiting: where those are that no step so far has moved; None for none.

    """

    line: Directional
    turn: Array | None = None
    waiting: Array | None = None
    _excluded: Array | None = None

    def exclude(self, elements: int | Array) -> None:
        """Leave an element, or those where a mask is true, out of further tests."""
        self._excluded = written(self._none() if self._excluded is None else self._excluded, elements, True)

    def is_excluded(self, elements: Array) -> bool:
        """Whether all elements where a mask is true are left out already."""
        return self._excluded is not None and bool((self._excluded | ~elements).all())

    def begin(self) -> None:
        """Turn to all elements that are not excluded, whatever step they need."""
        self.turn = self.waiting = None

    def turn_to(self, elements: Array) -> None:
        """Turn to the elements where a mask is true, and to none else."""
        self.turn, self.waiting = elements, None

    def next_turn(self) -> float:
        """Turn to the elements that no step so far has moved, and to none else.

        Returns:
            Their typical magnitude; zero where they are those whose turn it was.

        """
        again = self.turn is not None and bool((self.waiting == self.turn).all())
        self.turn, self.waiting = self.waiting, None
        return 0.0 if again else self.line.magnitude(self.turn)

    def only(self, along: Array, drawn: slice) -> Array:
        """Return displacements of a range of elements, zero for those that are not tested."""
        if self._excluded is not None:
            along = written(along, self._excluded[drawn], 0.0)
        return along if self.turn is None else written(along, ~self.turn[drawn], 0.0)

    def moved(self, start: int, stop: int, lengths: Array) -> float:
        """Let elements wait for a wider step that are lost in their own rounding when they are displaced.

        Returns:
            The largest distance between neighbours of the others' dtype, in units of those ranges; infinite for none.

        """
        grid = self.line.grid()[start:stop] / lengths
        tested = namespace(grid).ones_like(grid, dtype=namespace(grid).bool)
        tested = tested if self._excluded is None else tested & ~self._excluded[start:stop]
        tested = tested if self.turn is None else tested & self.turn[start:stop]
        lost = tested & (grid * MIN_MOVE > 1.0)
        if lost.any():
            waiting = self._none() if self.waiting is None else self.waiting
            self.waiting = written(waiting, slice(start, stop), waiting[start:stop] | lost)
            if not (tested & ~lost).any():
                return math.inf
        return largest(namespace(grid).where(tested & ~lost, grid, 0.0))

    def _none(self) -> Array:
        xp = namespace(self.line.claims)
        return xp.zeros_like(self.line.claims, dtype=xp.bool)


class RootTester:
    """Draws and measures root tests.

    Args:
        line: the claim and the measurement along displacements.
        rtol: relative tolerance.
        atol: absolute tolerance of each input's gradient, by input.
        scales: what each input's displacements are measured in.
        rng: random stream for directions.

    Attributes:
        atol: least absolute tolerance, times the scale of its input.
        tested: the elements that tests are about.
        even: whether all elements of an input are displaced in one scale.

    """

    def __init__(
        self, line: Directional, *, rtol: float, atol: Mapping[str, float], scales: Scales, rng: np.random.Generator
    ) -> None:
        self.line = line
        self._rtol = rtol
        absolute = {name: least * scales[name] for name, least in atol.items()}
        self.atol = min(part if isinstance(part, float) else float(part.min()) for part in absolute.values())
        self._scales: Any = line.by_number(scales)
        self.even = all(isinstance(scale, float) for scale in scales.values())
        self._absolute: Any = line.by_number(absolute)
        if isinstance(self._scales, float) != isinstance(self._absolute, float):
            none = namespace(line.claims).zeros_like(line.claims)
            self._scales, self._absolute = self._scales + none, self._absolute + none
        self._rng = rng
        self.tested = Tested(line)
        self._weighed: tuple[int, int, float] | None = None

    def moves_all(self, gauge: Gauge) -> bool:
        """Whether the step of a gauge moves every element that is not excluded."""
        self.tested.begin()
        self.draw(0, self.line.size, gauge.floor)
        self.with_grid(0, self.line.size, gauge)
        return self.tested.waiting is None

    def with_grid(self, start: int, stop: int, gauge: Gauge) -> Gauge:
        """Return a gauge, by which a block was drawn last, for those elements that its step moves by enough."""
        shortest = gauge.step / MAX_SPREAD
        if self.line.coarsest * MIN_MOVE <= shortest:
            return changed(gauge, grid=self.line.coarsest / shortest)
        first = start - self.line.inputs.drawn_for(start, stop).start
        return changed(gauge, grid=self.tested.moved(start, stop, gauge.step * self._weights[first:][: stop - start]))

    def draw(self, start: int, stop: int, floor: float) -> RootTest:
        """Draw a direction for the elements from ``start`` to ``stop``, none with a tolerance below the floor."""
        if self._weighed != (start, stop, floor):
            self._weighed, self._unit, self._weights = (start, stop, floor), *self._weigh(start, stop, floor)
        drawn = self.line.inputs.drawn_for(start, stop)
        bits = random_bits(self._rng, stop - start, np.int16)
        if len(bits) < count(self._weights):
            bits = np.pad(bits, (start - drawn.start, drawn.stop - stop))
        along = elementwise(_along, "float32", (like(bits, self._weights), self._weights))
        return RootTest(Direction(self.tested.only(along, drawn), drawn.start, start, stop), self._unit)

    def _weigh(self, start: int, stop: int, floor: float) -> tuple[float, Array]:
        """Return the least tolerance of the elements from ``start`` to ``stop``, and the weights to draw them with.

        They are kept for the next rounds in float32, as directions are: none is far from one.
        """
        claims = self.line.claims[start:stop]
        least = math.inf
        for part in in_cache(claims):
            places = slice(start + part.start, start + part.stop)
            least = min(least, float(_tolerances(*self._parts_of_tolerances(places), self._rtol).min()))
            if least <= floor:
                break  # the floor is what counts, whatever the others are
        unit = max(least, floor) or float(np.finfo(np.float64).smallest_subnormal)  # any error is one then
        parts = self._parts_of_tolerances(self.line.inputs.drawn_for(start, stop))
        vectors, numbers = (parts[:1], parts[1:]) if isinstance(self._scales, float) else (parts, ())
        return unit, elementwise(_weights, "float32", vectors, *numbers, self._rtol, unit)

    def _parts_of_tolerances(self, places: slice) -> tuple[Array, Any, Any]:
        """Return the claims of a range, the scales of its inputs, and their absolute tolerances times these."""
        claims = self.line.claims[places]
        if isinstance(self._scales, float):
            return claims, self._scales, self._absolute
        return claims, self._scales[places], self._absolute[places]

    def allowed_along(self, direction: Direction) -> float:
        """Return the root sum of squares of what each element may be off by along a direction."""
        parts = self._parts_of_tolerances(slice(direction.start, direction.stop))
        return norm_of_product(_tolerances(*parts, self._rtol), cast(direction.displacements, "float64"))

    def test(self, start: int, stop: int, gauge: Gauge, *, watched: bool = False) -> RootTest:
        """Draw a root test of the elements from ``start`` to ``stop``, and measure it."""
        test = self.draw(start, stop, gauge.floor)
        test.result = self.measure(test, gauge.step, watched=watched or self.tested.turn is not None)
        test.share = self.line.touched
        return test

    def moves_further_away(self, share: float, floor: float) -> bool:
        """Whether forward changes more of its outputs than a share when all elements are displaced much further.

        They are drawn with no tolerance below the floor.
        """
        test = self.draw(0, self.line.size, floor)
        self.measure(RootTest(test.direction, test.unit), FAR, watched=True)
        return self.line.moved > share

    def measure(self, test: RootTest, step: float, *, watched: bool = False) -> float:
        """Return the weighted sum of errors along a direction, in units of the least tolerance."""
        excess = self.line.excess(test.direction, step, watched=watched)
        return max(-MOST, min(MOST, excess / test.unit)) if math.isfinite(excess) else excess

    def measure_one_sided(self, elements: Array, side: float, step: float) -> float:
        """Return the sum of errors of some elements, by differences of forward to one side.

        Args:
            elements: a mask of those that are displaced, at random.
            side: -1 for down, 1 for up.
            step: the step, beside twice as large a one.

        """
        away = side * abs(signed_magnitudes(like(random_bits(self._rng, count(elements), np.int16), elements)))
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


def random_bits(rng: np.random.Generator, length: int, dtype: type[Any]) -> NDArray[Any]:
    """Draw an integer of random bits for each element of a direction.

    They come from NumPy's generator whatever framework tests them and on whatever device, so that a seed gives the same
    directions and verdicts everywhere; two bytes an element are sent there for a root test.
    """
    words = np.asarray(rng.bit_generator.random_raw(-(-length * np.dtype(dtype).itemsize // 8)))
    bits: NDArray[Any] = words.view(dtype)[:length]
    return bits


def signed_magnitudes(bits: Array) -> Array:
    """Return ``s_i a_i`` in float32: fair signs, magnitudes uniform on the middles of 2^15 parts of [1/2, 3/2].

    So fine a grid adds 2^-16 at most to the mass of an interval. All are exact: they have 17 bits.
    """
    made = cast(bits, "float32")
    made += 0.5
    made *= 2.0**-15
    made += 0.5 * namespace(made).sign(made)
    return made
