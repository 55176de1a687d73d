"""A tape whose tensors are its steps; some of its backwards are wrong where they are asked to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Tensor:
    def __init__(self, data: Any, parents: Any = (), op: str = "") -> None:
        self.data, self.parents, self.op = np.asarray(data, float), tuple(parents), op
        self.grad: Any = np.zeros_like(self.data)
        self.pull: Callable[[Any], None] = lambda upstream: None

    def backward(self) -> None:
        order: list[Tensor] = []
        seen: set[int] = set()

        def visit(tensor: Tensor) -> None:
            if id(tensor) not in seen:
                seen.add(id(tensor))
                for parent in tensor.parents:
                    visit(parent)
                order.append(tensor)

        visit(self)
        self.grad = np.ones_like(self.data)
        for tensor in reversed(order):
            tensor.pull(tensor.grad)


def step(op: str, data: Any, parents: list[Tensor], *slopes: Callable[[Any], Any], replaces: bool = False) -> Tensor:
    out = Tensor(data, parents, op)

    def pull(upstream: Any) -> None:
        for parent, slope in zip(parents, slopes, strict=True):
            parent.grad = slope(upstream) if replaces else parent.grad + slope(upstream)

    out.pull = pull
    return out


def product(x: Tensor, w: Tensor) -> Tensor:
    return step("product", x.data @ w.data, [x, w], lambda u: u @ w.data.T, lambda u: x.data.T @ u)


def add(x: Tensor, y: Tensor) -> Tensor:
    return step("add", x.data + y.data, [x, y], lambda u: u, lambda u: u)


def tanh(x: Tensor, factor: float = 1.0) -> Tensor:
    y = np.tanh(x.data)
    return step("tanh", y, [x], lambda u: factor * u * (1 - y * y))


def square(x: Tensor) -> Tensor:
    return step("square", x.data**2, [x], lambda u: 2 * x.data * u)


def exp(x: Tensor, *, replaces: bool = False) -> Tensor:
    y = np.exp(x.data)
    return step("exp", y, [x], lambda u: u * y, replaces=replaces)


def sine(x: Tensor, factor: float = 1.0) -> Tensor:
    return step("sine", np.sin(x.data), [x], lambda u: factor * u * np.cos(x.data))


def total(x: Tensor) -> Tensor:
    return step("total", (x.data**2).mean(), [x], lambda u: u * 2 * x.data / x.data.size)


class Model:
    """Two layers; between them, three steps share what they are computed from."""

    def __init__(self, fault: str = "") -> None:
        rng = np.random.default_rng(0)
        self.first, self.second = (Tensor(0.5 * rng.normal(size=shape)) for shape in ((3, 4), (4, 2)))
        self.parameters = [self.first, self.second]
        self.fault = fault

    def __call__(self, x: Tensor) -> Tensor:
        h = tanh(product(x, self.first), 0.5 if self.fault in ("tanh", "both") else 1.0)
        if self.fault == "hidden":
            return product(add(square(h), exp(h, replaces=True)), self.second)  # in reverse, exp comes first
        wrong = sine(h, 1.01 if self.fault in ("sine", "both") else 1.0)
        h = add(add(exp(h, replaces=self.fault == "replaces"), square(h)), wrong)  # in reverse, exp comes last
        if self.fault == "cut":
            h = Tensor(h.data)
        return product(h, self.second)


def loss(output: Tensor) -> Tensor:
    return total(output)
