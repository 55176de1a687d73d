"""Where a function can be differenced, found out before the first difference: its scale, and its noise there.

A step suits a function whose scale it knows. The survey walks along a line through the point, nine values at a time.
At the right spacing they show a smooth shape, and beyond it only noise that is the same at any spacing nearby. Too
wide a spacing shows shape that looks like noise; too narrow a one shows the stairs that rounding makes of any function.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.breaks import Breaks, find_breaks
from gradaudit.numerics.magnitude import rms
from gradaudit.numerics.margins import (
    MAX_ROUNDINGS,
    MAX_UNSEEN,
    MIN_MOVE,
    NEAR,
    QUARTER,
    SAFETY,
    SIGNIFICANT,
    SLOPE_RTOL,
    WIDENING,
)
from gradaudit.numerics.noise import IRREGULAR, Walk, dissolution, read_walk, widest_plateau
from gradaudit.spec.dtypes import spacing

Array = NDArray[Any]
Floats = NDArray[np.float64]

ROUNDINGS = 2.0
"""Rounding of one output, in units of the dtype's spacing, that is taken for granted before anything is measured."""

HIGHEST_STAIR = spacing("float32") / SLOPE_RTOL
"""Height of a stair, relative to the outputs, up to which it may be due to a coarser dtype inside forward.

It is 1,000 times that of float32, as much as ill-conditioned arguments lose. Rounding to integers makes stairs too.
"""

FINEST_SCALE = 1e-6
"""How far below its elements the scale of a function is sought."""

STAIRS = 1 / NEAR
"""How far, relative to the elements or to one, a function that seems constant is followed step by step.

Beyond, in leaps: an element may be so small beside what it is added to that it is lost there.
"""

COARSE = spacing("float32") / SIGNIFICANT
"""Spacing of numbers above which a dtype is taken at its word: no coarser one hides inside."""


@dataclass(frozen=True)
class Survey:
    """What was found.

    Attributes:
        noise: what each output may be off by.
        relative: what a change of the outputs may be off by, relative to its size.
        reach: displacement of each element to start from.
        scale: displacement of each element beyond which nothing is to be learned about the point.
        moved: which outputs were seen to change.

    """

    noise: Floats
    relative: float
    reach: Floats
    scale: Floats
    moved: NDArray[np.bool_]


@dataclass(frozen=True)
class Stair:
    """The first step that outputs were seen to take: how high it is in each, and relative to its size or its place."""

    heights: Floats
    relative: float


class Seen(NamedTuple):
    """A walk in which noise and shape are told apart, in units of which displacements it was, and how far its steps."""

    walk: Walk
    scale: Floats
    spacing: float


