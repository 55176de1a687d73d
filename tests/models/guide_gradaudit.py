"""The guide's model, with each of its mistakes, on the project's own tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradaudit.tape import Module, Node, Tensor, functions

TAPE = "gradaudit"


class Guide(Module):
    def __init__(self, fault: str) -> None:
        rng = np.random.default_rng(0)
        self.fault = fault
        self.table, self.mix, self.weight = (
            Tensor(rng.normal(size=shape) * 0.5, requires_grad=True) for shape in ((5, 4), (4, 4), (12, 3))
        )
        self.bias = Tensor(rng.normal(size=3), requires_grad=True)

    def named_parameters(self) -> dict[str, Tensor]:
        named = super().named_parameters()
        return {name: one for name, one in named.items() if not (self.fault == "unregistered" and name == "bias")}

    def __call__(self, tokens: Tensor) -> Tensor:
        fault = self.fault
        h = functions.embedding(self.table, tokens)
        if fault == "rows":
            h.node = Node(h.node.name, h.node.inputs, h.node.params, lambda u: self.overwritten(u, tokens.data))
        if fault == "embedding":
            h = Tensor(h.data)
        mixed = functions.tanh(self.product(h))
        if fault == "branch":
            mixed = Tensor(mixed.data)
        h = Tensor(h.data + mixed.data) if fault == "residual" else h + mixed
        h = Tensor(h.data.reshape(4, 12)) if fault == "reshape" else h.reshape(4, 12)
        out = self.linear(h)
        return Tensor(out.data) if fault == "output" else out

    def overwritten(self, upstream: Any, tokens: Any) -> Any:
        made = np.zeros_like(self.table.data)
        made[tokens] = upstream
        return (made,)

    def product(self, h: Tensor) -> Tensor:
        made = h @ self.mix
        right = made.node.backward
        off = np.ones((4, 4))
        off[2, 1] = 1.01
        wrong = {
            "zero": lambda u: (right(u)[0], 0 * right(u)[1]),
            "scaled": lambda u: tuple(0.5 * part for part in right(u)),
            "entry": lambda u: (right(u)[0], off * right(u)[1]),
        }
        made.node = Node(made.node.name, made.node.inputs, made.node.params, wrong.get(self.fault, right))
        return made

    def linear(self, h: Tensor) -> Tensor:
        def pull(u: Any) -> Any:
            gradients = u @ self.weight.data.T, h.data.T @ u, u.sum(axis=0)
            if self.fault == "single":
                return gradients[1]
            return (*gradients[:2], None) if self.fault == "none" else gradients

        inputs = (h, self.weight) if self.fault == "bias" else (h, self.weight, self.bias)
        made = h.data @ self.weight.data + self.bias.data
        return Tensor(made, requires_grad=True, node=Node("LinearBackward", inputs, {}, pull))


def build(fault: str = "") -> Guide:
    return Guide(fault)


def loss(output: Tensor, wanted: Any) -> Tensor:
    off = output - Tensor(wanted)
    return (off * off).mean()
