"""The dtypes that a spec may name, and the tolerance that each has by default."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import numpy as np

from gradaudit.spec.case import Tolerance

FloatingName = Literal["float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
DiscreteName = Literal["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
InputDtypeName = Literal[FloatingName, DiscreteName]

FLOATING_NAMES: tuple[str, ...] = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")

DEFAULT_DTYPE: FloatingName = "float64"
"""Of a case where nobody names one: in it differences are the sharpest."""

DEFAULT_TOLERANCES = {
    "float16": Tolerance(5e-3, 1e-3),
    "bfloat16": Tolerance(1.6e-2, 4e-3),
    "float32": Tolerance(1e-4, 1e-6),
    "float64": Tolerance(1e-7, 1e-9),
    "complex64": Tolerance(1e-4, 1e-6),
    "complex128": Tolerance(1e-7, 1e-9),
}
"""Allowed differences where forward can be differenced in float64 and only backward runs in the dtype itself."""

NATIVE_TOLERANCES = {
    "float16": Tolerance(2.5e-2, 1e-2),
    "bfloat16": Tolerance(2.5e-2, 1e-2),
    "float32": Tolerance(1e-2, 1e-3),
    "complex64": Tolerance(1e-2, 1e-3),
}
"""Allowed differences where forward runs in its own dtype only; ``atol`` is in units of the rms gradient."""


@cache
def dtype_of(name: str) -> np.dtype[Any]:
    """Return the NumPy dtype of this name; bfloat16 comes from ml_dtypes, which is imported only for it."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)  # type: ignore[no-any-return]
    return np.dtype(name)


def is_floating(name: str) -> bool:
    """Whether the dtype of this name has derivatives: real or complex floating point."""
    return name in FLOATING_NAMES


@cache
def has_derivatives(dtype: np.dtype[Any]) -> bool:
    """Whether arrays of this dtype can be differentiated; ``is_floating`` for a dtype at hand."""
    return is_floating(dtype.name)


def is_complex(name: str) -> bool:
    """Whether the dtype of this name is complex."""
    return name.startswith("complex")


def floating_info(name: str) -> Any:
    """Return the ``finfo`` of a floating dtype, of the real part's for complex dtypes."""
    if name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.finfo(dtype_of(name))  # type: ignore[no-untyped-call]
    return np.finfo(dtype_of(name))


@cache
def spacing(name: str) -> float:
    """Return the distance from 1 to the next number of a floating dtype."""
    return float(floating_info(name).eps)


@cache
def least_spacing(name: str) -> float:
    """Return the distance between neighbours of a floating dtype around zero, where its numbers are subnormal."""
    return float(floating_info(name).smallest_subnormal)


@cache
def largest_value(name: str) -> float:
    """Return the largest finite value of the dtype, of its real part for complex dtypes; exact for integers."""
    dtype = dtype_of(name)
    if name == "bool":
        return 1
    return np.iinfo(dtype).max if dtype.kind in "iu" else float(floating_info(name).max)


@cache
def smallest_value(name: str) -> float:
    """Return the least finite value of the dtype, of its real part for complex dtypes; exact for integers."""
    dtype = dtype_of(name)
    if name == "bool":
        return 0
    return np.iinfo(dtype).min if dtype.kind in "iu" else -largest_value(name)
