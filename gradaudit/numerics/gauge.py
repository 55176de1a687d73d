"""How finely a block of elements can be told right from wrong: the threshold of its root tests, and their number."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from gradaudit.numerics.margins import MAX_UNSEEN, SLOPE_RTOL, SPREAD

MISS_PROBABILITY = 1e-6
"""Bound on the chance that a wrong index is missed."""

THRESHOLDS = (9.8e-4, 0.03, 0.0999, 0.25)
"""Thresholds of the root test, in units of the tolerance; they need 2, 4, 6 and 10 rounds."""

FINE_RESOLUTIONS = (3e-5, SLOPE_RTOL, SLOPE_RTOL)
"""Resolution, relative to the typical gradient, up to which each of them but the last is preferred to more rounds."""

COARSE_RESOLUTION = MAX_UNSEEN / 2
"""Resolution that is worth testing smaller blocks apart."""

UNSEEN = SPREAD
"""Share of the tolerance that an error may be without being seen: four rounds at the least threshold miss one above it
once in a hundred times."""

GRID = 0.5 / (np.iinfo(np.int16).max + 1)
"""Mass that an interval may hold beside its share, as the random magnitudes of a root test have 16 bits."""


@dataclass(frozen=True)
class Gauge:
    """How a block is tested.

    Attributes:
        step: the step along each direction.
        floor: least tolerance; smaller ones drown in the noise of the block.
        threshold: largest result of a root test that passes, in units of the least tolerance.
        grid: largest distance between neighbours of an element's dtype, in units of the range that it is displaced in.

    """

    step: float
    floor: float
    threshold: float
    grid: float = 0.0

    @property
    def has_fewest_rounds(self) -> bool:
        """Whether it has the fewest rounds, which only a gradient passes that is off by next to nothing."""
        return self.threshold == THRESHOLDS[0]

    def with_more_rounds(self) -> Gauge:
        """Return the gauge of the next threshold with the same noise."""
        return replace(self, floor=self.floor * self.threshold / THRESHOLDS[1], threshold=THRESHOLDS[1])

    def admitting(self, error: float, unit: float) -> Gauge:
        """Return a gauge of more rounds where one with the fewest rounds leaves no room for an error; else itself.

        Not where ``unit``, the least tolerance, is the floor itself: with another, other elements count.
        """
        return (
            self.with_more_rounds()
            if self.has_fewest_rounds and unit > self.floor and error > self.threshold * unit
            else self
        )

    @property
    def rounds(self) -> int:
        """Rounds after which a wrong index is missed with probability ``MISS_PROBABILITY`` at most."""
        return math.ceil(math.log(MISS_PROBABILITY) / math.log(self._missed))

    @property
    def miss_probability(self) -> float:
        """Bound on the chance that all rounds miss a wrong index."""
        return self._missed**self.rounds

    @property
    def _missed(self) -> float:
        """Bound on the chance that a round misses a wrong index."""
        return self.threshold + GRID + (self.grid if math.isfinite(self.grid) else 0.0)


def finest_gauge(step: float, noise: float, atol: float, typical: float, *, fewest: bool) -> Gauge:
    """Return the gauge with the fewest rounds whose resolution is fine, else the one with the best.

    Args:
        step: the step along each direction.
        noise: what a root test at that step is off by.
        atol: absolute tolerance.
        typical: magnitude of a typical gradient, that resolution is relative to.
        fewest: whether it may be one of the fewest rounds.

    """
    for threshold, fine in zip(THRESHOLDS, FINE_RESOLUTIONS, strict=False):
        if noise / threshold <= max(atol, fine * typical) and (fewest or threshold != THRESHOLDS[0]):
            return Gauge(step, noise / threshold, threshold)
    return Gauge(step, noise / THRESHOLDS[-1], THRESHOLDS[-1])


def surely_more(rss: float) -> float:
    """Return what a sum with random signs does not exceed but by a chance that is negligible (Hoeffding's bound).

    Args:
        rss: root sum of squares of its terms.

    """
    return math.sqrt(2.0 * math.log(2.0 / MISS_PROBABILITY)) * rss
