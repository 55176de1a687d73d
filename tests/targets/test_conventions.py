"""Calling conventions that people use: each is audited as it stands, and a fault planted in it is caught."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

from gradaudit.audit.conclusion import Audit
from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict, worst
from gradaudit.spec.errors import SpecError
from gradaudit.spec.load import load_specs

_numbers = count()


def audited(folder: Path, source: str, spec: str) -> Audit:
    """Return the audit of a spec without its op, whose module is called MODULE."""
    module = f"conventions_{next(_numbers)}"
    (folder / f"{module}.py").write_text("import numpy as np\nimport scipy.sparse as sp\n" + dedent(source))
    file = folder / f"{module}.yaml"
    file.write_text(f"op: {module}\n{dedent(spec).strip()}\n".replace("MODULE", module))
    (case,) = load_specs([file]).cases
    return audit_case(case)


def verdict(folder: Path, source: str, spec: str) -> Verdict:
    """Return the worst verdict of an audit."""
    return worst([result.verdict for result in audited(folder, source, spec).results])


LINEAR = "inputs: {x: {shape: [3, 4]}, w: {shape: [4, 2]}, b: {shape: [2]}}"

CACHES = {
    "a tuple": (
        """
        def forward(x, w, b): return x @ w + b, (x, w)
        def backward(dout, cache):
            x, w = cache
            return dout @ w.T, x.T @ dout, dout.sum(0)
        """,
        "dout.sum(0)",
        "dout.mean(0)",
    ),
    "a dict": (
        """
        def forward(x, w, b): return x @ w + b, {"x": x, "w": w}
        def backward(dout, cache): return dout @ cache["w"].T, cache["x"].T @ dout, dout.sum(0)
        """,
        'cache["x"].T @ dout',
        '-cache["x"].T @ dout',
    ),
    "an object that backward consumes": (
        """
        class Context:
            def __init__(self, *kept): self.kept = list(kept)
        def forward(x, w, b): return x @ w + b, Context(x, w)
        def backward(dout, ctx):
            w, x = ctx.kept.pop(), ctx.kept.pop()
            return dout @ w.T, x.T @ dout, dout.sum(0)
        """,
        "dout @ w.T",
        "2 * dout @ w.T",
    ),
    "two values": (
        """
        def forward(x, w, b): return x @ w + b, x, [w]
        def backward(dout, kept): return dout @ kept[1][0].T, kept[0].T @ dout, dout.sum(0)
        """,
        "dout.sum(0)",
        "dout.sum(0) + 1",
    ),
}


@pytest.mark.parametrize(("source", "right", "wrong"), CACHES.values(), ids=CACHES)
def test_whatever_forward_keeps_reaches_backward(tmp_path: Path, source: str, right: str, wrong: str) -> None:
    spec = (
        f"target: {{forward: MODULE:forward, backward: {{call: MODULE:backward, args: [upstream, cache]}}}}\n{LINEAR}"
    )
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert right in source
    assert verdict(tmp_path, source.replace(right, wrong), spec) is Verdict.FAIL


DROPOUT = """
    rng = np.random.default_rng(0)
    def forward(x, p):
        mask = (DRAW < p) / p
        return x * mask, (mask,)
    def backward(dout, cache): return dout * cache[0]
    def other(dout, cache): return dout * (rng.random(dout.shape) < 0.5)
