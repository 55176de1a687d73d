"""Values of whatever framework as numbers in NumPy, and back."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PLAIN = (bool, int, float, complex, np.ndarray, np.generic)


def as_numbers(value: Any) -> Array | None:
    """Return a number or an array of numbers as NumPy's; None for anything else."""
    if isinstance(value, PLAIN):
        array = np.asarray(value)
    elif hasattr(value, "detach") and hasattr(value, "resolve_conj"):
        array = np.asarray(value.detach().resolve_conj().numpy())
    elif hasattr(value, "__array__") and hasattr(value, "dtype"):
        array = np.asarray(value)
    else:
        return None
    return array if array.dtype.kind in "biufc" else None


def like(model: Any, array: Array) -> Any:
    """Return an array of NumPy's as what a value is: an array of its framework."""
    if isinstance(model, (bool, int, float, complex)) and array.ndim == 0:
        return array.item()
    if isinstance(model, PLAIN):
        return array
    module = type(model).__module__.partition(".")[0]
    if module == "torch":
        return sys.modules["torch"].as_tensor(np.array(array), dtype=None)
    if module in ("jax", "jaxlib"):
        return sys.modules["jax"].numpy.asarray(array)
    return array


def reals(array: Array) -> NDArray[np.float64]:
    """Return the numbers of an array as real ones, imaginary parts after the real ones."""
    flat = array.reshape(-1)
    if flat.dtype.kind == "c":
        return np.concatenate([flat.real, flat.imag]).astype(np.float64)
    return flat.astype(np.float64)
