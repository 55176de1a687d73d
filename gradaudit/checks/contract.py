"""Whether a gradient can be compared at all: that it is there, has its input's shape and dtype, and is finite."""

from __future__ import annotations

from gradaudit.numerics.arrays import Array, all_finite, count, dtype_name, namespace, places
from gradaudit.results import Finding


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
            f"the gradient of {name} has shape {tuple(gradient.shape)}, the input has shape {tuple(x.shape)}",
            {"expected": list(x.shape), "found": list(gradient.shape)},
        )
    if gradient.dtype != x.dtype:
        return Finding(
            "dtype-mismatch",
            f"the gradient of {name} is {dtype_name(gradient.dtype)}, the input is {dtype_name(x.dtype)}",
            {"expected": dtype_name(x.dtype), "found": dtype_name(gradient.dtype)},
        )
    if not all_finite(gradient):
        broken = places(~namespace(gradient).isfinite(gradient))
        where = tuple(int(k) for k in broken[0])
        return Finding(
            "nonfinite",
            f"the gradient of {name} is {gradient[where].item()} at index {where}; {len(broken)} of {count(gradient)} "
            "elements are not finite",
            {"index": list(where), "count": len(broken)},
        )
    return None
