"""Whether two answers of an op are the same, up to the order in which it adds things up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.dtypes import has_derivatives, spacing

Array = NDArray[Any]

REORDERED = 8.0
"""Roundings by which a sum of a few terms may change when they are added in another order, as threads may do; a sum of
n terms by the square root of n where that is more."""

MOST = 0.01
"""Relative change that is never put down to that: what is summed in a coarse dtype is summed in a finer one inside."""


@dataclass(frozen=True)
class Change:
    """Where one array differs from another: at how many elements of how many, and by how much at most."""

    count: int
    size: int
    largest: float

    def __bool__(self) -> bool:
        return self.count > 0


def change(first: Array, second: Array, scale: float, terms: int) -> Change:
    """Return where two arrays differ by more than a sum may when its terms are reordered; NaN equals NaN.

    Args:
        first: an array.
        second: another; one of another shape differs everywhere.
        scale: magnitude of the terms that the elements may be sums of, besides that of the elements themselves.
        terms: how many terms an element may be a sum of.

    """
    if first.shape != second.shape or first.dtype != second.dtype:
        return Change(second.size, second.size, math.inf)
    if (_bits(first) == _bits(second)).all():
        return Change(0, second.size, 0.0)
    kind = np.complex128 if first.dtype.kind == "c" else np.float64
    was, now = first.astype(kind), second.astype(kind)
    rounding = spacing(first.dtype.name) if has_derivatives(first.dtype) else 0.0
    allowed = min(MOST, max(REORDERED, math.sqrt(terms)) * rounding)
    return exceeding(was, now, allowed * max(scale, _largest(was), _largest(now)))


def exceeding(was: Array, now: Array, allowed: float) -> Change:
    """Return where two arrays of one shape differ by more than a number; NaN and infinities equal themselves."""
    same = (was == now) | (np.isnan(was) & np.isnan(now))
    gap = np.where(same, 0.0, np.abs(now - was))
    different = ~(gap <= allowed)
    return Change(int(different.sum()), now.size, float(gap[different].max(initial=0.0)) if different.any() else 0.0)


def _bits(array: Array) -> NDArray[Any]:
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.view(np.uint64 if flat.nbytes % 8 == 0 else np.uint8)


def _largest(values: Array) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0))
