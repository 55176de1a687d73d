"""Tensors that are built of others' arrays: found in every spelling, left alone where the tape knows of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from linted import broken, linted, method

from gradaudit.lint.rules import RULES
from gradaudit.lint.run import lint
from gradaudit.lint.vocabulary import Vocabulary

GUIDE = {
    "detached-output": "output = self.weight.data[indices.data]\nresult = Tensor(output)\nreturn result\n",
    "detached-residual": "x = Tensor(x.data + attn_out.data)\n",
    "detached-reshape": "x = Tensor(x.data.reshape(batch_size, -1))\n",
}
"""What the guide to gradient flow calls wrong, as it stands there: pieces of code without a function."""

GUIDE_RIGHT = """
output = self.weight.data[indices.data]
result = Tensor(output, requires_grad=True)
result._grad_fn = EmbeddingBackward(self.weight, indices)
x = x + attn_out
x = x.reshape(batch_size, -1)
return result
"""


@pytest.mark.parametrize("rule", GUIDE)
def test_what_the_guide_calls_wrong_is_found(tmp_path: Path, rule: str) -> None:
    assert [found for found, _ in broken(tmp_path, GUIDE[rule])] == [rule]


@pytest.mark.parametrize("rule", GUIDE)
def test_it_is_found_in_a_layer_as_well(tmp_path: Path, rule: str) -> None:
    body = GUIDE[rule] if "return" in GUIDE[rule] else GUIDE[rule] + "return self.fc(x)\n"
    code = method(body, arguments="x, attn_out, indices, batch_size")
    assert [found for found, _ in broken(tmp_path, code)] == [rule]


def test_what_the_guide_calls_right_is_left_alone(tmp_path: Path) -> None:
    assert broken(tmp_path, GUIDE_RIGHT) == []


WRONG = [
    ("detached-output", "w = self.weight\nraw = w.data\ny = raw @ x.data\nreturn Tensor(y)"),
    ("detached-output", "return Tensor(self._columns(x.data, 3))"),
    ("detached-output", "return Tensor(np.concatenate([each.data for each in x], axis=0))"),
    ("detached-output", "out = np.zeros(x.shape)\nfor i in range(3):\n    out[i] = 2 * x.data[i]\nreturn Tensor(out)"),
    ("detached-output", "out = 0.0\nfor i in range(3):\n    out += x.data[i] * 2\nreturn Tensor(out)"),
    ("detached-output", "return x if self.training else Tensor(x.data * 0.5)"),
    ("detached-output", "return type(x)(x.data * 2)"),
    ("detached-output", "return x.__class__(np.exp(x.data))"),
    ("detached-output", "return framework.Tensor(data=x.data * 2)"),
    ("detached-output", "return Tensor(x.data * y, requires_grad=x.requires_grad)"),
    ("detached-output", "out = Tensor(x.data * 2)\nout.requires_grad = True\nreturn self.norm(out)"),
    ("detached-output", "out = Tensor(x.data * 2)\nout.set_requires_grad(True)\nreturn out"),
    ("detached-output", "a = Tensor(x.data**3)\nb = Tensor(np.tanh(a.data))\nreturn b"),
    ("detached-output", "return y, Tensor(x.data * 2)"),
    ("detached-output", "outs = []\nfor each in x:\n    outs.append(Tensor(each.data * 2))\nreturn stack(outs)"),
    ("detached-output", "s = Tensor(np.sqrt((x * x).mean().data))\nreturn x / s"),
    ("detached-residual", "a, b = x.data, y.data\nreturn Tensor(a + b)"),
    ("detached-residual", "(a, b) = (x, y)\nout = a.data\nout += b.data\nreturn Tensor(out)"),
    ("detached-residual", "return Tensor(np.add(x.data, y.data))"),
    ("detached-residual", "return Tensor(x.data) + y"),
    ("detached-residual", "return x + Tensor(self.branch(x).data)"),
    ("detached-residual", "x = Tensor(x.data + self.ff(x).data, requires_grad=x.requires_grad)\nreturn self.out(x)"),
    ("detached-reshape", "return Tensor(np.reshape(x.data, (2, -1)))"),
    ("detached-reshape", "z = np.transpose(x.data)\nz = z.reshape(-1)\nt = Tensor(z)\nreturn self.fc(t)"),
    ("detached-reshape", "if (d := x.data).ndim == 2:\n    return Tensor(d.T)\nreturn x"),
    ("detached-reshape", "try:\n    h = Tensor(x.data.view(-1))\nexcept ValueError:\n    h = x\nreturn h"),
]


@pytest.mark.parametrize(("rule", "body"), WRONG)
def test_the_same_faults_in_other_words(tmp_path: Path, rule: str, body: str) -> None:
    assert [found for found, _ in broken(tmp_path, method(body))] == [rule]


RIGHT = {
    "parents by position": "return Tensor(x.data + y.data, (x, y))",
    "parents by keyword": "return Tensor(x.data + y.data, parents=[x, y], requires_grad=True)",
    "a list that grows": "d = []\nif x.requires_grad:\n    d.append(Edge(x, f))\nreturn Tensor(2 * x.data, True, d)",
    "a grad function": "out = Tensor(x.data * 2)\nout._backward = back\nreturn out",
    "a grad function if needed": "out = Tensor(x.data)\nif x.requires_grad:\n    out.grad_fn = F(x)\nreturn out",
    "another branch if not": "if x.requires_grad:\n    return Tensor(x.data, (x,))\nreturn Tensor(x.data)",
    "a creator": "out = Tensor(x.data * 2)\nout.set_creator(self)\nreturn out",
    "a tape": "out = Tensor(np.exp(x.data))\nself.tape.append((out, x))\nreturn out",
    "setattr": "out = Tensor(np.exp(x.data))\nsetattr(out, '_grad_fn', ExpBackward(x))\nreturn out",
    "no gradient wanted": "with no_grad():\n    return Tensor(x.data * 2)",
    "no gradient, through torch": "with torch.no_grad():\n    z = Tensor(x.data * 2)\nreturn z",
    "by request": "return x - Tensor(x.data.max(), requires_grad=False)",
    "argmax": "return Tensor(np.argmax(x.data, axis=1))",
    "a comparison": "return x * Tensor(x.data > 0)",
    "zeros of the shape": "return Tensor(np.zeros_like(x.data))",
    "noise of the shape": "return x * Tensor(np.random.rand(*x.data.shape) > 0.5)",
    "integers": "return Tensor(x.data.astype(np.int64))",
    "a grad function where one is asked for": "return Tensor(2 * x.data, grad_fn=back if x.requires_grad else None)",
    "raw data": "return Tensor(np.array(x))",
    "an array is returned": "return x.data.reshape(2, -1)",
    "printed": "print(Tensor(x.data))\nreturn float(x.data.mean())",
    "the mean beside its tensor": "m = Tensor(np.mean(x.data))\nreturn F.batch_norm(x, m)",
    "detached on purpose": "return x + y.detach()",
    "a view that is no tensor": "shape = x.data.shape\nreturn x.reshape(shape[0], -1)",
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_on_the_tape_or_off_it_on_purpose_is_left_alone(tmp_path: Path, name: str) -> None:
    assert broken(tmp_path, method(RIGHT[name])) == []


@pytest.mark.parametrize(
    "name", ["detach", "clone", "__repr__", "predict", "evaluate", "get_batch", "quantize_weights", "causal_mask"]
)
def test_functions_whose_work_it_is_to_leave_the_tape(tmp_path: Path, name: str) -> None:
    assert broken(tmp_path, f"def {name}(x):\n    return Tensor(x.data * 2)\n") == []


@pytest.mark.parametrize("name", ["batch_norm", "split_heads", "decode", "transform", "clip"])
def test_names_that_only_sound_like_it(tmp_path: Path, name: str) -> None:
    assert broken(tmp_path, f"def {name}(x):\n    return Tensor(x.data * 2)\n") == [("detached-output", 2)]


@pytest.mark.parametrize("decorator", ["no_grad", "torch.no_grad()", "torch.inference_mode()"])
def test_decorated_functions_record_nothing(tmp_path: Path, decorator: str) -> None:
    assert broken(tmp_path, f"@{decorator}\ndef layer(x):\n    return Tensor(x.data * 2)\n") == []


TRAINING = """
def train(model, X, y, optimiser):
    for i in range(10):
        hidden = model(Tensor(X.data[i : i + 2]))
        {line}
        loss = criterion(hidden, Tensor(y.data[i]))
        optimiser.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= 0.1 * p.grad.data
    return Tensor(loss.data)
