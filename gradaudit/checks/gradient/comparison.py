"""What a gradient was compared with, index by index: what a diagnosis starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.exhaustive import Table
from gradaudit.numerics.arrays import Array, has_complex_dtype
from gradaudit.numerics.vicinity import Floats

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
    known: Mapping[tuple[int, ...], tuple[complex, float]], formula: Array, bounds: Array | None
) -> Comparison:
    """Return the comparison that knowledge of single indices makes.

    Args:
        known: the numerical gradient and what it may be off by, by index.
        formula: what all other indices were tested for together.
        bounds: what that may be off by, None where the test failed. Where it did not, some of the other indices are
            taken in, at random and on the same lines as those known.

    """
    rows = [index for index, (_, bound) in known.items() if np.isfinite(bound)]
    cleared = [] if bounds is None else [index for index in _background(rows, formula.shape) if index not in known]
    numerical = [known[index][0] for index in rows] + [formula[index].item() for index in cleared]
    off = [known[index][1] for index in rows] + [0.0 if bounds is None else float(bounds[index]) for index in cleared]
    values = np.array(numerical, np.complex128)
    return Comparison(
        np.array([*rows, *cleared], np.intp).reshape(len(numerical), formula.ndim),
        values if has_complex_dtype(formula) else values.real,
        np.array(off, np.float64),
        complete=bounds is not None,
    )


def _background(known: list[tuple[int, ...]], shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return random indices: some anywhere, some that differ from a known one along one axis only."""
    rng = np.random.default_rng(0)
    anywhere = np.stack([rng.integers(0, size, CLEARED) for size in shape], axis=1) if shape else np.empty((0, 0), int)
    found = {tuple(int(k) for k in row) for row in anywhere}
    for index in known:
        for axis, size in enumerate(shape):
            found.add((*index[:axis], int(rng.integers(0, size)), *index[axis + 1 :]))
    return sorted(found)
