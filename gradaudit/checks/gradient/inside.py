"""Forwards that return float64 and compute in a narrower dtype inside: told by the numbers that they return."""

from __future__ import annotations

import numpy as np

from gradaudit.numerics.arrays import Array, cast, copied, dtype_name, like, namespace
from gradaudit.numerics.margins import SAMPLE
from gradaudit.spec.dtypes import is_complex, is_floating

NARROW = ("bfloat16", "float16", "float32")
"""Dtypes that a forward which returns float64 may compute in, the coarsest first."""


def narrowest(numbers: Array) -> str | None:
    """Return the narrowest dtype that finite numbers, not all zero, are numbers of; None for float64."""
    if not _are_of(numbers[:SAMPLE], NARROW[-1]):
        return None
    if not (namespace(numbers).isfinite(numbers) & (numbers != 0.0)).any():
        return None
    return next((name for name in NARROW if _are_of(numbers, name)), None)


def _are_of(numbers: Array, name: str) -> bool:
    same = cast(cast(numbers, name), "float64") == numbers
    return bool((same | ~namespace(numbers).isfinite(numbers)).all())


def narrowed(array: Array, dtype: str) -> Array:
    """Return a floating array in this real dtype or its complex counterpart, another as it is."""
    name = dtype_name(array.dtype)
    if not is_floating(name):
        return array
    if is_complex(name):
        dtype = "complex128" if dtype == "float64" else "complex64"
    return cast(array, dtype)


def displaced(x: Array, displacement: float, rng: np.random.Generator) -> Array:
    """Return a copy; a floating array's is displaced by this part of each element, or by half as much again or less."""
    if not is_floating(dtype_name(x.dtype)):
        return copied(x)
    return cast(x * (1.0 + displacement * like(rng.uniform(0.5, 1.5, tuple(x.shape)), x)), dtype_name(x.dtype))
