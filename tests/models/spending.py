"""A tape that lets go of its graph in reverse mode, has constants beside the parents, and lacks most gradients."""

from __future__ import annotations

from typing import Any

import numpy as np


class Context:
    def __init__(self, op: type, *args: Any) -> None:
        self.op = op
        self.args = args


class Tensor:
    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data = np.asarray(data)
        self.requires_grad = requires_grad
        self.ctx: Context | None = None
        if requires_grad:
            self.grad: Any = np.zeros_like(self.data)

    def backward(self) -> None:
        order: list[Tensor] = []

        def visit(tensor: Any) -> None:
            if isinstance(tensor, Tensor) and not any(tensor is each for each in order):
                for each in tensor.ctx.args if tensor.ctx else ():
                    visit(each)
                order.append(tensor)

        visit(self)
        arriving = {id(self): np.ones_like(self.data)}
        for tensor in reversed(order):
            if tensor.ctx is None:
                continue
            parts = tensor.ctx.op.backward(arriving[id(tensor)], *tensor.ctx.args)
            for each, part in zip(tensor.ctx.args, parts, strict=False):
                arriving[id(each)] = arriving.get(id(each), 0.0) + part
                if each.requires_grad and each.ctx is None:
                    each.grad = each.grad + part
            tensor.ctx = None


class Rows:
    @staticmethod
    def forward(x: Any, where: slice) -> Any:
        return x[where]

    @staticmethod
    def backward(u: Any, x: Tensor, where: slice) -> Any:
        made = np.zeros_like(x.data)
        made[where] = u
        return (made,)


class Times:
    @staticmethod
    def forward(x: Any, y: Any) -> Any:
        return x * y

    @staticmethod
    def backward(u: Any, x: Tensor, y: Tensor) -> Any:
        return u * y.data, u * x.data


class HalfTimes(Times):
    @staticmethod
    def backward(u: Any, x: Tensor, y: Tensor) -> Any:
        return u * y.data, 0.5 * u * x.data


class Sum:
    @staticmethod
    def forward(x: Any) -> Any:
        return x.sum()

    @staticmethod
    def backward(u: Any, x: Tensor) -> Any:
        return (u * np.ones_like(x.data),)


def apply(op: type, *args: Any) -> Tensor:
    made = Tensor(op.forward(*(each.data if isinstance(each, Tensor) else each for each in args)))
    made.ctx = Context(op, *args)
    return made


class Model:
    def __init__(self, wrong: bool = False) -> None:
        rng = np.random.default_rng(0)
        self.table = Tensor(rng.normal(size=(5, 3)), requires_grad=True)
        self.scale = Tensor(rng.normal(size=(3,)), requires_grad=True)
        self.wrong = wrong

    def parameters(self) -> list[Tensor]:
        return [self.table, self.scale]

    def __call__(self, x: Tensor) -> Tensor:
        row = apply(Rows, apply(Rows, self.table, slice(1, 4)), 1)
        scaled = apply(HalfTimes if self.wrong else Times, row, self.scale)
        return apply(Times, scaled, apply(Times, scaled, x))


def loss(output: Tensor) -> Tensor:
    return apply(Sum, output)
