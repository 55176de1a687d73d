"""Backwards that are not told of an input, return too few gradients, or find their arrays changed."""

from __future__ import annotations

from pathlib import Path

import pytest
from linted import broken, linted

CONV = """
class Conv2dBackward(Function):
    def __init__(self, x, weight, bias, stride):
        {calls}
"""


def rules(folder: Path, code: str) -> list[str]:
    return [rule for rule, _ in broken(folder, code)]


class TestUnregisteredInputs:
    def test_the_bias_that_the_guide_forgets(self, tmp_path: Path) -> None:
        code = CONV.format(calls="super().__init__(x, weight)")
        assert broken(tmp_path, code) == [("unregistered-input", 3)]
        assert "given bias" in linted(tmp_path, code).violations[0].why

    @pytest.mark.parametrize(
        "calls",
        [
            "super().__init__(x, weight, bias)",
            "super().__init__(*[t for t in (x, weight, bias) if t is not None])",
            "super().__init__(x, weight)\n        self.saved_tensors = (x, weight, bias)",
            "super().__init__()",
            "if bias is not None:\n            super().__init__(x, weight, bias)\n"
            "        else:\n            super().__init__(x, weight)",
        ],
    )
    def test_a_bias_that_is_passed_on(self, tmp_path: Path, calls: str) -> None:
        assert broken(tmp_path, CONV.format(calls=calls)) == []

    SCALE = """
class ScaleBackward(Function):
    def __init__(self, x, {other}):
        super().__init__(x)
        self.{other} = {other}

    def apply(self, upstream):
        return (upstream * self.{use},)
"""

    def test_an_input_of_any_name_whose_array_is_read(self, tmp_path: Path) -> None:
        assert rules(tmp_path, self.SCALE.format(other="s", use="s.data")) == ["unregistered-input"]

    @pytest.mark.parametrize(
        ("other", "use"),
        [("s", "s"), ("indices", "indices.data"), ("output", "output.data"), ("mask", "mask.data"), ("use_bias", "x")],
    )
    def test_what_is_no_input_that_a_gradient_is_due_for(self, tmp_path: Path, other: str, use: str) -> None:
        assert broken(tmp_path, self.SCALE.format(other=other, use=use)) == []

    LAYER = """
class Linear:
    def forward(self, x):
        out = x.data @ self.weight.data + self.bias.data
        {lines}
        return res
"""

    @pytest.mark.parametrize(
        "lines",
        [
            "res = Tensor(out)\n        res._grad_fn = LinearBackward(x, self.weight)",
            "res = Tensor(out, (x, self.weight))",
            "w = self.weight\n        res = Tensor(out, parents=[x, w])",
        ],
    )
    def test_a_record_that_leaves_the_bias_out(self, tmp_path: Path, lines: str) -> None:
        assert rules(tmp_path, self.LAYER.format(lines=lines)) == ["unregistered-input"]

    @pytest.mark.parametrize(
        "lines",
        [
            "res = Tensor(out)\n        res._grad_fn = LinearBackward(x, self.weight, self.bias)",
            "inputs = [x, self.weight]\n        inputs.append(self.bias)\n        res = Tensor(out, inputs)",
            "b = self.bias\n        res = Tensor(out, (x, self.weight, b))",
            "res = Tensor(out)\n        res._grad_fn = self.backward_of_layer",
            "res = Tensor(out, (x, self.weight))\n        def _backward():\n            self.bias.grad += res.grad\n"
            "        res._backward = _backward",
        ],
    )
    def test_a_record_of_all_inputs_or_none(self, tmp_path: Path, lines: str) -> None:
        assert broken(tmp_path, self.LAYER.format(lines=lines)) == []

    def test_targets_of_a_loss_need_no_gradient(self, tmp_path: Path) -> None:
        code = "def {}(p, y):\n    return Tensor(((p.data - y.data) ** 2).mean(), (p,))\n"
        assert broken(tmp_path, code.format("mse_loss")) == []
        assert rules(tmp_path, code.format("distance")) == ["unregistered-input"]