"""


@pytest.mark.parametrize("draw", ["np.random.rand(*x.shape)", "rng.random(x.shape)"])
def test_a_mask_that_forward_draws_and_keeps_is_the_same_at_every_call(tmp_path: Path, draw: str) -> None:
    spec = """
        target: {forward: MODULE:forward, backward: {call: MODULE:BACKWARD, args: [upstream, cache]}}
        inputs: {x: {shape: [5, 6]}}
        params: {p: 0.5}
    """
    source = DROPOUT.replace("DRAW", draw)
    assert verdict(tmp_path, source, spec.replace("BACKWARD", "backward")) is Verdict.PASS
    assert verdict(tmp_path, source, spec.replace("BACKWARD", "other")) is Verdict.FAIL


LAYERS = {
    "attributes": (
        """
        class Layer:
            def __init__(self, scale=1.0): self.W, self.scale = np.zeros((4, 2)), scale
            def forward(self, x):
                self.x = x
                return self.scale * x @ self.W
            def backward(self, dout):
                self.dW = self.scale * self.x.T @ dout
                return self.scale * dout @ self.W.T
        """,
        "params: {w: W}, grads: {w: dW}",
        "self.scale * self.x.T @ dout",
        "self.x.T @ dout",
    ),
    "dicts": (
        """
        class Layer:
            def __init__(self, scale): self.params, self.grads, self.scale = {'W': np.ones((4, 2))}, {}, scale
            def forward(self, x):
                self.x = x
                return self.scale * x @ self.params['W']
            def backward(self, dout):
                self.grads['W'] = self.scale * self.x.T @ dout
                return self.scale * dout @ self.params['W'].T
        """,
        """params: {w: "params['W']"}, grads: {w: "grads['W']"}""",
        "self.scale * dout @",
        "dout @",
    ),
    "parameters that forward makes": (
        """
        class Layer:
            def __init__(self, scale): self.scale, self.W = scale, None
            def forward(self, x):
                if self.W is None: self.W = np.random.randn(x.shape[1], 2)
                self.x = x
                return self.scale * x @ self.W
            def backward(self, dout):
                self.dW = self.scale * self.x.T @ dout
                return self.scale * dout @ self.W.T
        """,
        "params: {w: W}, grads: {w: dW}, builds: true",
        "self.scale * self.x.T @ dout",
        "self.x.T @ dout",
    ),
    "an array that two names share": (
        """
        class Layer:
            def __init__(self, scale):
                self.W, self.dW, self.scale = np.ones((4, 2), np.float32), np.zeros((4, 2)), scale
                self.params, self.grads = [self.W], [self.dW]
            def forward(self, x):
                self.x = x
                return self.scale * x @ self.params[0]
            def backward(self, dout):
                self.grads[0][...] = self.scale * self.x.T @ dout
                return self.scale * dout @ self.params[0].T
        """,
        "params: {w: W}, grads: {w: 'grads[0]'}",
        "self.params[0].T",
        "abs(self.params[0].T)",
    ),
    "parameter objects": (
        """
        class Parameter:
            def __init__(self, value): self.value, self.grad = value, None
        class Layer:
            def __init__(self, scale): self.weight, self.scale = Parameter(np.ones((4, 2))), scale
            def forward(self, x):
                self.x = x
                return self.scale * x @ self.weight.value
            def backward(self, dout):
                self.weight.grad = self.scale * self.x.T @ dout
                return self.scale * dout @ self.weight.value.T
        """,
        "params: {w: weight.value}, grads: {w: weight.grad}",
        "self.scale * self.x.T",
        "self.scale ** 2 * self.x.T",
    ),
}


@pytest.mark.parametrize(("source", "places", "right", "wrong"), LAYERS.values(), ids=LAYERS)
def test_a_layer_keeps_its_parameters_and_gradients_where_the_spec_says(
    tmp_path: Path, source: str, places: str, right: str, wrong: str
) -> None:
    spec = f"""
        target: {{layer: {{make: MODULE:Layer, {places}}}}}
        inputs: {{x: {{shape: [3, 4]}}, w: {{shape: [4, 2]}}}}
        params: {{scale: 1.5}}
    """
    audit = audited(tmp_path, source, spec)
    assert {result.input: result.verdict for result in audit.results} == {"x": "pass", "w": "pass"}
    assert right in source
    assert verdict(tmp_path, source.replace(right, wrong), spec) is Verdict.FAIL


ONE_CALL = {
    "loss and gradient": ("return (d ** 2).sum(), 2 * np.outer(d, x)", "2 * np", "np"),
    "loss and a dict": ("return (d ** 2).sum(), {'w': 2 * np.outer(d, x)}", "2 * np", "np"),
}


@pytest.mark.parametrize(("line", "right", "wrong"), ONE_CALL.values(), ids=ONE_CALL)
def test_loss_and_gradient_come_from_one_call(tmp_path: Path, line: str, right: str, wrong: str) -> None:
    source = f"def f(w, x):\n    d = w @ x\n    {line}\n"
    spec = """
        target: {value_and_grad: {call: MODULE:f, returns: [w]}}
        inputs: {w: {shape: [3, 4]}, x: {shape: [4]}}
    """
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert verdict(tmp_path, source.replace(right, wrong), spec) is Verdict.FAIL


UPSTREAMS = {
    "none": "target: {forward: MODULE:mse, backward: {call: MODULE:mse_grad, returns: [p]}}\nupstream: none",
    "no word": "target: {forward: MODULE:mse, backward: {call: MODULE:mse_grad, args: [p, t], returns: [p]}}",
}


@pytest.mark.parametrize("target", UPSTREAMS.values(), ids=UPSTREAMS)
def test_the_gradient_of_a_scalar_may_take_no_upstream(tmp_path: Path, target: str) -> None:
    source = "def mse(p, t): return ((p - t)**2).mean()\ndef mse_grad(p, t): return 2 * (p - t) / p.size\n"
    spec = f"{target}\ninputs: {{p: {{shape: [3, 4]}}, t: {{shape: [3, 4]}}}}"
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    (result,) = audited(tmp_path, source.replace("/ p.size", "/ len(p)"), spec).results
    assert result.verdict is Verdict.FAIL
    assert "upstream-ignored" not in {finding.code for finding in result.findings}


def test_without_an_upstream_the_gradient_of_an_array_means_nothing(tmp_path: Path) -> None:
    spec = """
        target: {forward: MODULE:f, backward: {call: MODULE:g, args: [x]}}
        inputs: {x: {shape: [3]}}
    """
    audit = audited(tmp_path, "def f(x): return x ** 2\ndef g(x): return 2 * x\n", spec)
    assert audit.results[0].verdict is Verdict.FAIL


def test_a_derivative_is_multiplied_by_the_upstream(tmp_path: Path) -> None:
    source = "def f(x): return np.tanh(x)\ndef prime(x): return 1 - np.tanh(x) ** 2\n"
    spec = "target: {forward: MODULE:f, derivative: MODULE:prime}\ninputs: {x: {shape: [3, 4]}}"
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert verdict(tmp_path, source.replace("** 2", "** 3"), spec) is Verdict.FAIL


JACOBIANS = {
    "dense": "return np.diag(2 * x)",
    "sparse": "return sp.diags(2 * x)",
    "flat": "return np.diag(2 * x).reshape(3, 3)",
}


@pytest.mark.parametrize("line", JACOBIANS.values(), ids=JACOBIANS)
def test_a_jacobian_is_multiplied_by_the_upstream(tmp_path: Path, line: str) -> None:
    source = f"def f(x): return x ** 2\ndef jac(x): {line}\n"
    spec = "target: {forward: MODULE:f, jacobian: MODULE:jac}\ninputs: {x: {shape: [3]}}"
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert verdict(tmp_path, source.replace("2 * x", "3 * x"), spec) is Verdict.FAIL


def test_a_jacobian_of_two_inputs_holds_their_columns_side_by_side(tmp_path: Path) -> None:
    source = """
        def residual(a, b): return a * b
        def jac(a, b): return np.hstack([np.diag(b), np.diag(a)])
    """
    spec = "target: {forward: MODULE:residual, jacobian: MODULE:jac}\ninputs: {a: {shape: [3]}, b: {shape: [3]}}"
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert verdict(tmp_path, source.replace("np.diag(b), np.diag(a)", "np.diag(a), np.diag(b)"), spec) is Verdict.FAIL


def test_a_hessian_is_the_jacobian_of_the_gradient(tmp_path: Path) -> None:
    source = """
        def grad(x): return 2 * x * (x @ x)
        def hess(x): return 2 * (x @ x) * np.eye(len(x)) + 4 * np.outer(x, x)
    """
    spec = "target: {forward: MODULE:grad, jacobian: MODULE:hess}\ninputs: {x: {shape: [4]}}"
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert verdict(tmp_path, source.replace("+ 4 *", "+ 2 *"), spec) is Verdict.FAIL


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_are_added_to_what_the_buffers_hold(tmp_path: Path, dtype: str) -> None:
    source = """
        def forward(x, w): return x @ w
        def backward(dx, dw, dout, x, w):
            dx += dout @ w.T
            dw += x.T @ dout
    """
    spec = f"""
        target:
          forward: MODULE:forward
          backward: {{call: MODULE:backward, args: ['grad[x]', 'grad[w]', upstream, x, w]}}
          accumulates: true
        inputs: {{x: {{shape: [3, 4]}}, w: {{shape: [4, 2]}}}}
        dtype: {dtype}
    """
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert verdict(tmp_path, source.replace("dw +=", "dw[...] ="), spec) is Verdict.FAIL
    assert verdict(tmp_path, source.replace("+= x.T", "+= 1.01 * x.T"), spec) is Verdict.FAIL
    overwriting = spec.replace("accumulates: true", "accumulates: false")
    assert verdict(tmp_path, source, overwriting) is Verdict.FAIL
    assert (
        verdict(tmp_path, source.replace("dw +=", "dw[...] =").replace("dx +=", "dx[...] ="), overwriting)
        is Verdict.PASS
    )


def test_many_terms_added_one_by_one_to_a_buffer_round_like_the_buffer(tmp_path: Path) -> None:
    source = """
        def forward(x, w): return x * w
        def backward(dw, dout, x):
            for d, row in zip(dout, x): dw += d * row
    """
    spec = """
        target:
          forward: MODULE:forward
          backward: {call: MODULE:backward, args: ['grad[w]', upstream, x], returns: [w]}
          accumulates: true
        inputs: {x: {shape: [3000, 4], range: [1.0e-4, 2.0e-4], differentiable: false}, w: {shape: [4]}}
        dtype: float32
    """
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert verdict(tmp_path, source.replace("for d", "dw *= 0.99\n            for d"), spec) is Verdict.FAIL


def test_a_half_precision_forward_is_audited_on_its_reference(tmp_path: Path) -> None:
    source = """
        def exact(x): return np.exp(x)
        def kernel(x):
            assert x.dtype == np.float16
            return np.exp(x)
        def backward(u, x):
            assert x.dtype == np.float16
            return u * np.exp(x)
    """
    spec = """
        target: {forward: MODULE:kernel, backward: MODULE:backward, reference: MODULE:exact}
        inputs: {x: {shape: [3, 4]}}
        dtype: float16
    """
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert (
        verdict(tmp_path, source.replace("return u * np.exp(x)", "return u * np.exp(x) * np.float16(1.1)"), spec)
        is Verdict.FAIL
    )
    forward_off = audited(
        tmp_path,
        source.replace(
            "np.float16\n            return np.exp(x)", "np.float16\n            return np.exp(x) * np.float16(1.1)", 1
        ),
        spec,
    )
    assert forward_off.results[0].verdict is Verdict.ERROR
    assert "forward differs from its reference" in forward_off.results[0].message
    shapes = audited(
        tmp_path, source.replace("def exact(x): return np.exp(x)", "def exact(x): return np.exp(x)[:2]"), spec
    )
    assert "of the reference has shape (2, 4), that of forward (3, 4)" in shapes.results[0].message


def test_a_straight_through_estimator_is_the_gradient_of_its_surrogate(tmp_path: Path) -> None:
    source = """
        def quantise(x): return np.round(np.clip(x, -1, 1) * 8) / 8
        def clip(x): return np.clip(x, -1, 1)
        def backward(u, x): return u * (abs(x) < 1)
    """
    spec = """
        target: {forward: MODULE:quantise, backward: MODULE:backward, surrogate: MODULE:clip}
        inputs: {x: {shape: [5, 6], range: [-2, 2], avoid: {points: [-1, 1], margin: 0.01}}}
    """
    assert verdict(tmp_path, source, spec) is Verdict.PASS
    assert verdict(tmp_path, source.replace("abs(x) < 1", "abs(x) < 3"), spec) is Verdict.FAIL


MISTAKES = {
    "a word of args": (
        "target: {forward: m:f, backward: {call: m:g, args: [upstream, cahce]}}",
        "found 'cahce'; expected upstream, output, output[k], cache, grad[INPUT] or an input; did you mean 'cache'?",
    ),
    "two ways to a gradient": (
        "target: {forward: m:f, backward: m:g, jacobian: m:h}",
        "target.jacobian: found beside 'backward'; one function gives the gradients",
    ),
    "no buffers": (
        "target: {forward: m:f, backward: m:g, accumulates: true}",
        "expected buffers among backward's args, such as grad[x], found none",
    ),
    "a reference and a surrogate": (
        "target: {forward: m:f, backward: m:g, reference: m:h, surrogate: m:i}",
        "target.surrogate: found beside 'reference'",
    ),
    "a forward beside a loss with its gradient": (
        "target: {forward: m:f, value_and_grad: m:g}",
        "target.forward: found beside 'value_and_grad'",
    ),
    "a parameter that is no input": (
        "target: {layer: {make: m:L, params: {xx: W}}}",
        "target.layer.params.xx: there is no input 'xx'; did you mean 'x'?",
    ),
    "an attribute that is no param": (
        "target: {layer: {make: m:L, attributes: {train: training}}}",
        "target.layer.attributes.train: there is no param 'train'",
    ),
    "no place": (
        "target: {layer: {make: m:L, params: {x: 'W[a]'}}}",
        "found 'W[a]', expected a place in a layer, such as W, params['W'] or weight.data",
    ),
    "a layer and two functions": ("target: {layer: m:L, forward: m:f}", "found 'layer' beside 'forward'"),
    "a pack of a layer": ("target: {layer: m:L, packs: {p: [x]}}", "it is for two functions or 'torch' or"),
    "a pack of what is no input": ("target: {jax: m:f, packs: {p: [y]}}", "there is no input 'y'"),
    "buffers of torch": ("target: {torch: m:f, accumulates: true}", "target.accumulates: found beside 'torch'"),
    "a surrogate of a layer": ("target: {layer: m:L, surrogate: m:f}", "it is for two functions"),
}


@pytest.mark.parametrize(("target", "said"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_the_keys_are_refused_where_they_stand(tmp_path: Path, target: str, said: str) -> None:
    file = tmp_path / "op.yaml"
    file.write_text(f"op: a\n{target}\ninputs: {{x: {{shape: [3]}}}}\n")
    with pytest.raises(SpecError) as caught:
        load_specs([file])
    assert {problem.location.line for problem in caught.value.problems} == {2}
    assert any(said in str(problem) for problem in caught.value.problems)


def test_modes_are_set_as_attributes_before_forward(tmp_path: Path) -> None:
    source = """
        class Layer:
            def __init__(self): self.training, self.config = False, {"power": 2}
            def forward(self, x):
                self.x = x
                return x ** self.config["power"] if self.training else x
            def backward(self, u): return u * self.config["power"] * self.x
    """
    attributes = "{train: training, power: \"config['power']\"}"
    spec = """
        target: {layer: {make: MODULE:Layer, attributes: ATTRIBUTES}}
        inputs: {x: {shape: [3, 4]}}
        params: {train: TRAIN, power: 2}
    """.replace("ATTRIBUTES", attributes)
    assert verdict(tmp_path, source, spec.replace("TRAIN", "true")) is Verdict.PASS
    assert verdict(tmp_path, source, spec.replace("TRAIN", "false")) is Verdict.FAIL
    wrong = audited(tmp_path, source, spec.replace("TRAIN", "true").replace(": training", ": trainin"))
    assert "Layer has no 'trainin'; did you mean 'training'?" in wrong.results[0].message


WRONG_LAYERS = {
    "no such place": ("params: {w: weight}", "weight: Layer has no 'weight'; it has W, scale"),
    "no such method": ("backward: bakward, params: {w: W}", "did you mean 'backward'?"),
    "no gradient there": ("params: {w: W}, grads: {w: dw}", "dw: Layer has no 'dw'; it has W, dW, scale, x"),
}


@pytest.mark.parametrize(("keys", "said"), WRONG_LAYERS.values(), ids=WRONG_LAYERS)
def test_what_a_layer_lacks_is_told_with_what_it_has(tmp_path: Path, keys: str, said: str) -> None:
    spec = f"target: {{layer: {{make: MODULE:Layer, {keys}}}}}\ninputs: {{x: {{shape: [3, 4]}}, w: {{shape: [4, 2]}}}}"
    assert said in audited(tmp_path, LAYERS["attributes"][0], spec).results[0].message
