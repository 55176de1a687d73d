"""Models whose tape is cut at several places, in whole or in part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradaudit.tape import Module, Tensor, functions


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=True)


class Model(Module):
    def __init__(self, compute: Callable[[Any, Tensor], Tensor], **parameters: Tensor) -> None:
        self.compute = compute
        for name, parameter in parameters.items():
            setattr(self, name, parameter)

    def __call__(self, x: Tensor) -> Tensor:
        return self.compute(self, x)


def in_a_row() -> Model:
    def compute(model: Any, x: Tensor) -> Tensor:
        h = Tensor(functions.tanh(x @ model.first).data)  # cut one
        h = Tensor((h @ model.second).data)  # cut two
        return Tensor(h.data * 2, requires_grad=True) @ model.third  # cut three

    return Model(compute, first=drawn(3, 4), second=drawn(4, 4, seed=1), third=drawn(4, 4, seed=2))


def bypass(share: float) -> Model:
    """All but a share of the gradient is lost on the way to the first layer."""

    def compute(model: Any, x: Tensor) -> Tensor:
        h = x @ model.first
        h = h * share + Tensor(h.data) * (1 - share)  # cut one
        return h @ model.second

    return Model(compute, first=drawn(3, 4), second=drawn(4, 4, seed=1))


def bypass_and_scale() -> Model:
    def compute(model: Any, x: Tensor) -> Tensor:
        h = functions.tanh(x @ model.first)
        h = h * 0.25 + Tensor(h.data) * 0.75  # cut one
        h = h @ model.second
        return h * Tensor(1 / np.sqrt((h.data**2).mean(-1, keepdims=True)))  # cut two

    return Model(compute, first=drawn(3, 4), second=drawn(4, 4, seed=1))


def normalised() -> Model:
    """The true gradient's own mean is zero: along it, the mean that is cut off stays where it is."""

    def compute(model: Any, x: Tensor) -> Tensor:
        h = model.first - Tensor(model.first.data.mean(-1, keepdims=True))  # cut one
        h = h * Tensor(1 / np.sqrt((h.data**2).mean(-1, keepdims=True)))  # cut two
        return h * x.data.mean()

    return Model(compute, first=drawn(5, 4))


def centred() -> Model:
    """What all rows have in common is taken out again."""

    def compute(model: Any, x: Tensor) -> Tensor:
        h = Tensor(model.first.data)  # cut one
        return (h - h.mean(axes=0, keepdims=True)) @ model.second

    return Model(compute, first=drawn(5, 6), second=drawn(6, 4, seed=1))


def masked() -> Model:
    """A mask of numbers made of the values: it has no derivative, and none is lost by it."""

    def compute(model: Any, x: Tensor) -> Tensor:
        h = x @ model.first
        h = h * Tensor((h.data > 0) * 1.0)
        return Tensor(functions.tanh(h).data) @ model.second  # cut one

    return Model(compute, first=drawn(3, 4), second=drawn(4, 4, seed=1))


def beside() -> Model:
    """What is computed off the tape and thrown away is no cut."""

    def compute(model: Any, x: Tensor) -> Tensor:
        h = functions.tanh(x @ model.first)
        model.seen = Tensor(h.data).mean()
        return Tensor(h.data) @ model.second  # cut one

    return Model(compute, first=drawn(3, 4), second=drawn(4, 4, seed=1))


def loss(output: Tensor, wanted: Any) -> Tensor:
    off = output - Tensor(wanted)
    return (off * off).mean()
