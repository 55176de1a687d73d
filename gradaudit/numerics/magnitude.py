"""How large numbers are."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from gradaudit.numerics.arrays import (
    IN_CACHE,
    OF_PRODUCTS,
    Array,
    as_reals,
    cast,
    count,
    dtype_name,
    has_complex_dtype,
    in_cache,
    inner,
    largest,
    namespace,
    on_host,
)
from gradaudit.numerics.margins import HEADROOM, QUARTER
from gradaudit.spec.dtypes import is_floating, least_spacing, spacing

LEAST_SQUARE = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
"""Sum of squares to which none contributes that has lost digits as a subnormal number."""


def power_of_two(value: float) -> float:
    """Return the power of two nearest to a positive number, in ratio; 1 where there is none."""
    return math.ldexp(1.0, round(math.log2(value))) if 0.0 < value < math.inf else 1.0


def scale_of(values: Array, otherwise: float) -> float:
    """Return the power of two that displacements of an array are measured in: what its smaller elements are.

    Args:
        values: real or complex, of any shape.
        otherwise: a magnitude to take where all are zero.

    """
    if not count(values):
        return 1.0
    some = on_host(abs(values.reshape(-1)[:: 1 + count(values) // IN_CACHE]))  # enough of a large array to tell
    name = dtype_name(some.dtype)
    some = some[
        some >= (least_spacing(name) / spacing(name) if is_floating(name) else 1.0)
    ]  # subnormal ones have lost digits
    typical = quantile(some, QUARTER) if len(some) else rms(values)
    return power_of_two(typical or otherwise)


def scales_of(values: Array, otherwise: float) -> float | Array:
    """Return the powers of two that displacements of the numbers of an array are measured in.

    One for all; where some are far larger than others a vector, with the magnitude of each that is above the others'.
    """
    scale = scale_of(values, otherwise)
    if not count(values) or not largest(values) > HEADROOM * scale:
        return scale
    xp = namespace(values)
    own = xp.exp2(xp.round(xp.log2(cast(xp.clip(abs(values), scale, None), "float64")))).reshape(-1)
    return xp.repeat(own, 2) if has_complex_dtype(values) else own


def rms(values: Array) -> float:
    """Return the root mean square of the magnitudes, without overflow; 0 for no values."""
    size, square = count(values), 0.0
    if size <= OF_PRODUCTS and isinstance(values, np.ndarray) and values.dtype == np.float64:
        square = float(np.vdot(values, values))
    elif size:
        flat = values.reshape(-1)
        wide = dtype_name(values.dtype) in ("float64", "complex128")
        parts = [flat] if wide else [flat[part] for part in in_cache(flat)]
        square = sum(inner(reals, reals) for reals in map(as_reals, parts))
    if LEAST_SQUARE < square < math.inf:  # else some squares may have been lost
        return math.sqrt(square / size)
    scale = largest(values)
    if scale == 0.0 or not math.isfinite(scale):
        return scale
    return scale * math.sqrt(float((abs(values / scale) ** 2).mean()))


def norm_of_product(first: Array, second: Array) -> float:
    """Return the root sum of squares of the products of two vectors, without overflow and without an array of them."""
    return math.hypot(*[norm(first[part] * second[part]) for part in in_cache(first)])


def norm(values: Array) -> float:
    """Return the root sum of squares of the magnitudes, without overflow."""
    return rms(values) * math.sqrt(count(values))


def quantile(values: ArrayLike, share: float) -> float:
    """Return NumPy's quantile of some numbers, whose own function imports masked arrays and takes longer."""
    flat = np.asarray(values)
    place = share * (flat.size - 1)
    low = int(place)
    parted = np.partition(flat, (low, min(low + 1, flat.size - 1), flat.size - 1), axis=None)
    if parted[-1] != parted[-1]:
        return float("nan")
    part = parted.dtype.type(place - low)
    if not part:
        return float(parted[low])
    lower, upper = parted[low], parted[low + 1]
    return float(lower + (upper - lower) * part if part < 0.5 else upper - (upper - lower) * (1 - part))
