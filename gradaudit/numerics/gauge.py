"""How finely a block of elements can be told right from wrong: the threshold of its root tests, and their number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradaudit.numerics.random_signs import GRID

MISS_PROBABILITY = 1e-6
"""Bound on the chance that a wrong index is missed."""

THRESHOLDS = (0.03, 0.0999, 0.25)
"""Thresholds of the root test, in units of the tolerance; they need 4, 6 and 10 rounds."""

FINE_RESOLUTION = 1e-3
"""Resolution, relative to the typical gradient, that is worth more rounds."""

COARSE_RESOLUTION = 0.032
"""Resolution that is worth testing smaller blocks apart."""

UNSEEN = 0.1
"""Share of the tolerance that an error may be without being seen: four rounds at the least threshold miss one above it
once in a hundred times."""


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


def finest_gauge(step: float, noise: float, atol: float, typical: float) -> Gauge:
    """Return the gauge with the fewest rounds whose resolution is fine, else the one with the best.

    Args:
        step: the step along each direction.
        noise: what a root test at that step is off by.
        atol: absolute tolerance.
        typical: magnitude of a typical gradient, that resolution is relative to.

    """
    for threshold in THRESHOLDS:
        if noise / threshold <= max(atol, FINE_RESOLUTION * typical):
            return Gauge(step, noise / threshold, threshold)
    return Gauge(step, noise / THRESHOLDS[-1], THRESHOLDS[-1])


def surely_more(rss: float) -> float:
    """Return what a sum with random signs does not exceed but by a chance that is negligible (Hoeffding's bound).

    Args:
        rss: root sum of squares of its terms.

    """
    return math.sqrt(2.0 * math.log(2.0 / MISS_PROBABILITY)) * rss
