"""Forward beside a point: with inputs that are displaced by about some part of each element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradaudit.numerics.arrays import Array, cast, copied, dtype_name, like, written
from gradaudit.spec.dtypes import is_floating

if TYPE_CHECKING:
    from gradaudit.checks.gradient.evaluation_point import EvaluationPoint


def outputs_beside(point: EvaluationPoint, displacement: float, *names: str) -> Array:
    """Return forward's outputs where some inputs, all if none is named, are displaced by about this part of them."""
    here = {name: copied(x) for name, x in point.inputs.items() if name in names or not names}
    rng = np.random.default_rng(0)
    try:
        for name, x in here.items():
            point.inputs[name] = written(point.inputs[name], ..., displaced(x, displacement, rng))
        return point.evaluate()
    finally:
        for name, x in here.items():
            point.inputs[name] = written(point.inputs[name], ..., x)


def displaced(x: Array, displacement: float, rng: np.random.Generator) -> Array:
    """Return a copy; a floating array's is displaced by this part of each element, or by half as much again or less."""
    if not is_floating(dtype_name(x.dtype)):
        return copied(x)
    return cast(x * (1.0 + displacement * like(rng.uniform(0.5, 1.5, tuple(x.shape)), x)), dtype_name(x.dtype))
