"""The only comparison: what a gradient is off by at an index, held against what it may be off by.

Whatever a witness saw, by differences or along paths, becomes four numbers at an index: what backward claims, what the
numerical gradient is, what that may be off by itself, and the difference that is allowed. ``judge`` makes right, wrong
or undecided of them, and nothing else does.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum, auto
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Judged(NamedTuple):
    """What follows at an index, or as arrays at many: the difference, and whether the claim is right or wrong.

    It is undecided where the error bound straddles the tolerance, or where nothing is known.
    """

    difference: Any
    right: Any
    wrong: Any
    undecided: Any


class Judgement(Enum):
    """What a close look at one index says."""

    RIGHT = auto()
    WRONG = auto()
    UNDECIDED = auto()
    KINK = auto()


def judge(claimed: Any, numerical: Any, bound: Any, allowed: Any) -> Judged:
    """Compare a claim with a numerical gradient; numbers, or arrays of one shape, real or complex.

    Args:
        claimed: the analytical gradient. One that is NaN or infinite is wrong wherever the truth is known.
        numerical: the numerical one, NaN where nothing is known.
        bound: what the numerical one may be off by; infinite where nothing is known.
        allowed: the tolerance at the index.

    """
    difference = np.abs(claimed - numerical)
    known = np.isfinite(numerical) & np.isfinite(bound)
    within = known & np.isfinite(difference) & (difference + bound <= allowed)
    beyond = known & ((difference - bound > allowed) | ~np.isfinite(claimed))
    return Judged(difference, within, beyond, ~(within | beyond))


def taken(array: Array, places: NDArray[np.intp]) -> Array:
    """Return the elements of an array at some indices, one a row, as a vector."""
    if not array.ndim:
        return np.broadcast_to(array, (len(places),))
    made: Array = array[tuple(places.T)]
    return made


@dataclass(frozen=True)
class Looks:
    """What a witness saw at some indices of one gradient: row k of each array is about the index ``places[k]``.

    Attributes:
        places: the indices: shape (n, axes).
        claimed: what backward says there: shape (n,).
        numerical: the numerical gradient; at a kink that admits the claim, the claim itself.
        bounds: what it may be off by; infinite where nothing is known.
        kink: whether the one-sided derivatives differ there.
        jump: whether forward itself is discontinuous there.
        outside: whether forward is not finite around the point.

    """

    places: NDArray[np.intp]
    claimed: Array
    numerical: Array
    bounds: Floats
    kink: Mask
    jump: Mask
    outside: Mask

    @classmethod
    @cache
    def none(cls, axes: int, dtype: Any) -> Looks:
        """Return no looks, at a gradient with so many axes."""
        numbers, mask = np.zeros(0, dtype), np.zeros(0, np.bool_)
        return cls(np.zeros((0, axes), np.intp), numbers, numbers, np.zeros(0), mask, mask, mask)

    def and_of(self, more: Looks) -> Looks:
        """Return these looks and some more of the same gradient."""
        pairs = ((getattr(self, part.name), getattr(more, part.name)) for part in fields(self))
        return Looks(*(np.concatenate(pair) for pair in pairs))
