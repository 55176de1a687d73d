"""The smallest model there is, on a tape of its own: a loss of which every step of training is known in closed form.

The loss of a weight ``w`` on examples ``x`` is the mean of ``w**2 * x``: on examples that are all 1 its gradient is
``2 w``, and gradient descent at a rate ``r`` multiplies the weight by ``1 - 2 r`` at every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradaudit.models.learning.train import Lesson
from gradaudit.models.tapes.tape import Array, Node


@dataclass
class Number:
    """A tensor; the loss knows how to differentiate itself."""

    data: Array
    grad: Array | None = None
    backward: Callable[[], None] | None = None


@dataclass
class Weight:
    """A model with one parameter, and a record of what was done with it."""

    w: Number
    seen: list[list[float]] = field(default_factory=list)
    modes: list[bool] = field(default_factory=list)

    def __call__(self, batch: Sequence[Array]) -> Number:
        (x,) = batch
        self.seen.append(x.tolist())
        return Number(self.w.data * x)


class WeightTape:
    """The tape of ``Weight``."""

    def tensor(self, array: Array, *, tracked: bool) -> Number:
        return Number(array)

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, Number)

    def array(self, tensor: Number) -> Array:
        return tensor.data

    def assign(self, tensor: Number, array: Array) -> None:
        tensor.data = np.asarray(array)

    def tracked(self, tensor: Number) -> bool:
        return True

    def node(self, tensor: Number) -> Node | None:
        return None

    def gradient(self, tensor: Number) -> Array | None:
        return tensor.grad

    def clear(self, tensors: Iterable[Number]) -> None:
        for tensor in tensors:
            tensor.grad = None

    def backward(self, loss: Number) -> None:
        assert loss.backward
        loss.backward()

    def parameters(self, model: Weight) -> Mapping[str, Number]:
        return {"w": model.w}

    def tensors(self, model: Weight) -> Mapping[str, Number]:
        return {"w": model.w}

    def training(self, model: Weight, *, on: bool) -> None:
        model.modes.append(on)


def descent(tape: WeightTape, rate: float) -> Callable[[Mapping[str, Number]], None]:
    """Return plain gradient descent."""

    def step(parameters: Mapping[str, Number]) -> None:
        for tensor in parameters.values():
            assert tensor.grad is not None
            tape.assign(tensor, tensor.data - rate * tensor.grad)

    return step


def lesson(first: float, examples: Sequence[float], **changes: Any) -> Lesson:
    """Return the weight with a first value and its examples."""
    model = Weight(Number(np.float64(first) * np.ones(1)))

    def loss(output: Number, targets: Sequence[Array]) -> Number:
        mean = np.mean(output.data * model.w.data)

        def backward() -> None:
            before = 0.0 if model.w.grad is None else model.w.grad
            model.w.grad = before + 2.0 * np.mean(output.data) * np.ones(1)

        return Number(np.asarray(mean), backward=backward)

    data = np.asarray(examples, np.float64)
    given: dict[str, Any] = {
        "tape": WeightTape(),
        "model": model,
        "run": model,
        "loss": loss,
        "accuracy": None,
        "inputs": (data,),
        "targets": (),
    }
    return Lesson(**given | changes)
