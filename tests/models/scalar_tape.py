"""A tape in the style of the smallest ones: a value is its own step, with a closure, and gradients begin at zero."""

from __future__ import annotations

from typing import Any

import numpy as np


class Value:
    def __init__(self, data: Any, _children: tuple[Value, ...] = (), _op: str = "") -> None:
        self.data = data
        self.grad: Any = 0.0
        self._prev = set(_children)
        self._op = _op
        self._backward = lambda: None

    def __mul__(self, other: Value) -> Value:
        out = Value(self.data * other.data, (self, other), "*")

        def _backward() -> None:
            self.grad = self.grad + other.data * out.grad
            other.grad = other.grad + self.data * out.grad

        out._backward = _backward
        return out

    def __add__(self, other: Value) -> Value:
        out = Value(self.data + other.data, (self, other), "+")

        def _backward() -> None:
            self.grad = self.grad + out.grad
            other.grad = other.grad + out.grad

        out._backward = _backward
        return out

    def tanh(self) -> Value:
        t = np.tanh(self.data)
        out = Value(t, (self,), "tanh")

        def _backward() -> None:
            self.grad = self.grad + (1 - t * t) * out.grad

        out._backward = _backward
        return out

    def backward(self) -> None:
        order: list[Value] = []
        seen: set[int] = set()

        def build(value: Value) -> None:
            if id(value) not in seen:
                seen.add(id(value))
                for child in value._prev:
                    build(child)
                order.append(value)

        build(self)
        self.grad = 1.0
        for value in reversed(order):
            value._backward()


class Neuron:
    """A neuron of one input and two layers."""

    def __init__(self, broken: bool = False) -> None:
        self.w = Value(0.7)
        self.b = Value(-0.3)
        self.v = Value(1.1)
        self.broken = broken

    def parameters(self) -> list[Value]:
        return [self.w, self.b, self.v]

    def __call__(self, x: Value) -> Value:
        hidden = (x * self.w + self.b).tanh()
        return self.v * (Value(hidden.data) if self.broken else hidden)


def loss(output: Value) -> Value:
    return output * output + output
