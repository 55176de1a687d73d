"""Learning specs of a framework that is described only in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from learning_specs import audited, findings

from gradaudit.results import Verdict

VALUES: dict[str, Any] = {
    "op": "neuron",
    "kind": "learning",
    "model": "values:Neuron",
    "loss": "values:loss",
    "data": "values:data",
    "tape": {
        "tensor": "values:Value",
        "requires_grad": None,
        "node": "self",
        "name": "_op",
        "parents": "_prev",
        "cleared": "zeros",
    },
    "optimiser": {"name": "sgd", "lr": 0.2},
    "batch_size": 1,
}

MODULE = """
import numpy as np


class Value:
    def __init__(self, data, _prev=(), _op=""):
        self.data, self.grad, self._prev, self._op = data, 0.0, set(_prev), _op
        self._backward = lambda: None

    def __mul__(self, other):
        out = Value(self.data * other.data, (self, other), "*")

        def _backward():
            self.grad = self.grad + np.sum(other.data * out.grad) * np.ones(np.shape(self.data))
            other.grad = other.grad + np.sum(self.data * out.grad) * np.ones(np.shape(other.data))

        out._backward = _backward
        return out

    def backward(self):
        order, seen = [], set()

        def build(value):
            if value not in seen:
                seen.add(value)
                for child in value._prev:
                    build(child)
                order.append(value)

        build(self)
        self.grad = 1.0
        for value in reversed(order):
            value._backward()


class Neuron:
    def __init__(self, broken=False):
        self.w, self.v, self.broken = Value(np.array(0.7)), Value(np.array(1.1)), broken

    def parameters(self):
        return [self.w, self.v]

    def __call__(self, x):
        hidden = x * self.w
        return self.v * (Value(hidden.data) if self.broken else hidden)


def loss(output, target):
    return output * output


def data(seed):
    return (np.random.default_rng(seed).uniform(0.5, 1.5, size=12),), (np.zeros(12),)
"""


def neuron(folder: Path, **changes: Any) -> Any:
    (folder / "values.py").write_text(MODULE)
    return audited(folder, **VALUES | changes)


def test_a_right_model_learns(tmp_path: Path) -> None:
    results = neuron(tmp_path, expected={"parameters": 2, "loss_falls_by": 0.5})
    assert {result.verdict for result in results.values()} == {Verdict.PASS}
    assert set(results) == {"loss", "w", "v"}


def test_a_cut_is_named(tmp_path: Path) -> None:
    results = neuron(tmp_path, params={"broken": True})
    assert list(findings(results, "unreached-parameter")) == ["w"]
