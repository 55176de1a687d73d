"""Exclusive or: the four points that no line separates, and one hidden layer does.

Source: Minsky and Papert, Perceptrons, 1969, for the problem; Rumelhart, Hinton and Williams, Learning Representations
by Back-Propagating Errors, 1986, for the way out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradaudit.milestones.layers import Linear
from gradaudit.milestones.perceptron import accuracy, loss
from gradaudit.tape import Module, Tensor, functions

Array = NDArray[Any]

__all__ = ["Xor", "accuracy", "build", "data", "loss"]

HIDDEN = 8
"""Two units would do, but get stuck from one start in three."""


class Xor(Module):
    """Two layers with a tanh between them: 4 parameters."""

    def __init__(self, rng: np.random.Generator, dtype: DTypeLike) -> None:
        self.hidden = Linear(2, HIDDEN, rng, dtype)
        self.output = Linear(HIDDEN, 1, rng, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits (N, 1) of points (N, 2)."""
        return self.output(functions.tanh(self.hidden(x)))


def build(seed: int = 0, dtype: DTypeLike = np.float64) -> Xor:
    """Return the model with weights that depend on the seed."""
    return Xor(np.random.default_rng(seed), dtype)


def data(seed: int = 0) -> tuple[tuple[Array], tuple[Array]]:
    """Return the four points (4, 2) and whether their coordinates differ (4, 1), in an order that the seed decides."""
    points = np.random.default_rng(seed).permutation([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return (points,), (np.abs(points[:, :1] - points[:, 1:]),)
