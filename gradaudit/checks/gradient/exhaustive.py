"""Every index, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.element import Element, look_at
from gradaudit.numerics.loss import Loss
from gradaudit.numerics.vicinity import Floats, Index
from gradaudit.spec.case import Tolerance

Array = NDArray[Any]


@dataclass(frozen=True)
class Table:
    """Estimates of a gradient as arrays of its shape.

    Attributes:
        numerical: the estimates.
        bounds: what each may be off by.
        kinks: where the op is not differentiable.
        jumps: where it is not continuous.
        outside: where nothing is known because it is not finite around.

    """

    numerical: Array
    bounds: Floats
    kinks: NDArray[np.bool_]
    jumps: NDArray[np.bool_]
    outside: NDArray[np.bool_]


def estimate_all(loss: Loss, claimed: Array, tolerance: Tolerance, step: float | None) -> Table:
    """Look at every index of a claimed gradient."""
    shape = claimed.shape
    marks = (np.zeros(shape, dtype=bool) for _ in range(3))
    table = Table(np.zeros_like(claimed), np.zeros(shape), *marks)

    def look(index: Index) -> Element:
        return look_at(loss, index, claimed[index].item(), tolerance, step)

    for index, element in loss.vicinity.side_by_side(look, np.ndindex(shape)):
        table.numerical[index] = element.numerical if claimed.dtype.kind == "c" else element.numerical.real
        table.bounds[index] = element.bound
        table.kinks[index] = element.kink
        table.jumps[index] = element.jump
        table.outside[index] = element.outside
    return table
