"""Backward passes found in Python's syntax tree, in the styles that people write them in."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from gradaudit.coverage.passes import BackwardPass
from gradaudit.coverage.python_passes import python_passes


def found(source: str) -> dict[str, tuple[str, str]]:
    """Return the op and the kind of each pass that a source defines, by name."""
    passes = python_passes(textwrap.dedent(source).encode(), Path("ops.py"))
    assert not isinstance(passes, str), passes
    assert [one.line for one in passes] == sorted(one.line for one in passes)
    return {one.name: (one.op, str(one.kind)) for one in passes}


FUNCTIONS = """
    def relu(x): return x
    def relu_backward(upstream, x): return upstream
    def backward_gelu(g, x): return g
    async def swish_vjp(g, x): return g
    class Layer:
        def norm_backward(self, g): return g
        @staticmethod
        def scale_backward(g): return g
    if True:
        def elu_backward(g, x): return g
    def outer():
        def inner_backward(g): return g
    def softmax(x): return x
    def softmax_grad(y, dy): return dy
    def tanh_grad(dout, y): return dout
"""

TORCH = """
    import torch
    from torch import autograd as ag
    from torch.autograd import Function as F
    class Exp(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x): return x
        @staticmethod
        def backward(ctx, g): return g
    class Log(ag.Function):
        @staticmethod
        def backward(ctx, g): return g
    class Sin(F):
        @staticmethod
        def forward(ctx, x): return x
        @staticmethod
        def backward(ctx, g): return g
    from torch.autograd.function import Function as G
    from tinygrad.tensor import Function as H
    class Cos(G):
        @staticmethod
        def forward(ctx, x): return x
        @staticmethod
        def backward(ctx, g): return g
    class Tan(H):
        def forward(self, x): return x
        def backward(self, g): return g
    class Linear:
        def forward(self, x): return x
        def backward(self, g): return g
    class Assigned:
        def forward(self, x): return x
        backward = make()
    class Outer:
        class Inner(F):
            def backward(ctx, g): return g
    torch.library.register_autograd("mylib::mul", _back)
    my_op.register_autograd(_other_backward)
    def _other_backward(ctx, g): return g
"""

JAX = """
    import functools
    import jax
    from jax import custom_vjp, custom_gradient
    @jax.custom_vjp
    def f(x): return x
    def f_fwd(x): return x, x
    def f_backward(res, g): return g
    f.defvjp(f_fwd, f_backward)
    @functools.partial(custom_vjp, nondiff_argnums=(1,))
    def clip(x, lo): return x
    h = jax.custom_vjp(lambda x: x)
    h.defvjp(a, b)
    imported_elsewhere.defvjp(a, b)
    @custom_gradient
    def log1pexp(x): return x
    def make():
        @custom_vjp
        def nested(x): return x
        nested.defvjp(a, b)
"""

AUTOGRAD = """
    import autograd.numpy as anp
    from autograd.extend import defvjp, primitive
    from autograd import core
    @primitive
    def logsumexp(x): return x
    def logsumexp_vjp(ans, x): return lambda g: g
    defvjp(logsumexp, logsumexp_vjp)
    defvjp(anp.exp, lambda ans, x: lambda g: ans * g)
    defvjp_argnum(anp.stack, grads)
    core.defvjp(func(Space.add), None)
    for op in ops:
        defvjp(op, rule)
"""

CLOSURES = """
    class Value:
        def __add__(self, other):
            out = Value(self.data + other.data, (self, other), "+")
            def _backward():
                self.grad += out.grad
            out._backward = _backward
            return out
        def relu(self):
            out = Value(0)
            out._backward = lambda: None
            return out
        def backward(self):
            self._backward()
    def exp(x):
        def back(g): return g
        result = Node(x)
        result.grad_fn = back
        return result
    def unrelated(node):
        node.grad_fn = None
        node.shape = backward
    tanh_backward = lambda g, y: g * (1 - y**2)
    names_backward = [1]
