"""What a gradient was compared with, index by index: what a diagnosis starts from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.element import Element
from gradaudit.checks.gradient.exhaustive import Table
from gradaudit.numerics.loss import Floats

Array = NDArray[Any]

CLEARED = 512
"""Indices that a search has cleared without looking at them which a comparison holds at random, as a background."""


@dataclass(frozen=True)
class Comparison:
    """Where the numerical gradient of an input is known; kinks, where it is the claim's own, are left out.

    Attributes:
        places: indices, one a row: shape (n, axes).
        numerical: the numerical gradient there: shape (n,).
        bounds: what it may be off by there: shape (n,).
        complete: whether every wrong index is among the places.

    """

    places: NDArray[np.intp]
    numerical: Array
    bounds: Floats
    complete: bool = True


def compared_everywhere(table: Table) -> Comparison:
    """Return the comparison that a table of every index makes."""
    known = np.isfinite(table.bounds) & ~table.kinks
    places = np.argwhere(known)
    return Comparison(places, table.numerical[known], table.bounds[known])


def compared_closely(
    looks: Iterable[tuple[tuple[int, ...], Element]], claimed: Array, allowed: Floats, *, complete: bool
) -> Comparison:
    """Return the comparison that close looks at some indices make.

    Args:
        looks: indices and what was seen there.
        claimed: the analytical gradient.
        allowed: the tolerance at every index, taking the claim for the numerical gradient.
        complete: whether all other indices were tested together and found right. Some of them are then taken in, at
            random and on the same lines as what was looked at: right within their tolerance.

    """
    seen = dict(looks)
    known = {index: made for index, made in seen.items() if np.isfinite(made.bound) and not made.kink}
    cleared = [index for index in _background(list(known), claimed.shape) if index not in seen] if complete else []
    rows = np.array([*known, *cleared], np.intp).reshape(len(known) + len(cleared), claimed.ndim)
    numerical = [made.numerical for made in known.values()] + [claimed[index].item() for index in cleared]
    bounds = [made.bound for made in known.values()] + [float(allowed[index]) for index in cleared]
    values = np.array(numerical, np.complex128)
    kept: Array = values if claimed.dtype.kind == "c" else values.real
    return Comparison(rows, kept, np.array(bounds, np.float64), complete)


def _background(known: list[tuple[int, ...]], shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return random indices: some anywhere, some that differ from a known one along one axis only."""
    rng = np.random.default_rng(0)
    anywhere = np.stack([rng.integers(0, size, CLEARED) for size in shape], axis=1) if shape else np.empty((0, 0), int)
    found = {tuple(int(k) for k in row) for row in anywhere}
    for index in known:
        for axis, size in enumerate(shape):
            found.add((*index[:axis], int(rng.integers(0, size)), *index[axis + 1 :]))
    return sorted(found)
