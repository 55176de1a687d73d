"""How finely a block of elements can be told right from wrong: the threshold of its root tests, and their number."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradaudit.numerics.margins import MAX_UNSEEN, SLOPE_RTOL, SPREAD
from gradaudit.results import changed

MISS_PROBABILITY = 1e-6
"""Bound on the chance that a wrong index is missed."""

THRESHOLDS = (9.6e-4, 0.0148, 0.03, 0.0999, 0.25)
"""Thresholds of the root test, in units of the tolerance; they need 2, 4, 4, 6 and 10 rounds.

The least is for results to choose. Where one of them does not keep it after all the second follows: together they miss
no more than ``MISS_PROBABILITY``.
"""

FEWEST, AFTER_FEWEST = THRESHOLDS[:2]

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
        before: bound on the chance that fewer rounds, which were tried before, missed a wrong index.

    """

    step: float
    floor: float
    threshold: float
    grid: float = 0.0
    before: float = 0.0

    def with_more_rounds(self) -> Gauge:
        """Return the gauge to go on with where a test does not keep the least threshold; itself where it has another.

        The tests so far are as good for it.
        """
        if self.threshold != FEWEST:
            return self
        return changed(self, threshold=AFTER_FEWEST, before=self.miss_probability)

    @property
    def rounds(self) -> int:
        """Rounds after which a wrong index is missed with probability ``MISS_PROBABILITY`` at most."""
        return math.ceil(math.log(MISS_PROBABILITY - self.before) / math.log(self._missed))

    @property
    def miss_probability(self) -> float:
        """Bound on the chance that all rounds miss a wrong index."""
        return self._missed**self.rounds + self.before

    @property
    def _missed(self) -> float:
        """Bound on the chance that a round misses a wrong index."""
        return self.threshold + GRID + (self.grid if math.isfinite(self.grid) else 0.0)


FINE_RESOLUTION = 3e-5
"""Resolution, relative to the typical gradient, up to which fewer rounds are preferred to a finer one."""


def finest_gauge(step: float, noise: float, atol: float, typical: float, *, fewest: bool) -> Gauge:
    """Return the gauge with the fewest rounds whose resolution is fine, else the one with the best.

    One with fewer still is for results to choose. Its floor is the same, and as much coarser as noise asks for then, as
    long as that is fine.

    Args:
        step: the step along each direction.
        noise: what a root test at that step is off by.
        atol: absolute tolerance.
        typical: magnitude of a typical gradient, that resolution is relative to.
        fewest: whether the fewest rounds may be chosen.

    """
    for threshold in THRESHOLDS[2:-1]:
        if noise / threshold <= max(atol, SLOPE_RTOL * typical):
            for_fewest = fewest and noise / FEWEST <= max(atol, FINE_RESOLUTION * typical)
            return Gauge(step, noise / (FEWEST if for_fewest else threshold), threshold)
    return Gauge(step, noise / THRESHOLDS[-1], THRESHOLDS[-1])


def surely_more(rss: float) -> float:
    """Return what a sum with random signs does not exceed but by a chance that is negligible (Hoeffding's bound).

    Args:
        rss: root sum of squares of its terms.

    """
    return math.sqrt(2.0 * math.log(2.0 / MISS_PROBABILITY)) * rss
