"""The layers that the milestones are made of; their weights are drawn uniformly within 1 / sqrt(inputs of a unit).

Source: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998, section 4.6, for the scale.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike

from gradaudit.tape import Module, Tensor, functions


class Linear(Module):
    """An affine map of the last axis: weight is (outputs, inputs), bias (outputs,)."""

    def __init__(self, inputs: int, outputs: int, rng: Generator, dtype: DTypeLike = np.float64) -> None:
        self.weight = _drawn(rng, (outputs, inputs), inputs, dtype)
        self.bias = _drawn(rng, (outputs,), inputs, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return x W^T + b for x of shape (..., inputs)."""
        return functions.linear(x, self.weight, self.bias)


def _drawn(rng: Generator, shape: tuple[int, ...], inputs: int, dtype: DTypeLike) -> Tensor:
    bound = 1.0 / math.sqrt(inputs)
    return Tensor(rng.uniform(-bound, bound, shape).astype(dtype), requires_grad=True)
