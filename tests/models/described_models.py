"""One model on two tapes that only descriptions tell of: one keeps gradients on the way, the other does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import overwriting
import teaching

Slopes = Callable[[Any], Any]


def on_kept(op: str, data: Any, parents: list[Any], *slopes: Slopes) -> Any:
    return overwriting.step(op, data, parents, *slopes)


def on_passing(op: str, data: Any, parents: list[Any], *slopes: Slopes) -> Any:
    return teaching.Value(data, teaching.Step(op, lambda u: tuple(slope(u) for slope in slopes), parents))


class Tape:
    """Steps on a tape, by its way to make a tensor and the name of a tensor's values."""

    def __init__(self, make: Callable[..., Any], kind: type, values: str) -> None:
        self.make, self.kind, self.values = make, kind, values

    def of(self, x: Any) -> Any:
        return getattr(x, self.values)

    def product(self, x: Any, w: Any) -> Any:
        a, b = self.of(x), self.of(w)
        return self.make("product", a @ b, [x, w], lambda u: u @ b.T, lambda u: a.T @ u)

    def times(self, x: Any, y: Any) -> Any:
        a, b = self.of(x), self.of(y)
        return self.make("times", a * b, [x, y], lambda u: u * b, lambda u: u * a)

    def plus(self, x: Any, y: Any) -> Any:
        return self.make("plus", self.of(x) + self.of(y), [x, y], lambda u: u, lambda u: u)

    def sigmoid(self, x: Any) -> Any:
        y = 1 / (1 + np.exp(-self.of(x)))
        return self.make("sigmoid", y, [x], lambda u: u * y * (1 - y))

    def swish(self, x: Any, wrong: bool) -> Any:
        a = self.of(x)
        gate = 1 / (1 + np.exp(-a))
        slope = gate if wrong else gate * (1 + a * (1 - gate))
        return self.make("swish", a * gate, [x], lambda u: u * slope)

    def norm(self, x: Any, wrong: bool) -> Any:
        a = self.of(x)
        centred = a - a.mean(-1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-3)
        y = centred * scale

        def slope(u: Any) -> Any:
            off = 0 if wrong else y * (u * y).mean(-1, keepdims=True)
            return scale * (u - u.mean(-1, keepdims=True) - off)

        return self.make("norm", y, [x], slope)

    def total(self, x: Any) -> Any:
        a = self.of(x)
        return self.make("total", (a**2).mean(), [x], lambda u: u * 2 * a / a.size)


TAPES = {
    "kept": Tape(on_kept, overwriting.Tensor, "data"),
    "passing": Tape(on_passing, teaching.Value, "numbers"),
}


class Model:
    """A residual block with a gate; steps share what they are computed from."""

    def __init__(self, tape: str, faults: str) -> None:
        self.tape = TAPES[tape]
        self.cut, self.wrong, self.missing = (fault in faults.split() for fault in ("cut", "wrong", "missing"))
        rng = np.random.default_rng(0)
        shapes = {"first": (3, 4), "gate": (4, 4), "second": (4, 4), "last": (4, 2)}
        for name, shape in shapes.items():
            setattr(self, name, self.tape.kind(0.7 * rng.normal(size=shape)))

    @property
    def parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("first", "gate", "second", "last")}

    def __call__(self, x: Any) -> Any:
        tape: Any = self.tape
        h = tape.swish(tape.product(x, self.first), self.wrong)
        gate = tape.sigmoid(tape.product(h, self.gate))
        gate = tape.kind(tape.of(gate)) if self.cut else gate  # cut
        made = tape.times(tape.norm(tape.product(h, self.second), self.missing), gate)
        return tape.product(tape.plus(h, made), self.last)


def kept_loss(output: Any) -> Any:
    return TAPES["kept"].total(output)


def passing_loss(output: Any) -> Any:
    return TAPES["passing"].total(output)
