"""How the reference ops treat float16 and bfloat16: compute in float32, round once at the end."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeGuard, TypeVar

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")

HALF_DTYPES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))


def computed_in_float32(function: Callable[P, R]) -> Callable[P, R]:
    """Widen half-precision arguments to float32, call, and round the float32 results back.

    Accumulating in half precision loses whole terms of a sum (2048 + 1 = 2048 in float16), so kernels for
    accelerators accumulate in float32; the reference ops do the same. Arguments of other dtypes pass through
    untouched, and so do results that are not float32 (indices, masks).
    """

    @wraps(function)
    def widened(*args: P.args, **kwargs: P.kwargs) -> R:
        half = next((a.dtype for a in args if _is_half(a)), None)
        if half is None:
            return function(*args, **kwargs)
        wide: Any = [a.astype(np.float32) if _is_half(a) else a for a in args]
        return _rounded(function(*wide, **kwargs), half)

    return widened


def _is_half(argument: object) -> TypeGuard[Array]:
    return isinstance(argument, (np.ndarray, np.generic)) and argument.dtype in HALF_DTYPES


def _rounded(result: Any, dtype: np.dtype[Any]) -> Any:
    if isinstance(result, tuple):
        return tuple(_rounded(part, dtype) for part in result)
    return result.astype(dtype) if result.dtype == np.float32 else result
