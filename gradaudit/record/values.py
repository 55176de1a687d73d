"""What an input is like that was seen, and how one like it is drawn: with values that hide nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Distribution, Input

Array = NDArray[Any]

USUAL = (-2.0, 2.0)
BESIDE_ONE = (0.5, 1.5)
POSITIVE = (0.25, 2.0)
PROBABILITIES = (0.05, 0.95)


def drawn_like(name: str, array: Array, shape: tuple[int, ...], below: int, *, differentiable: bool) -> Input:
    """Return how an input is drawn whose values are like an array's.

    Args:
        name: the input's.
        array: what was seen.
        shape: what it is to have.
        below: of whole numbers: what none reaches.
        differentiable: whether it has a gradient.

    """
    dtype = array.dtype.name
    if array.dtype.kind == "b":
        return Input(name, shape, dtype, False, (0.0, 1.0), "bernoulli")
    if array.dtype.kind in "iu":
        return Input(name, shape, dtype, False, (0.0, below - 1.0), "integers")
    distribution, limits = _manner(np.asarray(array, np.float64) if array.dtype.kind != "c" else array.real, shape)
    return Input(name, shape, dtype, differentiable, limits, distribution)


def _manner(array: Array, shape: tuple[int, ...]) -> tuple[Distribution, tuple[float, float] | None]:
    values = np.unique(array)
    rows = array.sum(axis=-1) if array.ndim else array
    if len(values) == 2 and values[0] == 0:
        if values[1] == 1 and array.ndim > 1 and (rows == 1).all() and (np.count_nonzero(array, axis=-1) == 1).all():
            return "one_hot", None
        if array.size > 4:  # a mask
            return "bernoulli", (0.0, float(values[1]))
    low, high = (float(values[0]), float(values[-1])) if len(values) else USUAL
    if array.ndim and array.shape[-1] > 1 and low >= 0 and len(values) > 2 and np.allclose(rows, 1.0):
        return "simplex", None
    if low == high:
        return "uniform", BESIDE_ONE if low == 1 else USUAL
    if low > 0 and high < 1:
        return "uniform", PROBABILITIES
    return "uniform", POSITIVE if low >= 0 else USUAL
