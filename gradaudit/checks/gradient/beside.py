"""Points beside a point: inputs that are displaced by about some part of each element, and forward there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradaudit.numerics.arrays import (
    Array,
    cast,
    copied,
    count,
    dtype_name,
    has_complex_dtype,
    like,
    namespace,
    written,
)
from gradaudit.spec.dtypes import is_floating

if TYPE_CHECKING:
    from gradaudit.checks.gradient.evaluation_point import EvaluationPoint


def outputs_beside(point: EvaluationPoint, displacement: float, *names: str) -> Array:
    """Return forward's outputs where some inputs, all if none is named, are displaced by about this part of them.

    They stay inside of what is declared, else of their own values.
    """
    ranges = {made.name: made.range for made in point.subject.case.inputs}
    here = {name: copied(x) for name, x in point.inputs.items() if name in names or not names}
    rng = np.random.default_rng(0)
    try:
        for name, x in here.items():
            beside = inside(displaced(x, displacement, rng), x, ranges.get(name))
            point.inputs[name] = written(point.inputs[name], ..., beside)
        return point.evaluate()
    finally:
        for name, x in here.items():
            point.inputs[name] = written(point.inputs[name], ..., x)


def displaced(x: Array, displacement: float, rng: np.random.Generator) -> Array:
    """Return a copy; a floating array's is displaced by this part of each element, or by half as much again or less."""
    if not is_floating(dtype_name(x.dtype)):
        return copied(x)
    return cast(x * (1.0 + displacement * like(rng.uniform(0.5, 1.5, tuple(x.shape)), x)), dtype_name(x.dtype))


def inside(beside: Array, x: Array, declared: tuple[float, float] | None) -> Array:
    """Return numbers beside those of an array, turned round where they would leave the range that these lie in.

    It is the one declared, else from the least of them to the largest, of equal ones from zero: more is not known of
    what forward takes.
    """
    if not count(x) or has_complex_dtype(x) or not is_floating(dtype_name(x.dtype)):
        return beside
    least, most = low, high = float(x.min()), float(x.max())
    if declared and declared[0] <= least and most <= declared[1]:
        low, high = declared
    elif least == most:
        low, high = min(least, 0.0), max(most, 0.0)
    outside = (beside < low) | (beside > high)
    if not low < high or not outside.any():
        return beside
    xp, width = namespace(x), high - low
    folded = low + abs(xp.remainder(cast(beside, "float64") - low + width, 2 * width) - width)
    turned = cast(xp.clip(folded, low, high), dtype_name(beside.dtype))
    return xp.where(outside, turned, beside)
