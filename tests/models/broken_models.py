"""The transformer milestone with one fault in each, of those that a poor accuracy alone would not name; and others."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from gradaudit.milestones import cnn, perceptron, transformer
from gradaudit.milestones.layers import Attention, Embedding, Linear
from gradaudit.ops import attention
from gradaudit.tape import Module, Tensor, functions
from gradaudit.tape.tensor import recorded


class DetachedEmbedding(Embedding):
    def __call__(self, indices: Any) -> Tensor:
        return Tensor(self.weight.data[np.asarray(getattr(indices, "data", indices))])


class FrozenConvolutions(cnn.CNN):
    """Its last layer learns from whatever the filters happen to be."""

    def __call__(self, x: Tensor) -> Tensor:
        seen = functions.maxpool2d(functions.relu(self.second(functions.relu(self.first(x)))), kernel=4)
        return self.output(Tensor(seen.data.reshape(len(x.data), -1)))


def halved_backward(upstream: Any, q: Any, k: Any, v: Any) -> Any:
    """The gradient of attention with a scale left out of the queries', as if it were applied once too often."""
    of_q, *others = attention.scaled_dot_product_attention_backward(upstream, q, k, v)
    return (0.5 * of_q, *others)


scaled_attention = recorded(attention.scaled_dot_product_attention, halved_backward)


class ScaledAttention(Attention):
    def __call__(self, x: Tensor) -> Tensor:
        q, k, v = (self._by_head(projection(x)) for projection in (self.query, self.key, self.value))
        return self.output(scaled_attention(q, k, v).transpose(axes=(0, 2, 1, 3)).reshape(*x.shape))


class HiddenBias(Linear):
    """Its bias lies where the model's parameters are not looked for."""

    def hide(self) -> None:
        self.aside = SimpleNamespace(bias=self.bias)
        del self.bias

    def __call__(self, x: Tensor) -> Tensor:
        return functions.linear(x, self.weight, self.aside.bias)


def detached_embedding(seed: int = 0) -> Module:
    model = transformer.build(seed)
    model.symbols.__class__ = DetachedEmbedding
    return model


def frozen_convolutions(seed: int = 0) -> Module:
    model = cnn.build(seed)
    model.__class__ = FrozenConvolutions
    return model


def scaled_attention_gradient(seed: int = 0) -> Module:
    model = transformer.build(seed)
    model.blocks[0].attention.__class__ = ScaledAttention
    return model


def unregistered_bias(seed: int = 0) -> Module:
    model = transformer.build(seed)
    model.output.__class__ = HiddenBias
    model.output.hide()
    return model


class DetachedOutput(perceptron.Perceptron):
    def __call__(self, x: Tensor) -> Tensor:
        return Tensor(super().__call__(x).data)


def detached_output(seed: int = 0) -> Module:
    model = perceptron.build(seed)
    model.__class__ = DetachedOutput
    return model


class Nothing(Module):
    """A model without parameters."""

    def __call__(self, x: Tensor) -> Tensor:
        return functions.sum_reduce(x, axes=1, keepdims=True)


def broken() -> Module:
    raise RuntimeError("no weights on this machine")


def of_nan(seed: int = 0) -> Module:
    model = perceptron.build(seed)
    model.linear.weight.data[:] = np.nan
    return model


class FirstOnly:
    """An optimiser that keeps the first parameter only."""

    def __init__(self, parameters: list[Tensor], lr: float) -> None:
        self.parameters, self.lr = parameters[:1], lr

    def step(self) -> None:
        for tensor in self.parameters:
            tensor.data = tensor.data - self.lr * tensor.grad


class Lazy:
    """An optimiser that steps away from what the model holds."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.arrays = [tensor.data.copy() for tensor in parameters]

    def step(self) -> None:
        self.arrays = [array * 0.9 for array in self.arrays]


class Broken:
    def __init__(self, parameters: list[Tensor]) -> None:
        pass

    def step(self) -> None:
        raise RuntimeError("no step today")


class NoStep:
    def __init__(self, parameters: list[Tensor]) -> None:
        pass


def percent(output: Any, target: Any) -> float:
    return 97.0


def uneven(seed: int = 0) -> Any:
    return (np.zeros((4, 2)),), (np.zeros((3, 1)),)


def empty(seed: int = 0) -> Any:
    return (np.zeros((0, 2)),), (np.zeros((0, 1)),)