"""


def test_a_training_loop_may_make_tensors_of_its_data(tmp_path: Path) -> None:
    assert broken(tmp_path, TRAINING.format(line="hidden = hidden.reshape(2, -1)")) == []


def test_a_training_loop_may_not_break_the_way_to_the_model(tmp_path: Path) -> None:
    found = broken(tmp_path, TRAINING.format(line="hidden = Tensor(hidden.data.reshape(2, -1))"))
    assert found == [("detached-reshape", 4)]


TORCH = """
import torch


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.Tensor(x.data**2)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return torch.Tensor(2 * x.data * grad_output.data)


def init_weights(module):
    module.weight.data.copy_(torch.randn(3))
    module.bias.data.zero_()
"""


def test_ops_with_their_own_backward_and_initialisers_are_left_alone(tmp_path: Path) -> None:
    assert broken(tmp_path, TORCH) == []


TENSOR = """
class Tensor:
    def backward(self):
        self.node.run()

    def exp(self):
        return Tensor(np.exp(self.data){tape})

    def log(self):
        return Tensor(np.log(self.data))

    def astype(self, dtype):
        return Tensor(self.data.astype(dtype))
"""


def test_methods_of_a_tensor_that_has_a_tape(tmp_path: Path) -> None:
    assert broken(tmp_path, TENSOR.format(tape=", (self,)")) == [("detached-output", 9)]


def test_methods_of_a_tensor_whose_tape_is_elsewhere(tmp_path: Path) -> None:
    assert broken(tmp_path, TENSOR.format(tape="")) == []


def test_a_method_that_is_replaced_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "tracked.py").write_text("def enable():\n    ReLU.forward = tracked_forward\n")
    code = "class {}:\n    def forward(self, x):\n        return Tensor(np.maximum(x.data, 0))\n"
    (tmp_path / "layers.py").write_text(code.format("ReLU") + code.format("Tanh"))
    assert [violation.line for violation in lint([tmp_path], tuple(RULES.values())).violations] == [6]


def test_the_maximum_that_a_softmax_subtracts_needs_no_gradient(tmp_path: Path) -> None:
    code = "def {}(x):\n    top = Tensor(np.max(x.data))\n    z = exp(x - top)\n    return z / z.sum()\n"
    assert broken(tmp_path, code.format("softmax")) == []
    assert broken(tmp_path, code.format("shift")) == [("detached-output", 2)]


def test_tensors_and_arrays_by_other_names(tmp_path: Path) -> None:
    code = "def layer(x):\n    return Variable(x.array * 2)\n"
    assert broken(tmp_path, code) == []
    assert broken(tmp_path, code, vocabulary=Vocabulary(("Variable",), ("array",))) == [("detached-output", 2)]


def test_a_violation_names_what_gets_no_gradient(tmp_path: Path) -> None:
    (violation,) = linted(tmp_path, "def layer(x, gain):\n    return Tensor(x.data * gain.data)\n").violations
    assert "gain and x" in violation.why
    assert (violation.line, violation.column) == (2, 12)
