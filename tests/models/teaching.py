"""A tape as no other here: gradients are tensors, a step is a closure with the steps before it, nothing is flagged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


class Step:
    """A closure from the gradient of its value to those of its sources, and where these came from."""

    def __init__(self, title: str, pull: Callable[[Any], Any], sources: list[Value]) -> None:
        self.title = title
        self.pull = pull
        self.operands = sources
        self.before = [source.origin for source in sources if source.origin is not None]


class Value:
    def __init__(self, numbers: Any, origin: Step | None = None) -> None:
        self.numbers = np.asarray(numbers)
        self.slope: Value | None = None
        self.origin = origin

    def differentiate(self) -> None:
        order: list[Value] = []
        seen: set[int] = set()

        def visit(value: Value) -> None:
            if id(value) not in seen:
                seen.add(id(value))
                for source in value.origin.operands if value.origin else ():
                    visit(source)
                order.append(value)

        visit(self)
        arriving = {id(self): np.ones_like(self.numbers)}
        for value in reversed(order):
            slope = arriving.pop(id(value), None)
            if slope is None:
                continue
            if value.origin is None:
                value.keep(slope)
                continue
            for source, part in zip(value.origin.operands, value.origin.pull(slope), strict=False):
                if part is not None:
                    arriving[id(source)] = arriving.get(id(source), 0.0) + part

    def keep(self, slope: Any) -> None:
        before = 0.0 if self.slope is None else self.slope.numbers
        self.slope = Value(before + slope)


class Replacing(Value):
    """A value whose slope is that of the last batch only."""

    def keep(self, slope: Any) -> None:
        self.slope = Value(slope)


def not_a_class(numbers: Any) -> Value:
    return Value(numbers)


def plus(x: Value, y: Value) -> Value:
    return Value(x.numbers + y.numbers, Step("plus", lambda u: (u, u), [x, y]))


def tanh(x: Value) -> Value:
    y = np.tanh(x.numbers)
    return Value(y, Step("tanh", lambda u: (u * (1 - y * y),), [x]))


def rows(table: Value, indices: Any) -> Value:
    def pull(u: Any) -> tuple[Any]:
        made = np.zeros_like(table.numbers)
        np.add.at(made, indices, u)
        return (made,)

    return Value(table.numbers[indices], Step("rows", pull, [table]))


def product(x: Value, w: Value) -> Value:
    def pull(u: Any) -> tuple[Any, Any]:
        flat, upstream = x.numbers.reshape(-1, w.numbers.shape[0]), u.reshape(-1, w.numbers.shape[1])
        return u @ w.numbers.T, flat.T @ upstream

    return Value(x.numbers @ w.numbers, Step("product", pull, [x, w]))


def shaped(x: Value, shape: tuple[int, ...]) -> Value:
    return Value(x.numbers.reshape(shape), Step("shaped", lambda u: (u.reshape(x.numbers.shape),), [x]))


def mean_square(x: Value, wanted: Any) -> Value:
    off = x.numbers - wanted
    return Value(np.mean(off * off), Step("mean_square", lambda u: (2 * u * off / off.size,), [x]))
