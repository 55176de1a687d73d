"""Whether a gradient can be compared at all: that it is there, has its input's shape and dtype, and is finite."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.results import Finding

Array = NDArray[Any]


def broken_contract(name: str, x: Array, gradient: Array | None, *, answered: bool) -> Finding | None:
    """Return what makes this gradient unusable, None where nothing does.

    Args:
        name: the input's name.
        x: the input.
        gradient: what backward returned for it.
        answered: whether backward returns anything for this input at all.

    """
    if gradient is None:
        said = "backward returned None for it" if answered else "backward's returns do not name it"
        return Finding("missing-gradient", f"{name} is differentiable, but {said}")
    if gradient.shape != x.shape:
        return Finding(
            "shape-mismatch",
            f"the gradient of {name} has shape {gradient.shape}, the input has shape {x.shape}",
            {"expected": list(x.shape), "found": list(gradient.shape)},
        )
    if gradient.dtype != x.dtype:
        return Finding(
            "dtype-mismatch",
            f"the gradient of {name} is {gradient.dtype}, the input is {x.dtype}",
            {"expected": str(x.dtype), "found": str(gradient.dtype)},
        )
    broken = np.argwhere(~np.isfinite(gradient))
    if len(broken):
        where = tuple(int(k) for k in broken[0])
        return Finding(
            "nonfinite",
            f"the gradient of {name} is {gradient[where]} at index {where}; {len(broken)} of {gradient.size} "
            "elements are not finite",
            {"index": list(where), "count": len(broken)},
        )
    return None
