"""An axis of a picture: from numbers to pixels, with ticks at round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import count, takewhile

ENOUGH_TICKS = 5
"""About how many ticks an axis has."""


@dataclass(frozen=True)
class Tick:
    """A number beside an axis, and its place in pixels."""

    place: float
    label: str


@dataclass(frozen=True)
class Axis:
    """A range of numbers along a range of pixels; ``logarithmic`` where equal ratios are equally far apart."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of a number, to a tenth; numbers beyond the axis lie at its ends."""
        low, high, here = (self._scaled(each) for each in (self.low, self.high, value))
        share = min(max((here - low) / ((high - low) or 1.0), 0.0), 1.0)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> tuple[Tick, ...]:
        """Return the ticks."""
        values = self._powers() if self.logarithmic else self._round_numbers()
        return tuple(Tick(self.at(value), f"{value:.0e}" if self.logarithmic else f"{value:.4g}") for value in values)

    def _scaled(self, value: float) -> float:
        if not self.logarithmic:
            return value
        return math.log10(value) if value > 0.0 else -math.inf

    def _powers(self) -> list[float]:
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        return [10.0**power for power in range(first, last + 1, max(1, -(-(last - first) // ENOUGH_TICKS)))]

    def _round_numbers(self) -> list[float]:
        width = self.high - self.low
        power = 10.0 ** math.floor(math.log10(width / ENOUGH_TICKS))
        step = next(power * k for k in (1, 2, 5, 10) if power * k * ENOUGH_TICKS >= width * (1 - 1e-9))
        first = math.ceil(self.low / step)
        return list(takewhile(lambda value: value <= self.high, (k * step for k in count(first))))


def widened(low: float, high: float) -> tuple[float, float]:
    """Return a range with a margin at both ends, never an empty one."""
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    return low - margin, high + margin