class TestGradientCounts:
    MUL = """
class MulBackward(Function):
    def __init__(self, a, b):
        super().__init__(a, b)

    def apply(self, upstream):
        a, b = self.saved_tensors
        {lines}
"""

    @pytest.mark.parametrize(
        "lines",
        [
            "return upstream * b.data",
            "grad = upstream * b.data\n        return grad",
            "return upstream",
            "return (upstream * b.data,)",
            "return np.multiply(upstream, b.data)",
            "upstream = upstream * b.data\n        upstream = upstream.sum(axis=0)\n        return upstream",
            "return upstream.copy() if a is b else -upstream",
        ],
    )
    def test_one_gradient_for_two_inputs(self, tmp_path: Path, lines: str) -> None:
        assert rules(tmp_path, self.MUL.format(lines=lines)) == ["gradient-count"]

    @pytest.mark.parametrize(
        "lines",
        [
            "return upstream * b.data, upstream * a.data",
            "grads = (upstream * b.data, None)\n        return grads",
            "return both(upstream, a, b)",
            "grads = []\n        for t in (b, a):\n            grads.append(upstream * t.data)\n        return grads",
            "return tuple(upstream * each.data for each in (b, a))",
            "return np.split(upstream, 2)",
            "grads = (upstream,)\n        grads = grads + (upstream,)\n        return grads",
            "raise NotImplementedError",
        ],
    )
    def test_two_gradients_or_an_unknown_number(self, tmp_path: Path, lines: str) -> None:
        assert broken(tmp_path, self.MUL.format(lines=lines)) == []

    TORCH = """
class Mul(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, {more}):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return {gradients}
"""

    @pytest.mark.parametrize(
        ("more", "gradients", "found"),
        [
            ("scale=1.0", "g * y", ["gradient-count"]),
            ("scale", "g * y, g * x", ["gradient-count"]),
            ("scale", "g * y, g * x, None", []),
            ("scale=1.0", "g * y, g * x", []),
            ("*rest", "g", []),
        ],
    )
    def test_torch_wants_one_for_each_argument(self, tmp_path: Path, more: str, gradients: str, found: list) -> None:
        assert rules(tmp_path, self.TORCH.format(more=more, gradients=gradients)) == found

    def test_options_of_a_forward_are_no_inputs(self, tmp_path: Path) -> None:
        code = """
class Sum(Function):
    def forward(self, x, axis):
        self.save_for_backward(x)
        return x.sum(axis)

    def backward(self, upstream):
        return upstream * np.ones(3)
"""
        assert broken(tmp_path, code) == []

    UNARY = "class {}Backward(Function):\n    def __init__(self, x):\n        super().__init__(x)\n\n"
    UNARY += "    def apply(self, upstream):\n        return {}\n\n\n"

    def test_a_bare_gradient_among_tuples_is_taken_apart(self, tmp_path: Path) -> None:
        tuples = "".join(self.UNARY.format(name, "(upstream,)") for name in ("Sum", "Mean"))
        assert rules(tmp_path, tuples + self.UNARY.format("Neg", "-upstream")) == ["gradient-count"]
        assert broken(tmp_path, tuples + self.UNARY.format("Neg", "(-upstream,)")) == []

    def test_bare_gradients_may_be_the_convention(self, tmp_path: Path) -> None:
        bare = "".join(self.UNARY.format(name, "-upstream") for name in ("Sum", "Mean", "Neg"))
        assert broken(tmp_path, bare) == []


OP = """
import numpy as np


class Op:
    def forward(self, x):
        {forward}

    def backward(self, upstream):
        {backward}
"""


def op(forward: str, backward: str = "return upstream * self.saved") -> str:
    indent = "\n        "
    return OP.format(forward=forward.replace("\n", indent), backward=backward.replace("\n", indent))