"""

STYLES = {
    "closures": (
        CLOSURES,
        {
            "Value.__add__": ("add", "closure"),
            "Value.relu": ("relu", "closure"),
            "exp": ("exp", "closure"),
            "tanh_backward": ("tanh", "function"),
        },
    ),
    "functions": (
        FUNCTIONS,
        {
            "relu_backward": ("relu", "function"),
            "backward_gelu": ("gelu", "function"),
            "swish_vjp": ("swish", "function"),
            "Layer.norm_backward": ("norm", "function"),
            "Layer.scale_backward": ("scale", "function"),
            "elu_backward": ("elu", "function"),
            "outer.<locals>.inner_backward": ("inner", "function"),
            "softmax_grad": ("softmax", "function"),
            "tanh_grad": ("tanh", "function"),
        },
    ),
    "torch": (
        TORCH,
        {
            "Exp": ("Exp", "torch.autograd.Function"),
            "Log": ("Log", "torch.autograd.Function"),
            "Sin": ("Sin", "torch.autograd.Function"),
            "Cos": ("Cos", "torch.autograd.Function"),
            "Tan": ("Tan", "class"),
            "Linear": ("Linear", "class"),
            "Assigned": ("Assigned", "class"),
            "Outer.Inner": ("Inner", "torch.autograd.Function"),
            "mylib::mul": ("mul", "torch.library"),
            "my_op": ("my_op", "torch.library"),
        },
    ),
    "jax": (
        JAX,
        {
            "f": ("f", "jax.custom_vjp"),
            "clip": ("clip", "jax.custom_vjp"),
            "h": ("h", "jax.custom_vjp"),
            "imported_elsewhere": ("imported_elsewhere", "jax.custom_vjp"),
            "log1pexp": ("log1pexp", "custom_gradient"),
            "make.<locals>.nested": ("nested", "jax.custom_vjp"),
        },
    ),
    "autograd": (
        AUTOGRAD,
        {
            "logsumexp": ("logsumexp", "defvjp"),
            "anp.exp": ("exp", "defvjp"),
            "anp.stack": ("stack", "defvjp"),
            "func(Space.add)": ("add", "defvjp"),
            "op": ("op", "defvjp"),
        },
    ),
}


@pytest.mark.parametrize("style", STYLES)
def test_backward_passes_are_found_in_every_style(style: str) -> None:
    source, expected = STYLES[style]
    assert found(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "def zero_grad(params, flag): pass\ndef other(): return backward",
        "def needs_backward(x): return x",
        "def test_relu_backward(x): return x",
        "def check_backward(f, x): return x",
        "def value_and_grad(f, x): return f",
        "def backward_pass(graph): return graph",
        "def relu_backward(): return 1",
        "def patch(cls):\n    def back(g): return g\n    cls.backward = back",
        "def relu_backward(g, x) -> bool: return True",
        "def relu_backward(g, x): ...",
        "def relu_backward(g, x):\n    '''not yet'''\n    raise NotImplementedError",
        "class Base:\n    def forward(self, x): ...\n    def backward(self, g): raise NotImplementedError",
        "class Trainer:\n    def backward(self, loss): return loss.sum()",
        "class Layer:\n    from abc import abstractmethod\n    def forward(self, x): return x\n"
        "    @abstractmethod\n    def backward(self, g): return g",
        "y = relu_backward(g, x)",
        "'def relu_backward(g, x): return g'",
    ],
)
def test_what_only_looks_like_one(source: str) -> None:
    assert found(source) == {}


def test_a_private_part_belongs_to_what_calls_it() -> None:
    assert found("def _core_backward(g): return g\ndef conv_backward(g): return _core_backward(g)\n") == {
        "conv_backward": ("conv", "function")
    }
    assert found("def _core_backward(g): return g\nTABLE = {'core': _core_backward}\n") == {
        "_core_backward": ("core", "function")
    }


def test_lines_are_those_of_the_definitions() -> None:
    passes = python_passes(b"import x\n\n@deco\ndef relu_backward(g):\n    return g\n", Path("a/ops.py"))
    assert passes == [BackwardPass(Path("a/ops.py"), 4, "relu_backward", "relu", passes[0].kind)]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"def relu_backward(g:\n", "is not Python: line 1"),
        (b"def relu_backward(g):\n  return '\0'\n", "is not Python"),
        (b"# coding: nonsense\ndef relu_backward(g): return g\n", "is not Python"),
        (b"\xff\xfe backward", "is not Python"),
        (b"backward = " + b"(" * 5000 + b")" * 5000, "is not Python"),
    ],
)
def test_what_cannot_be_parsed_is_said(source: bytes, said: str) -> None:
    answer = python_passes(source, Path("ops.py"))
    assert isinstance(answer, str)
    assert said in answer


def test_deep_nesting_is_said_or_searched() -> None:
    source = "def f_backward(g):\n    return " + "-" * 3000 + "g\n"
    assert python_passes(source.encode(), Path("ops.py"))


def test_other_encodings_are_read() -> None:
    source = "# coding: latin-1\n# \xe9\ndef caf\xe9_backward(g): return g\n".encode("latin-1")
    passes = python_passes(source, Path("ops.py"))
    assert [one.op for one in passes if isinstance(one, BackwardPass)] == ["caf\xe9"]
