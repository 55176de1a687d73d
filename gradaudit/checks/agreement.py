"""Whether two answers of an op are the same, up to the order in which it adds things up."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradaudit.numerics.arrays import (
    Array,
    all_finite,
    cast,
    count,
    dtype_name,
    has_complex_dtype,
    in_cache,
    largest,
    namespace,
    same_bits,
)
from gradaudit.numerics.margins import NEGLIGIBLE, SAFETY, SIGNIFICANT
from gradaudit.spec.dtypes import is_floating, spacing


@dataclass(frozen=True)
class Change:
    """Where one array differs from another: at how many elements of how many, and by how much at most.

    ``allowed`` is what no difference is.
    """

    count: int
    size: int
    largest: float
    allowed: float = 0.0

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        """Say how many elements changed, and by how much."""
        return f"{self.count:,} of {self.size:,} elements, by up to {self.largest:.2g}"

    @property
    def evidence(self) -> dict[str, Any]:
        """The same for a finding."""
        return {"changed": self.count, "size": self.size, "largest": self.largest}


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
    return exceeding(was, now, scatter(terms, rounding, scale, max(largest(known(was)), largest(known(now)))))


def scatter(terms: int, rounding: float, scale: float, size: float) -> float:
    """Return how much sums, ``size`` the largest, change by when terms as large as a scale are reordered."""
    of_terms = min(_most(rounding), max(SIGNIFICANT, SAFETY * terms) * rounding)
    return max(of_terms * scale, reordering(terms, rounding) * size)


def reordering(terms: int, rounding: float) -> float:
    """Return how much of itself a sum may change by when its terms are added in another order, given one rounding."""
    return min(_most(rounding), max(SIGNIFICANT, math.sqrt(terms)) * rounding)


def _most(rounding: float) -> float:
    """Return the part of itself that a sum may change by at most: in few digits a few roundings are a large part."""
    return max(NEGLIGIBLE, SIGNIFICANT * rounding)


def exceeding(was: Array, now: Array, allowed: float) -> Change:
    """Return where two arrays of one shape differ by more than a number; NaN and infinities equal themselves."""
    exceeded, furthest = 0, 0.0
    for gap in _gaps(was, now):
        if not (within := gap <= allowed).all():
            exceeded += count(gap) - int(within.sum())
            furthest = float(np.maximum(furthest, largest(gap)))
    return Change(exceeded, count(now), furthest, allowed)


def alike(was: Array, now: Array, allowed: float) -> bool:
    """Whether two arrays of one shape differ by no more than a number at any element, as ``exceeding`` tells it."""
    return all(bool((gap <= allowed).all()) for gap in _gaps(was, now))


def _gaps(was: Array, now: Array) -> Iterator[Array]:
    """Yield how far two arrays of one shape are apart, part by part; NaN and infinities are none from themselves."""
    was, now = was.reshape(-1), now.reshape(-1)
    for part in in_cache(now):
        gap = abs(now[part] - was[part])
        if not all_finite(gap):
            same = (was[part] == now[part]) | ((was[part] != was[part]) & (now[part] != now[part]))
            gap = namespace(gap).where(same, 0.0, gap)
        yield gap


def known(values: Array) -> Array:
    """Return values with nothing where they are not finite, as where NaN stands for what was not measured."""
    xp = namespace(values)
    return values if all_finite(values) else xp.where(xp.isfinite(values), values, 0.0)
