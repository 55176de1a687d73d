"""The perceptron: one unit that tells two clouds of points apart by a line.

Source: Rosenblatt, The Perceptron: A Perceiving and Recognizing Automaton, 1957; trained by gradient descent on the
logistic loss here, since a threshold has no gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from gradaudit.milestones.layers import Linear
from gradaudit.tape import Module, Tensor, functions

Array = NDArray[Any]

POINTS = 100
CENTRE = 1.5
"""How far the clouds lie from the origin along both axes: 3 standard deviations from the line between them."""


class Perceptron(Module):
    """A weight and a bias: 2 parameters."""

    def __init__(self, rng: np.random.Generator, dtype: DTypeLike) -> None:
        self.linear = Linear(2, 1, rng, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits (N, 1) of points (N, 2)."""
        return self.linear(x)


def build(seed: int = 0, dtype: DTypeLike = np.float64) -> Perceptron:
    """Return the model with weights that depend on the seed."""
    return Perceptron(np.random.default_rng(seed), dtype)


def data(seed: int = 0) -> tuple[tuple[Array], tuple[Array]]:
    """Return points (N, 2) of two clouds, and the cloud of each (N, 1), 0.0 or 1.0."""
    rng = np.random.default_rng(seed)
    cloud = np.arange(POINTS) % 2
    points = rng.normal(size=(POINTS, 2)) / np.sqrt(2.0) + CENTRE * (2.0 * cloud[:, None] - 1.0)
    return (points,), (cloud[:, None].astype(np.float64),)


def loss(output: Tensor, target: Tensor | ArrayLike) -> Tensor:
    """Return the mean logistic loss of logits (N, 1)."""
    return functions.binary_cross_entropy_with_logits(output, target)


def accuracy(output: Array, target: Array) -> float:
    """Return the share of points on their side of the line."""
    return float(np.mean((output > 0.0) == (target > 0.5)))
