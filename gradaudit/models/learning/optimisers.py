"""Optimisers of arrays, so that they serve any tape: from a parameter's name, value and gradient to its new value.

What they remember of earlier steps they keep by name.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class SGD:
    """Gradient descent, with momentum as Polyak's heavy ball (1964): v = momentum v + g, x = x - lr v."""

    def __init__(self, lr: float, momentum: float = 0.0) -> None:
        self.lr = lr
        self.momentum = momentum
        self._velocity: dict[str, Array] = {}

    def update(self, name: str, value: Array, gradient: Array) -> Array:
        """Return the parameter's value after a step; neither array is changed."""
        velocity = gradient + self.momentum * self._velocity.get(name, np.zeros_like(gradient))
        self._velocity[name] = velocity
        return value - self.lr * velocity


class Adam:
    """Steps by the running mean of gradients over the root of that of their squares, both without their bias.

    Source: Kingma and Ba, Adam: A Method for Stochastic Optimization, 2015, algorithm 1.
    """

    def __init__(self, lr: float, beta1: float = 0.9, beta2: float = 0.999, eps: float = 1e-8) -> None:
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self._state: dict[str, tuple[int, Array, Array]] = {}

    def update(self, name: str, value: Array, gradient: Array) -> Array:
        """Return the parameter's value after a step; neither array is changed."""
        zero = np.zeros_like(gradient)
        steps, mean, square = self._state.get(name, (0, zero, zero))
        steps += 1
        mean = self.beta1 * mean + (1.0 - self.beta1) * gradient
        square = self.beta2 * square + (1.0 - self.beta2) * gradient**2
        self._state[name] = steps, mean, square
        unbiased, scale = mean / (1.0 - self.beta1**steps), np.sqrt(square / (1.0 - self.beta2**steps))
        return value - self.lr * unbiased / (scale + self.eps)
