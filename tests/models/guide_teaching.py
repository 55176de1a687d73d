"""The guide's model, with each of its mistakes, on a tape that only a description tells of."""

from __future__ import annotations

from typing import Any

import numpy as np
import teaching
from teaching import Replacing, Step, Value

TAPE: dict[str, Any] = {
    "tensor": "teaching:Value",
    "data": "numbers",
    "grad": "slope",
    "requires_grad": None,
    "node": "origin",
    "name": "title",
    "parents": "before",
    "saved": "operands",
    "backward": "differentiate",
}

NAMES = {"matmul": "product", "linear": "linear", "scale": "product"}


def build(fault: str = "") -> Any:
    rng = np.random.default_rng(0)
    kind = Replacing if fault == "replaced" else Value
    table, mix, weight = (kind(rng.normal(size=shape) * 0.5) for shape in ((5, 4), (4, 4), (12, 3)))
    bias = kind(rng.normal(size=3))

    def model(tokens: Value) -> Value:
        h = teaching.rows(table, tokens.numbers)
        if fault == "embedding":
            h = Value(h.numbers)
        mixed = teaching.tanh(product(h, mix, fault))
        if fault == "branch":
            mixed = Value(mixed.numbers)
        h = Value(h.numbers + mixed.numbers) if fault == "residual" else teaching.plus(h, mixed)
        h = Value(h.numbers.reshape(4, 12)) if fault == "reshape" else teaching.shaped(h, (4, 12))
        out = linear(h, weight, bias, fault)
        return Value(out.numbers) if fault == "output" else out

    return model, [table, mix, weight] if fault == "unregistered" else [table, mix, weight, bias]


def product(x: Value, w: Value, fault: str) -> Value:
    made = teaching.product(x, w)
    right = made.origin.pull
    if fault == "zero":
        made.origin.pull = lambda u: (right(u)[0], 0 * right(u)[1])
    if fault == "scaled":
        made.origin.pull = lambda u: tuple(0.5 * part for part in right(u))
    if fault == "entry":
        off = np.ones((4, 4))
        off[2, 1] = 1.01
        made.origin.pull = lambda u: (right(u)[0], off * right(u)[1])
    return made


def linear(h: Value, weight: Value, bias: Value, fault: str) -> Value:
    def pull(u: Any) -> Any:
        gradients = u @ weight.numbers.T, h.numbers.T @ u, u.sum(axis=0)
        if fault == "single":
            return gradients[1]
        return (*gradients[:2], None) if fault == "none" else gradients

    sources = [h, weight] if fault == "bias" else [h, weight, bias]
    return Value(h.numbers @ weight.numbers + bias.numbers, Step("linear", pull, sources))


def loss(output: Value, wanted: Any) -> Value:
    return teaching.mean_square(output, wanted)
