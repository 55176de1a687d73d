"""Displacements of the inputs that a path runs along: long, inside the domain, with signs that one may choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, as_reals, cast, count, dtype_name, like, namespace
from gradaudit.numerics.margins import HEADROOM
from gradaudit.numerics.path.claim import Domain, PathClaim

SHORTEST = 0.85
"""Displacements are drawn between this part of the longest and the longest."""

SHORT_OF_WALL = 1 - 1 / HEADROOM
"""Part of the way to a wall that elements go at most: rounding must not take them through it."""


@dataclass(frozen=True)
class Room:
    """How far each element of an input may move.

    Attributes:
        up: largest displacement upwards, as a vector of float64.
        down: likewise downwards, positive.
        length: what displacements are drawn below, before they are cut; likewise a vector.

    """

    up: Array
    down: Array
    length: Array

    @classmethod
    def of(cls, x: Array, domain: Domain, share: float) -> Room:
        """Return the room in the domain, or in the range of the values where none is declared.

        Args:
            x: real.
            domain: lowest and highest value.
            share: length of the longest displacement, as a part of the domain's width.

        """
        low, high = _box(x, domain)
        base = as_reals(x)
        xp = namespace(base)
        length = xp.zeros_like(base) + share * (high - low)
        if low > 0 or high < 0:
            # Log, sqrt and reciprocals stay on their side of zero.
            length = xp.minimum(length, 2 * share * abs(base))
        return cls(up=SHORT_OF_WALL * (high - base), down=SHORT_OF_WALL * (base - low), length=length)

    def draw(self, rng: np.random.Generator, signs: Array | None = None, least: float = 1.0) -> Array:
        """Return random displacements as a vector of float64.

        Args:
            rng: random stream.
            signs: which way each element moves where it can, 0 for those that stay; default: random.
            least: as for ``displaced``.

        """
        size = count(self.up)
        if signs is None:
            signs = like(2.0 * rng.integers(0, 2, size) - 1.0, self.up)
        return self.displaced(like(rng.uniform(SHORTEST, 1.0, size), self.up), signs, least)

    def displaced(self, parts: Array, signs: Array, least: float = 1.0) -> Array:
        """Return displacements: parts of the longest with given signs.

        An element turns round where it has too little room on its way, less than this part of what it is to go, and
        more on the other.
        """
        xp = namespace(self.up)
        wanted = parts * self.length
        ahead = xp.where(signs < 0, self.down, self.up)
        behind = xp.where(signs < 0, self.up, self.down)
        turned = (ahead < least * wanted) & (behind > ahead)
        signs = xp.where(turned, -signs, signs)
        return signs * xp.clip(xp.minimum(wanted, parts * xp.where(turned, behind, ahead)), 0.0, None)

    def without(self, blocked: Array, moved: Array, shorter: Array) -> Room:
        """Return the room where blocked elements cannot go again the way that they moved; only a part of it."""
        xp = namespace(self.up)
        rest = abs(moved) * shorter
        return replace(
            self,
            up=xp.where(blocked & (moved > 0), rest, self.up),
            down=xp.where(blocked & (moved < 0), rest, self.down),
        )

    def scaled(self, factor: float | Array) -> Room:
        """Return the same room for displacements that are longer or shorter by a factor."""
        return replace(self, length=self.length * factor)


def _box(x: Array, domain: Domain) -> tuple[float, float]:
    if domain is not None:
        return domain
    low, high = float(x.min()), float(x.max())
    if low < high:
        return low, high
    return (low - abs(low) / 2, low + abs(low) / 2) if low else (-1.0, 1.0)


def drawn_for(
    claim: PathClaim,
    moving: Mapping[str, tuple[NDArray[np.intp], Any]],
    share: float,
    rng: np.random.Generator,
    least: float = 1.0,
) -> Route:
    """Return a way along which some elements move, each so far as is drawn for it.

    Args:
        claim: forward and backward at the point.
        moving: by input, positions of these elements, and which way each is to move; None for a random one.
        share: length of the longest displacement, as a part of the domain's width.
        rng: random stream.
        least: part of its way that an element must have room for, or it turns round.

    """
    displacements = {}
    for name, (places, ways) in moving.items():
        x = claim.inputs[name]
        signs = np.zeros(count(x))
        signs[places] = rng.choice((-1.0, 1.0), len(places)) if ways is None else ways
        displacements[name] = Room.of(x, claim.domains[name], share).draw(rng, like(signs, x), least)
    return Route(claim.inputs, displacements)


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
