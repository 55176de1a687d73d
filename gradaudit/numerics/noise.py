"""How noisy a computed function is: its rounding, measured instead of assumed, in walks of ever wider steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.margins import HALFWAY, HEADROOM, MAX_ATTEMPTS, SAMPLE, SIGNIFICANT, SMALL_SAMPLE, WIDENING

Floats = NDArray[np.float64]

NOISE_POINTS = 9
"""Points that one measurement takes."""

EQUAL = tuple(float(k) for k in range(-(NOISE_POINTS // 2), NOISE_POINTS // 2 + 1))
"""Offsets of equally spaced points."""

IRREGULAR = tuple(k + math.sin(k) / 2 for k in EQUAL)
"""Offsets of points that are better for noise: at equal ones the rounding of a nearly linear function can repeat
from point to point, and look smooth."""

SHAPE = slice(1, 3)
"""Degrees in which a smooth function shows, on a line of the right length."""

NOISE = slice(4, NOISE_POINTS)
"""Degrees that are taken for noise: on such a line a smooth function has died out there."""

SAME_NOISE = 3.0
"""Noise that differs less than this between two spacings is the same; at a kink it would grow with the spacing.

With 4 the bounds of 5 of 600 derivatives in hidden float32 do not hold, with 3 those of 3.
"""

GROWTH = math.sqrt(WIDENING)
"""Least growth of the shape of a smooth function from one spacing to one four times as wide."""


@dataclass(frozen=True)
class Walk:
    """What values along a line tell.

    Attributes:
        noise: standard deviation of the noise of each output.
        moved: which outputs were not the same everywhere.
        level: the noise of all outputs together.
        shape: how much of the values, in the same units, is a smooth function.
        flat: whether what is taken for noise falls off with the degree no faster than noise does.
        pattern: the coefficients taken for noise, of some outputs.

    """

    noise: Floats
    moved: NDArray[np.bool_]
    level: float
    shape: float
    flat: bool
    pattern: Floats

    @property
    def clear(self) -> bool:
        """Whether there is a shape beyond doubt."""
        return self.shape > 0.0 and self.shape >= SIGNIFICANT * self.level

    @property
    def constant(self) -> bool:
        """Whether all values were equal."""
        return self.shape == self.level == 0.0

    def continues(self, narrower: Walk) -> bool:
        """Whether this could be a narrower walk with its shape grown and its noise the same."""
        least, most = sorted((self.level, narrower.level))
        return most <= SAME_NOISE * least and not self.repeats(narrower) and self.shape >= GROWTH * narrower.shape

    def repeats(self, other: Walk) -> bool:
        """Whether this is another walk over again: not noise, but a step that looks alike at any spacing."""
        sizes = float(np.linalg.norm(self.pattern) * np.linalg.norm(other.pattern))
        cosine = abs(float(np.vdot(self.pattern, other.pattern))) / sizes if sizes else 0.0
        # Student's t tells it from noise: that of one output comes so close once in 750 times.
        return cosine**2 * (self.pattern.size - 1) > HEADROOM * (1.0 - cosine**2)


def read_walk(values: Floats, points: Sequence[float] = EQUAL) -> Walk:
    """Tell the noise in values along a line from their shape.

    In terms of the orthonormal polynomials over the points, pure noise has independent coefficients of one variance,
    while those of a smooth function fall as the spacing to the power of their degree. This is what differences do in
    Moré and Wild, Estimating Computational Noise, SIAM J. Sci. Comput. 33 (2011), with independent samples of the noise
    in place of dependent ones, and for points of any spacing.

    Args:
        values: of shape (points, outputs); less their common part, which would cost digits.
        points: where they were taken, in any unit.

    >>> bool(read_walk(np.arange(9.0)[:, None] ** 3).level < 1e-12)
    True

    """
    coefficients = _polynomials(tuple(points)) @ values
    pattern = coefficients[NOISE, :: 1 + values.shape[1] // SAMPLE].copy()
    squares = np.square(coefficients, out=coefficients)
    by_degree = squares.sum(axis=1)
    return Walk(
        noise=np.sqrt(squares[NOISE].mean(axis=0)),
        moved=np.array((values != 0.0).any(axis=0)),
        level=math.sqrt(by_degree[NOISE].mean()),
        shape=math.sqrt(by_degree[SHAPE].mean()),
        flat=bool(by_degree[4:6].mean() <= SIGNIFICANT**2 * by_degree[6:].mean()),
        pattern=pattern,
    )


def widest_plateau(walk_at: Callable[[int], Walk | None], may_be_rounding: Callable[[Walk], bool]) -> int:
    """Return which of ever wider walks is the widest in which what is taken for noise is that.

    Noise is what stays the same as the spacing grows. It may set in, flat, where the stairs of a staircase come into
    view; where it goes on growing, or is not flat, it is the shape of the function.
    """
    best, level = 0, 0.0
    widest: Walk | None = None
    k = 0
    while (walk := walk_at(k)) is not None:
        if widest is None and k > 0 and not may_be_rounding(walk):
            break
        if widest is None or (walk.level <= SAME_NOISE * level and (walk.clear or not walk.repeats(widest))):
            if widest is not None and widest.clear and walk.shape < GROWTH * widest.shape:
                break
            level = max(level, walk.level)
        elif walk.flat and (_steady(walk_at, k) or _steady(walk_at, k + 1)):
            level = walk.level
        elif (later := _onset(walk_at, k)) is not None:
            k, walk = later
            level = walk.level
        else:
            break
        best, widest = k, None if walk.constant else walk
        k += 1
    return best


def _steady(walk_at: Callable[[int], Walk | None], k: int) -> bool:
    """Whether the noise is the same in three walks in a row, not just between neighbours: shape grows slowly too."""
    walks = [walk for walk in map(walk_at, range(k, k + 3)) if walk is not None]
    levels = [walk.level for walk in walks]
    alike = any(wide.repeats(narrow) for narrow, wide in pairwise(walks))
    return len(levels) == 3 and max(levels) <= SAME_NOISE * min(levels) and not alike


def _onset(walk_at: Callable[[int], Walk | None], k: int) -> tuple[int, Walk] | None:
    """Return the walk, from one on, at which noise sets in; None where it does not.

    That of a single output scatters, and two walks of it look alike now and then; but it leaps, which shape cannot, and
    stays. Without this a sawtooth, which cancellation makes of any function, would have the slope of its teeth.
    """
    before = walk_at(k - 1)
    while before is not None and (walk := walk_at(k)) is not None:
        if walk.level > SAME_NOISE * before.level and not walk.flat:  # shape came into view
            return None
        if walk.level > HEADROOM * before.level and _goes_on(walk_at, k):
            return k, walk
        before, k = walk, k + 1
    return None


def _goes_on(walk_at: Callable[[int], Walk | None], k: int) -> bool:
    """Whether most of the next walks show about the same noise."""
    walks = [walk for walk in map(walk_at, range(k, k + MAX_ATTEMPTS)) if walk is not None]
    typical = median(walk.level for walk in walks)
    same = sum(typical <= SAME_NOISE * walk.level <= SAME_NOISE**2 * typical for walk in walks)
    if len(walks) < SMALL_SAMPLE or HALFWAY * same < len(walks):
        return False
    return any(
        wide.level <= narrow.level for narrow, wide in pairwise(walks)
    )  # the shape of a function goes on growing


def dissolution(at: Callable[[float], Floats], level: float, width: float, least: float) -> float:
    """Return within which distance what was taken for noise is gone; 0.0 where it stays as points come together.

    Noise leaps from one number to the next, and a shape does not, be it as irregular from afar. Points come closer to
    zero until the function is bent no more than the noise; then that half of what is left stays which is bent more:
    where there is a leap, it is in there.

    Args:
        at: changes of the outputs at a place along a line, zero at zero.
        level: the noise of all outputs together.
        width: where it was seen.
        least: distance within which the arguments themselves are rounded.

    """
    left, middle, high = 0.0, at(width / 2), at(width)
    low = np.zeros_like(high)
    while _bend(low, middle, high) > SIGNIFICANT * level and width > least:
        width /= 2
        middle, high = at(width / 2), middle
    first = bent = width
    while HEADROOM * bent > first and width > least:
        near, far = at(left + width / 4), at(left + width * 3 / 4)
        here, there = _bend(low, near, middle), _bend(middle, far, high)
        if max(_bend(low, middle, high), here, there) > level / SIGNIFICANT:
            bent = width
        elif SIGNIFICANT * width <= bent:  # not once only: few numbers that are rounded may lie on a line
            return bent
        width /= 2
        if here > there:
            middle, high = near, middle
        else:
            left, low, middle = left + width, middle, far
    return bent if bent > 2 * width else 0.0


def _bend(low: Floats, middle: Floats, high: Floats) -> float:
    return float(np.linalg.norm(low - 2 * middle + high))


@cache
def _polynomials(points: tuple[float, ...]) -> Floats:
    """Return the values of the orthonormal polynomials at the points, in row k those of degree k."""
    made: Floats = np.linalg.qr(np.vander(np.array(points) / max(points), increasing=True))[0].T
    return made
