"""Whether two answers of an op are the same, up to the order in which it adds things up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradaudit.numerics.arrays import (
    Array,
    all_finite,
    cast,
    count,
    dtype_name,
    fused,
    has_complex_dtype,
    largest,
    namespace,
    same_bits,
)
from gradaudit.spec.dtypes import is_floating, spacing

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
        return Change(count(second), count(second), math.inf)
    if same_bits(first, second):
        return Change(0, count(second), 0.0)
    name, kind = dtype_name(first.dtype), "complex128" if has_complex_dtype(first) else "float64"
    was, now = cast(first, kind), cast(second, kind)
    rounding = spacing(name) if is_floating(name) else 0.0
    allowed = min(MOST, max(REORDERED, math.sqrt(terms)) * rounding)
    return exceeding(was, now, allowed * max(scale, _largest(was), _largest(now)))


def exceeding(was: Array, now: Array, allowed: float) -> Change:
    """Return where two arrays of one shape differ by more than a number; NaN and infinities equal themselves."""
    gap = fused(_gap, now)(was, now)
    different = ~(gap <= allowed)
    exceeded = int(different.sum())
    return Change(exceeded, count(now), largest(namespace(now).where(different, gap, 0.0)) if exceeded else 0.0)


def _gap(was: Array, now: Array) -> Array:
    same = (was == now) | ((was != was) & (now != now))
    return namespace(now).where(same, 0.0, abs(now - was))


def _largest(values: Array) -> float:
    xp = namespace(values)
    return largest(values if all_finite(values) else xp.where(xp.isfinite(values), values, 0.0))
