"""Displacements of the inputs that a path runs along: long, inside the domain, with random signs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradaudit.numerics.arrays import Array, as_reals, cast, count, dtype_name, like, namespace
from gradaudit.numerics.path.claim import Domain

SHORTEST = 0.5
"""Displacements are drawn between this part of the longest and the longest."""

CLOSE_TO_WALL = 4.0
"""By how much a displacement is shortened that leaves the domain on either side."""

SAME_SIGN = 2.0
"""Where the domain lies on one side of zero, an element moves by at most this many times the share, relative to itself:
log, sqrt and reciprocals stay on their side."""


@dataclass(frozen=True)
class Box:
    """The values that an input may take on a path."""

    low: float
    high: float

    @classmethod
    def of(cls, x: Array, domain: Domain) -> Box:
        """Return the declared domain, or else the range of the values; some width where all values are equal."""
        low, high = domain if domain is not None else (float(x.min()), float(x.max()))
        if low < high:
            return cls(low, high)
        if domain is not None:
            return cls(low, low)
        return cls(low - abs(low) / 2, low + abs(low) / 2) if low else cls(-1.0, 1.0)

    @property
    def width(self) -> float:
        """Distance of its walls."""
        return self.high - self.low

    @property
    def one_sided(self) -> bool:
        """Whether zero lies outside."""
        return self.low > 0 or self.high < 0


def draw(x: Array, domain: Domain, share: float, rng: np.random.Generator, signs: Array | None = None) -> Array:
    """Return random displacements of an input, as a vector of float64 on its device.

    Args:
        x: real.
        domain: of its values.
        share: length of the longest displacement, as a part of the box's width.
        rng: random stream.
        signs: which way each element moves unless it would leave the domain, 0 for those that stay; default: random.

    """
    box, size = Box.of(x, domain), count(x)
    signs = like(2.0 * rng.integers(0, 2, size) - 1.0, x) if signs is None else signs
    drawn = signs * like(rng.uniform(SHORTEST, 1.0, size) * (share * box.width), x)
    xp, base = namespace(drawn), as_reals(x)
    if box.one_sided:
        most = SAME_SIGN * share * abs(base)
        drawn = xp.where(drawn > most, most, xp.where(drawn < -most, -most, drawn))
    for moved_back in (-1.0, 1.0 / CLOSE_TO_WALL):
        drawn = xp.where(outside(base + drawn, box), moved_back * drawn, drawn)
    return drawn


def outside(values: Array, box: Box) -> Array:
    """Return where values lie beyond a wall."""
    return (values < box.low) | (values > box.high)


class Route:
    """The straight way from the point to the inputs displaced.

    Args:
        inputs: at the point.
        displacements: by input, as vectors of float64; other inputs stay.

    Attributes:
        moved: where each displaced input really ends less where it begins, after rounding to its dtype.

    """

    def __init__(self, inputs: Mapping[str, Array], displacements: Mapping[str, Array]) -> None:
        self._inputs = inputs
        self._bases = {name: as_reals(inputs[name]) for name in displacements}
        self._ends = {name: self._rounded(name, base + displacements[name]) for name, base in self._bases.items()}
        self.moved = {name: as_reals(end) - self._bases[name] for name, end in self._ends.items()}

    def at(self, time: float) -> dict[str, Array]:
        """Return all inputs at a time, 0 for the point and 1 for the end, rounded to their dtypes."""
        if time == 0.0:
            return dict(self._inputs)
        if time == 1.0:
            return {**self._inputs, **self._ends}
        between = {name: self._rounded(name, base + time * self.moved[name]) for name, base in self._bases.items()}
        return {**self._inputs, **between}

    def beside(self, inputs: Mapping[str, Array], time: float) -> dict[str, Array]:
        """Return how far the displaced inputs at a time lie from the straight way, as rounding left them."""
        return {name: as_reals(inputs[name]) - (base + time * self.moved[name]) for name, base in self._bases.items()}

    def _rounded(self, name: str, values: Array) -> Array:
        x = self._inputs[name]
        return cast(values, dtype_name(x.dtype)).reshape(x.shape)
