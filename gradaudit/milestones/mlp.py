"""The multilayer perceptron, on digits.

Source: Rumelhart, Hinton and Williams, Learning Representations by Back-Propagating Errors, 1986.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from gradaudit.milestones.digits import accuracy, loss
from gradaudit.milestones.digits import drawn as data
from gradaudit.milestones.layers import Linear
from gradaudit.tape import Module, Tensor, functions

__all__ = ["MLP", "accuracy", "build", "data", "loss"]

HIDDEN = 32


class MLP(Module):
    """Two layers with a rectifier between them: 4 parameters."""

    def __init__(self, rng: np.random.Generator, dtype: DTypeLike) -> None:
        self.hidden = Linear(64, HIDDEN, rng, dtype)
        self.output = Linear(HIDDEN, 10, rng, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits (N, 10) of images (N, 1, 8, 8)."""
        return self.output(functions.relu(self.hidden(x.reshape(len(x.data), -1))))


def build(seed: int = 0, dtype: DTypeLike = np.float64) -> MLP:
    """Return the model with weights that depend on the seed."""
    return MLP(np.random.default_rng(seed), dtype)
