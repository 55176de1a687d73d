"""Whether a gradient keeps its contract: that it is there, has its input's shape and dtype, and is finite."""

from __future__ import annotations

from gradaudit.numerics.arrays import Array, all_finite, count, dtype_name, namespace, places
from gradaudit.results import Finding


def broken_contract(name: str, x: Array, gradient: Array | None, *, answered: bool) -> Finding | None:
    """Return what makes it impossible to compare a gradient, None where nothing does.

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
    return None


def flaws(name: str, x: Array, gradient: Array) -> list[Finding]:
    """Return what is wrong with a gradient that can be compared all the same: its dtype, or numbers that are none.

    Args:
        name: the input's name.
        x: the input.
        gradient: what backward returned for it, of its shape.

    """
    found = []
    if gradient.dtype != x.dtype:
        message = f"the gradient of {name} is {dtype_name(gradient.dtype)}, the input is {dtype_name(x.dtype)}"
        evidence = {"expected": dtype_name(x.dtype), "found": dtype_name(gradient.dtype)}
        found.append(Finding("dtype-mismatch", message, evidence))
    if not all_finite(gradient):
        broken = places(~namespace(gradient).isfinite(gradient))
        where = tuple(int(k) for k in broken[0])
        message = (
            f"the gradient of {name} is {gradient[where].item()} at index {where}; {len(broken)} of {count(gradient)} "
            "elements are not finite"
        )
        found.append(Finding("nonfinite", message, {"index": list(where), "count": len(broken)}))
    return found
