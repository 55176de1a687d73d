"""The convolutional network, on digits: filters, maxima, more filters, maxima, and a layer that reads them.

Source: LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, 1998.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from gradaudit.milestones.digits import accuracy, loss
from gradaudit.milestones.digits import drawn as data
from gradaudit.milestones.layers import Conv2d, Linear
from gradaudit.tape import Module, Tensor, functions

__all__ = ["CNN", "accuracy", "build", "data", "loss"]

FILTERS = 4, 8
"""How many there are in either layer."""


class CNN(Module):
    """Two convolutions and a linear layer: 6 parameters."""

    def __init__(self, rng: np.random.Generator, dtype: DTypeLike) -> None:
        first, second = FILTERS
        self.first = Conv2d(1, first, 3, rng, dtype)
        self.second = Conv2d(first, second, 3, rng, dtype)
        self.output = Linear(second * 4, 10, rng, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits (N, 10) of images (N, 1, 8, 8)."""
        halved = functions.maxpool2d(functions.relu(self.first(x)), kernel=2)
        quartered = functions.maxpool2d(functions.relu(self.second(halved)), kernel=2)
        return self.output(quartered.reshape(len(x.data), -1))


def build(seed: int = 0, dtype: DTypeLike = np.float64) -> CNN:
    """Return the model with weights that depend on the seed."""
    return CNN(np.random.default_rng(seed), dtype)
