"""What a gradient was compared with, index by index: what a diagnosis starts from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.seen import Seen
from gradaudit.numerics.arrays import Array, on_host
from gradaudit.numerics.gauge import UNSEEN
from gradaudit.numerics.judging import taken
from gradaudit.numerics.margins import MAX_ATTEMPTS, MAX_TABLE
from gradaudit.numerics.vicinity import Floats

LISTED = MAX_ATTEMPTS * MAX_TABLE
"""Places that a comparison holds at most of those where the gradient is known."""


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


def compared(seen: Seen) -> Comparison:
    """Return what is known of the numerical gradient from what was seen of it.

    Where a search cleared all indices but those that it looked at, some of the others are taken in, at random and on
    the same lines as those known.
    """
    looks, claim = seen.looks, seen.claim
    rows = np.flatnonzero(np.isfinite(looks.bounds) & ~looks.kink)[:LISTED]
    places, numerical, bounds = looks.places[rows], looks.numerical[rows], looks.bounds[rows]
    if seen.method == "search" and seen.cleared:
        known = {tuple(place) for place in looks.places.tolist()}
        wrong = [tuple(place) for place in places.tolist()]
        cleared = [index for index in _background(wrong, tuple(claim.formula.shape)) if index not in known]
        more = np.array(cleared, np.intp).reshape(len(cleared), claim.formula.ndim)
        formula = taken(on_host(claim.formula), more)
        off = UNSEEN * claim.share * claim.allowance.tolerance.rtol * abs(formula)
        places = np.concatenate([places, more])
        numerical, bounds = np.concatenate([numerical, formula]), np.concatenate([bounds, off])
    return Comparison(places, numerical, bounds, complete=seen.cleared)


def _background(known: list[tuple[int, ...]], shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return random indices: some anywhere, some that differ from a known one along one axis only."""
    rng = np.random.default_rng(0)
    anywhere = (
        np.stack([rng.integers(0, size, MAX_TABLE) for size in shape], axis=1) if shape else np.empty((0, 0), int)
    )
    found = {tuple(int(k) for k in row) for row in anywhere}
    for index in known:
        for axis, size in enumerate(shape):
            found.add((*index[:axis], int(rng.integers(0, size)), *index[axis + 1 :]))
    return sorted(found)