class Surveyor:
    """Walks along a line through a point.

    Args:
        outputs_at: the function's outputs, for each of some displacements of its elements.
        sizes: magnitudes of the elements.
        outputs: those at the point itself.
        spacing: distance from 1 to the next number of the dtype that the function is said to compute in.
        grid: the same of the elements' dtype.

    Attributes:
        grid: distance from 1 to the next number of the elements' dtype.

    """

    def __init__(
        self, outputs_at: Callable[..., list[Floats]], sizes: Floats, outputs: Floats, spacing: float, grid: float
    ) -> None:
        self._outputs_at = outputs_at
        self._sizes = sizes
        self._outputs = outputs
        self._expected = ROUNDINGS * spacing
        self._typical = rms(sizes) or 1.0
        self._absolute = np.maximum(sizes, self._typical)
        self._largest = float(sizes.max(initial=0.0))
        self._others: tuple[int, int] | None = None
        self.grid = grid
        self._breaks: Breaks | None = None
        self._start = max(math.cbrt(self._expected) / 4, SAFETY * grid)

    def of_element(self, index: tuple[int, ...], outputs_at: Callable[..., list[Floats]]) -> Surveyor:
        """Return the surveyor of a line that runs along one element, for whose displacement outputs are given.

        What it is beside the other elements is kept in mind.
        """
        one = copy(self)
        one._outputs_at = outputs_at
        one._sizes, one._absolute = np.asarray(self._sizes[index]), np.asarray(self._absolute[index])
        place = int(np.ravel_multi_index(index, self._sizes.shape)) if index else 0
        one._others = place, self._sizes.size - 1
        return one

    def assumed(self) -> Survey:
        """Return what holds of a function that rounds its outputs only, and has a scale of one or of its elements."""
        still = np.zeros(self._outputs.shape)
        return self._surveyed(still, self._expected, 4 * self._start * self._absolute, still != 0.0)

    def rounded(self, stair: Stair) -> Survey:
        """Return what holds of a function that climbs such stairs, because it rounds to a coarser dtype inside."""
        noise = 2 * np.maximum(stair.relative * np.abs(self._outputs), stair.heights)
        reach = min(QUARTER, math.cbrt(stair.relative)) * self._absolute
        return self._surveyed(noise, stair.relative, reach, np.zeros(noise.shape, dtype=bool))

    def survey(self, rng: np.random.Generator) -> Survey | None:
        """Return what walks along a random line show; None where none can be trusted."""
        if not self._sizes.size:
            return self.assumed()
        self._line = self._drawn(rng)
        self._relative = np.where(self._sizes > 0.0, self._sizes, self._typical)
        values = self._values(self._absolute, self._start)
        self._size = self._size_of_outputs(values)
        walk = None if values is None else read_walk(values, IRREGULAR)
        if values is not None and self._is_noisy(walk):
            self._breaks = self._find_breaks(values)
            walk = read_walk(values - self._breaks.along(self._start * np.array(IRREGULAR)), IRREGULAR)
        if walk is None or self._is_noisy(walk):
            seen = self._confirmed(walk)
            within = self._dissolves(seen) if seen else math.inf
            return self._found(seen) if seen and not within else self._climbed(within)
        stairs = walk.constant and self._breaks is None
        return self._staircase() if stairs else self._found(Seen(walk, self._absolute, self._start))

    def _drawn(self, rng: np.random.Generator) -> Floats:
        """Return a random line; along one element by itself, the part that it has in a line of all."""
        stream: Any = rng.bit_generator
        before, between = self._others or (0, 0)
        if before:
            stream.advance(before)
        signs = np.where(rng.random(self._sizes.shape) < 0.5, -1.0, 1.0)
        if between:
            stream.advance(between)
        return signs * rng.uniform(0.5, 1.5, self._sizes.shape)

    def _size_of_outputs(self, values: Floats | None) -> float:
        """Return the norm of the outputs; where all are zero, of the largest along the line: those are rounded."""
        size = float(np.linalg.norm(self._outputs))
        return size if size or values is None else float(np.linalg.norm(np.abs(values).max(axis=0)))

    def _is_noisy(self, walk: Walk | None) -> bool:
        """Whether a walk shows more than the rounding that is taken for granted."""
        return walk is not None and walk.level > SAFETY * self._expected * self._size

    def _find_breaks(self, values: Floats) -> Breaks:
        """Return the jumps and kinks at the point itself without which values along the line are far less noisy."""
        found = find_breaks(
            lambda displacement: self._outputs_at(displacement)[0] - self._outputs,
            tiny=self.grid * self._relative * self._line,
            line=self._absolute * self._line,
            step=self._start / WIDENING,
            rounding=self._expected * np.abs(self._outputs),
        )
        less = read_walk(values - found.along(self._start * np.array(IRREGULAR)), IRREGULAR)
        return found.only(less.noise < read_walk(values, IRREGULAR).noise / WIDENING)

    def _confirmed(self, walk: Walk | None) -> Seen | None:
        """Return what a wider walk shows where the noise is the same as in a first one."""
        if walk is None or not self._credible(walk):
            return None
        spacing = max(WIDENING * self._start, min(QUARTER, math.cbrt(walk.level / self._size) / 4))
        wide = self._walk(self._absolute, spacing)
        if wide is not None and self._credible(wide) and wide.continues(walk):
            return Seen(wide, self._absolute, spacing)
        return None

    def _may_be_rounding(self, walk: Walk) -> bool:
        """Whether noise that sets in where there was none can be that of stairs; a function may have higher ones."""
        return walk.level <= self._highest_stair * max(walk.shape, float(np.linalg.norm(self._outputs[walk.moved])))

    @property
    def _highest_stair(self) -> float:
        return max(HIGHEST_STAIR, MAX_ROUNDINGS * self._expected)

    def _credible(self, walk: Walk) -> bool:
        """Whether the noise is so small beside the outputs that it is not likely to be a shape after all."""
        farther = walk.level <= SAFETY * self._expected * walk.shape  # the rounding of larger outputs than the point's
        most = min(math.cbrt(self._expected), MAX_UNSEEN) * self._size
        return walk.clear and walk.level <= most and not farther

    def _climbed(self, within: float) -> Survey | None:
        """Return what ever wider walks within a spacing show, from the narrowest on that can make sense."""
        rungs = [spacing for spacing in self._rungs() if spacing < within]

        @cache
        def walk_on(k: int) -> Walk | None:
            return self._walk(self._relative, rungs[k])

        if rungs and walk_on(0) is None:
            return self.assumed()
        while rungs:
            best = widest_plateau(lambda k: walk_on(k) if k < len(rungs) else None, self._may_be_rounding)
            walk = walk_on(best)
            if walk is None or not (walk.clear or (walk.constant and self._expected > COARSE)):
                return None
            seen = Seen(walk, self._relative, rungs[best])
            within = self._dissolves(seen)
            if not within:
                return self._found(seen)
            rungs[:] = [spacing for spacing in rungs[:best] if spacing < within]
        return None

    def _rungs(self) -> Iterator[float]:
        spacing = max(SAFETY * self.grid, FINEST_SCALE * self._start)
        while spacing <= QUARTER:
            yield spacing
            spacing *= WIDENING

    def _staircase(self) -> Survey:
        """Return what the first stair tells of a function that seems constant: its height is the rounding."""
        distance, height = self._first_stair(self._line * self._absolute)
        changed = height != 0.0
        size = float(np.linalg.norm(self._outputs[changed]))
        relative = 2 * float(np.linalg.norm(height)) / size if size else math.inf if changed.any() else 0.0
        if relative > self._highest_stair:  # nothing beyond a jump says anything of the point
            return self._surveyed(0 * height, 0.0, min(QUARTER, distance / 4) * self._absolute, changed)
        # Outputs whose first stair is farther away are rounded as coarsely.
        noise = np.where(changed, 2 * height, relative * np.abs(self._outputs))
        reach = min(QUARTER, max(distance, 4 * self._start)) * self._absolute
        return self._surveyed(noise, relative, reach, np.zeros(height.shape, dtype=bool))

    def _first_stair(self, direction: Floats) -> tuple[float, Floats]:
        """Return the least distance at which the outputs change, and by how much; zeros where they do not."""
        if self._others is not None and self._is_idle(direction):
            return 0.0, np.zeros_like(self._outputs)
        unchanged = self._start * max(IRREGULAR)
        while unchanged < 1 / self.grid:  # beyond, nothing is left of the element itself
            changed = 2 * unchanged if unchanged < STAIRS else unchanged**2
            for side in direction, -direction:
                (outputs,) = self._outputs_at(changed * side)
                if not np.isfinite(outputs).all():
                    return 0.0, np.zeros_like(self._outputs)
                if (outputs != self._outputs).any():
                    return self._stair_between(unchanged, changed, side, outputs)
            unchanged = changed
        return 0.0, np.zeros_like(self._outputs)

    def _is_idle(self, direction: Floats) -> bool:
        """Whether the outputs are the same at both far ends of a line: hardly any depends on an element like that."""
        ends = self._outputs_at(STAIRS * direction, -STAIRS * direction)
        return all((outputs == self._outputs).all() for outputs in ends)

    def _stair_between(self, same: float, changed: float, direction: Floats, outputs: Floats) -> tuple[float, Floats]:
        while same < (middle := (same + changed) / 2) < changed:
            (made,) = self._outputs_at(middle * direction)
            if (made == self._outputs).all():
                same = middle
            else:
                changed, outputs = middle, made
        return changed, np.abs(outputs - self._outputs)

    def _walk(self, scale: Floats, spacing: float) -> Walk | None:
        """Return what values at this spacing show, in units of the elements' scales; None where one is not finite."""
        values = self._values(scale, spacing)
        if values is None:
            return None
        if breaks := self._breaks_at(scale):
            values -= breaks.along(spacing * np.array(IRREGULAR))
        return read_walk(values, IRREGULAR)

    def _breaks_at(self, scale: Floats) -> Breaks | None:
        """Return the breaks at the point, of those that are known those which stay the same at a scale."""
        nominal = scale is self._absolute or not self._sizes.any()  # an input of zeros has no scale but one
        return self._breaks if nominal or self._breaks is None else self._breaks.jumps()

    def _values(self, scale: Floats, spacing: float) -> Floats | None:
        """Return changes of the outputs along the line; None where one is not finite."""
        step = spacing * scale * self._line
        values = np.array(self._outputs_at(*(point * step for point in IRREGULAR))) - self._outputs
        return values if np.isfinite(values).all() else None

    def _dissolves(self, seen: Seen) -> float:
        """Return within which spacing noise that is more than expected proves to be a shape; 0 where it does not."""
        if not self._is_noisy(seen.walk):
            return 0.0
        breaks = self._breaks_at(seen.scale)

        def at(place: float) -> Floats:
            (values,) = self._outputs_at(place * seen.scale * self._line)
            return values - self._outputs - (breaks.along(np.array([place]))[0] if breaks else 0.0)

        return dissolution(at, seen.walk.level, seen.spacing, MIN_MOVE * self.grid)

    def _found(self, seen: Seen) -> Survey:
        walk = seen.walk
        relative = SAFETY * walk.level / self._size if self._size else 0.0
        noise = SAFETY * np.where(walk.moved, walk.noise, self._typical_noise(walk) * np.abs(self._outputs))
        return self._surveyed(noise, relative, 4 * seen.spacing * seen.scale, walk.moved)

    def _typical_noise(self, walk: Walk) -> float:
        """Return the noise relative to the outputs that moved; the others are rounded as coarsely, and hide more."""
        seen = walk.moved & (self._outputs != 0.0)
        return float(np.median(walk.noise[seen] / np.abs(self._outputs[seen]))) if seen.any() else 0.0

    def _surveyed(self, noise: Floats, relative: float, reach: Floats, moved: NDArray[np.bool_]) -> Survey:
        """Return a survey with the rounding that is taken for granted where no more was measured."""
        noise = np.maximum(noise, self._expected * np.abs(self._outputs))
        return Survey(noise, max(relative, self._expected), reach, self._absolute, moved)
