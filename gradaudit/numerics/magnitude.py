"""How large numbers are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

TINY_SQUARE = 1e-280
"""Sum of squares below which some of them may have been lost."""


def power_of_two(value: float) -> float:
    """Return the power of two nearest to a positive number, in ratio; 1 where there is none."""
    return math.ldexp(1.0, round(math.log2(value))) if 0.0 < value < math.inf else 1.0


def rms(values: Array) -> float:
    """Return the root mean square of the magnitudes, without overflow; 0 for no values."""
    flat = values.reshape(-1)
    square = float(np.vdot(flat, flat).real) if flat.size and flat.dtype in (np.float64, np.complex128) else 0.0
    if TINY_SQUARE < square < math.inf:
        return math.sqrt(square / flat.size)
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(float(np.mean(np.abs(values / largest) ** 2)))