class TestSavedArrays:
    @pytest.mark.parametrize(
        "forward",
        [
            "self.saved = x\nx[x < 0] = 0\nreturn x",
            "self.saved = x\nnp.maximum(x, 0, out=x)\nreturn x",
            "out = np.exp(x)\nself.saved = out\nout *= 2\nreturn out",
            "out = np.exp(x)\nself.saved = out\nflat = out.reshape(-1)\nflat[0] = 0\nreturn out",
            "out = np.exp(x)\nself.saved = (x, out)\nout.fill(0)\nreturn out",
            "self.saved = {}\nself.saved['x'] = x\nx[0] = 1\nreturn x",
            "self.saved = x\nnp.add.at(x, 0, 1)\nreturn x",
        ],
    )
    def test_forward_changes_what_it_has_saved(self, tmp_path: Path, forward: str) -> None:
        assert rules(tmp_path, op(forward)) == ["saved-mutated"]

    @pytest.mark.parametrize(
        "forward",
        [
            "self.saved = x.copy()\nx[x < 0] = 0\nreturn x",
            "x[x < 0] = 0\nself.saved = x\nreturn x",
            "self.saved = x\nx = x.copy()\nx[x < 0] = 0\nreturn x",
            "self.saved = x\nx = x * 2\nx += 1\nreturn x",
            "self.other = x\nx[0] = 0\nreturn x",
            "mask = np.zeros(3)\nself.saved = mask\nmask[0] = 1\nreturn x * mask",
            "self.saved = var = x.var()\nnp.sqrt(self.saved, out=self.saved)\nreturn x / self.saved",
            "count = len(x)\nself.saved = count\ncount += 1\nreturn x",
        ],
    )
    def test_forward_changes_something_else(self, tmp_path: Path, forward: str) -> None:
        assert broken(tmp_path, op(forward)) == []

    @pytest.mark.parametrize(
        "backward",
        [
            "self.saved[self.saved > 0] = 1\nreturn self.saved * upstream",
            "y = self.saved\ny[y > 0] = 1\nreturn y * upstream",
            "y = self.saved.reshape(-1)\ny.fill(1)\nreturn self.saved * upstream",
            "self.saved *= upstream\nreturn self.saved",
            "np.multiply(self.saved, upstream, out=self.saved)\nreturn self.saved",
        ],
    )
    def test_backward_changes_what_forward_saved(self, tmp_path: Path, backward: str) -> None:
        assert rules(tmp_path, op("out = np.exp(x)\nself.saved = out\nreturn out * 2", backward)) == ["saved-mutated"]

    @pytest.mark.parametrize(
        "backward",
        [
            "y = self.saved.copy()\ny[y > 0] = 1\nreturn y * upstream",
            "y = self.saved * 1\ny[y > 0] = 1\nreturn y * upstream",
            "y = self.saved[self.saved > 0]\ny[0] = 1\nreturn y",
            "self.weight.grad += upstream\nself.dw[...] = upstream\nreturn upstream * self.saved",
            "dx = np.zeros_like(self.saved)\ndx[0] = upstream[0]\nreturn dx",
        ],
    )
    def test_backward_changes_its_own(self, tmp_path: Path, backward: str) -> None:
        assert broken(tmp_path, op("out = np.exp(x)\nself.saved = out\nreturn out * 2", backward)) == []

    RELU = """
class Relu(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        {forward}

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        {backward}
"""

    @pytest.mark.parametrize(
        ("forward", "backward", "found"),
        [
            ("return x.clamp(min=0)", "return upstream * (x > 0)", []),
            ("return x.clamp_(min=0)", "return upstream * (x > 0)", ["saved-mutated"]),
            ("ctx.mark_dirty(x)\n        return x.clamp_(min=0)", "return upstream * (x > 0)", []),
            ("return x.clamp(min=0)", "x[x < 0] = 0\n        return x", ["saved-mutated"]),
            ("return x.clamp(min=0)", "g = upstream.clone()\n        g[x < 0] = 0\n        return g", []),
        ],
    )
    def test_of_torch(self, tmp_path: Path, forward: str, backward: str, found: list[str]) -> None:
        assert rules(tmp_path, self.RELU.format(forward=forward, backward=backward)) == found

    CLOSURE = """
def tanh(x):
    t = np.tanh(x.data)
    out = Tensor(t, (x,))

    def _backward():
        {inside}

    out._backward = _backward
    {after}
    return out
"""
    ADDS = "x.grad += (1 - t * t) * out.grad"

    @pytest.mark.parametrize(
        ("inside", "after", "found"),
        [
            (ADDS, "pass", []),
            (ADDS, "t[0] = 3", ["saved-mutated"]),
            (ADDS, "u = t.copy()\n    u[0] = 3", []),
            ("np.subtract(1, t, out=t)\n        x.grad += t * out.grad", "pass", ["saved-mutated"]),
            ("d = 1 - t * t\n        d[0] = 0\n        x.grad += d * out.grad", "pass", []),
            ("g = np.zeros_like(t)\n        g[0] = t[0]\n        x.grad[...] += g", "pass", []),
        ],
    )
    def test_of_closures(self, tmp_path: Path, inside: str, after: str, found: list[str]) -> None:
        assert rules(tmp_path, self.CLOSURE.format(inside=inside, after=after)) == found
