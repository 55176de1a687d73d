"""Models that cannot be audited, are odd but right, or whose gradients do not keep their magnitude."""

from __future__ import annotations

from typing import Any

import numpy as np

from gradaudit.tape import Module, Node, Tensor, functions

SEEN: list[int] = []


class Model(Module):
    def __init__(self, compute: Any, **tensors: Any) -> None:
        self.compute = compute
        for name, array in tensors.items():
            setattr(self, name, Tensor(np.array(array), requires_grad=True))

    def __call__(self, x: Tensor) -> Tensor:
        return self.compute(self, x)


def drawn(*shape: int) -> Any:
    return np.random.default_rng(1).normal(size=shape)


def linear(model: Any, x: Tensor) -> Tensor:
    return x @ model.weight


def build() -> Model:
    return Model(linear, weight=drawn(3, 2))


def mean(output: Tensor) -> Tensor:
    return (output * output).mean()


def raising() -> Model:
    raise ValueError("no such file: weights.npz")


def needs_a_size(size: int) -> Model:
    return Model(linear, weight=drawn(3, size))


def raising_when_called() -> Model:
    return Model(lambda model, x: x @ Tensor(drawn(4, 2)), weight=drawn(3, 2))


def without_parameters() -> Model:
    return Model(lambda model, x: functions.tanh(x))


def not_finite() -> Model:
    return Model(lambda model, x: functions.log(x @ model.weight) + 1.0, weight=np.full((3, 2), -1.0))


def vector(output: Tensor) -> Tensor:
    return output * output


def array_loss(output: Tensor) -> Any:
    return np.mean(output.data)


def returns_array() -> Model:
    return Model(lambda model, x: (x @ model.weight).data, weight=drawn(3, 2))


def mean_of_tensor(output: Tensor) -> Tensor:
    return (output + Tensor(-output.data)).mean()


def detached_loss(output: Any) -> Tensor:
    return Tensor(np.mean(output.data if isinstance(output, Tensor) else output))


def cycle() -> Model:
    def compute(model: Any, x: Tensor) -> Tensor:
        first = x @ model.weight
        second = first + 1.0
        first.node = Node("LoopBackward", (second,), {}, lambda u: (u,))
        return second

    return Model(compute, weight=drawn(3, 2))


def not_a_model() -> Any:
    return 3


def unused() -> Model:
    return Model(linear, weight=drawn(3, 2), spare=drawn(2))


def not_tracked() -> Model:
    made = Model(linear, weight=drawn(3, 2), bias=drawn(2))
    made.bias.requires_grad = False
    return made


def shifted_logits() -> Model:
    """A bias that softmax takes out again: its gradient is zero by right."""

    def compute(model: Any, x: Tensor) -> Tensor:
        return functions.softmax(x @ model.weight + model.shift)

    return Model(compute, weight=drawn(3, 4), shift=0.5)


def half_dead() -> Model:
    """Some units that are off for every sample: rows of zeros, by right."""

    def compute(model: Any, x: Tensor) -> Tensor:
        return functions.relu(x @ model.weight + model.bias)

    return Model(compute, weight=drawn(3, 4), bias=np.array([-50.0, 1.0, -50.0, 1.0]))


def dropping_out() -> Model:
    def compute(model: Any, x: Tensor) -> Tensor:
        return x @ model.weight * Tensor((np.random.random((5, 2)) < 0.5) / 0.5)

    return Model(compute, weight=drawn(3, 2))


def stochastic() -> Model:
    rng = np.random.default_rng(0)
    return Model(lambda model, x: x @ model.weight * Tensor(rng.random((5, 2))), weight=drawn(3, 2))


def deep(scale: float) -> Model:
    """Layer upon layer, each of which multiplies what passes it by a scale, and gradients too."""

    def compute(model: Any, x: Tensor) -> Tensor:
        for k in range(8):
            x = x @ getattr(model, f"layer{k}")
        return x

    return Model(compute, **{f"layer{k}": scale * np.eye(3) + 0.01 * scale * drawn(3, 3) for k in range(8)})


def unequal(scale: float) -> Model:
    """A first layer whose gradient is that many times what is usual: a constant stands behind it."""
    compute = lambda model, x: functions.tanh(x @ model.first * scale) @ model.second @ model.third  # noqa: E731
    return Model(compute, first=drawn(3, 3) / scale, second=drawn(3, 3), third=drawn(3, 2))


def keeps_gradients() -> Model:
    class Stubborn(Tensor):
        def zero_grad(self) -> None:
            pass

    made = build()
    made.weight = Stubborn(drawn(3, 2), requires_grad=True)
    return made


def data(seed: int) -> Any:
    return (np.random.default_rng(seed).normal(size=(400, 3)),), ()


def no_data(seed: int) -> Any:
    return np.zeros((4, 3))


def changed_in_place() -> Model:
    """The product saved what is doubled afterwards."""

    def compute(model: Any, x: Tensor) -> Tensor:
        hidden = functions.tanh(x @ model.first)
        made = hidden @ model.second
        hidden.data *= 2
        return made

    return Model(compute, first=drawn(3, 4), second=drawn(4, 2))
