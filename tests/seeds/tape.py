"""A tape of a few operations, as small frameworks have one, on which gradients get lost as the guide describes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Gradients = Callable[[Any], tuple[Any, ...]]


class Tensor:
    """An array, the tensors it was made of, and the gradients of those; without a ``grad_fn`` it is detached."""

    def __init__(self, data: Any, parents: tuple[Tensor, ...] = (), grad_fn: Gradients | None = None) -> None:
        self.data = data
        self.parents = parents
        self.grad_fn = grad_fn
        self.grad: Any = None

    def backward(self, upstream: Any) -> None:
        """Add the upstream to the gradient, and pass on what it makes of the gradients of the parents."""
        self.grad = upstream if self.grad is None else self.grad + upstream
        if self.grad_fn is None:
            return
        for parent, gradient in zip(self.parents, self.grad_fn(upstream), strict=False):
            parent.backward(gradient)

    def __add__(self, other: Tensor) -> Tensor:
        return Tensor(self.data + other.data, (self, other), lambda u: (u, u))

    def tanh(self) -> Tensor:
        y = np.tanh(self.data)
        return Tensor(y, (self,), lambda u: (u * (1 - y * y),))

    def reshape(self, *shape: int) -> Tensor:
        return Tensor(self.data.reshape(shape), (self,), lambda u: (u.reshape(self.data.shape),))

    def linear(self, weight: Tensor, bias: Tensor) -> Tensor:
        return Tensor(
            self.data @ weight.data.T + bias.data,
            (self, weight, bias),
            lambda u: (u @ weight.data, u.T @ self.data, u.sum(axis=0)),
        )

    def rows(self, indices: Any) -> Tensor:
        """Return the rows of a table, added up again by the gradient."""

        def gradient(u: Any) -> tuple[Any]:
            made = np.zeros_like(self.data)
            np.add.at(made, indices, u)
            return (made,)

        return Tensor(self.data[indices], (self,), gradient)


Layer = Callable[..., Tensor]


def forward_of(layer: Layer) -> Callable[..., Any]:
    """Return a forward of arrays: the layer on tensors of them."""
    return lambda *arrays: layer(*map(Tensor, arrays)).data


def backward_of(layer: Layer) -> Callable[..., Any]:
    """Return a backward of arrays: what the tape leaves as their gradients, None where nothing arrived."""

    def backward(upstream: Any, *arrays: Any) -> list[Any]:
        tensors = [Tensor(array) for array in arrays]
        layer(*tensors).backward(upstream)
        return [tensor.grad for tensor in tensors]

    return backward
