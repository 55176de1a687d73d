"""Backward passes in other languages, found by patterns."""

from __future__ import annotations

import textwrap
import threading
from pathlib import Path

import pytest

from gradaudit.coverage import pattern_passes as fenced
from gradaudit.coverage.pattern_passes import PatternError, compiled_patterns, pattern_passes, patterns_for

LANGUAGES = {
    "ops.mojo": (
        """
        fn relu(x: Tensor) -> Tensor:
            return x
        fn relu_backward(grad: Tensor, x: Tensor) raises -> Tensor:
            return relu_backward_kernel(grad, x)
        def add_backward[dtype: DType](grad: Tensor) -> Tensor:
            return grad
        fn add_backward(grad: Tensor) -> Tensor:
            return grad
        """,
        {"relu": 4, "add": 6},
    ),
    "ops.rs": (
        """
        pub fn gelu_backward(g: &[f32], x: &[f32]) -> Vec<f32> { g }
        fn scale_vjp<T>(g: T) -> T { g }
        let y = gelu_backward(g, x);
        """,
        {"gelu": 2, "scale": 3},
    ),
    "ops.cpp": (
        """
        Tensor relu_backward(const Tensor& g, const Tensor& x);
        Tensor relu_backward(
            const Tensor& g, const Tensor& x) {
          if (relu_backward(g, x)) { return g; }
          return softmax_backward(g);
        }
        std::vector<at::Tensor>
        Layer::norm_backward(at::Tensor g)
        {
        }
        """,
        {"relu": 3, "norm": 9},
    ),
    "kernel.cu": ("__global__ void\nswish_backward(float* g, int n) {\n}\n", {"swish": 2}),
    "rules.jl": (
        """
        function ChainRulesCore.rrule(::typeof(sigmoid), x)
        end
        softmax_backward(g, y) = g .* y
        function tanh_pullback(g, y)
        end
        called_backward(g, y)
        z = called_backward(g, y) == 3
        function rrule(config::RuleConfig, ::typeof(Base.exp), x)
        end
        @adjoint relu(x) = x, g -> (g,)
        """,
        {"sigmoid": 2, "softmax": 4, "tanh": 5, "Base.exp": 9, "relu": 11},
    ),
    "ops.go": ("func ReluBackward(g []float64) []float64 {\n", {"Relu": 1}),
    "ops.swift": ("@derivative(of: square)\nfunc vjpSquare() {}\n", {"square": 1}),
}


@pytest.mark.parametrize("name", LANGUAGES)
def test_backward_passes_are_found_in_each_language_by_name_and_line(name: str) -> None:
    source, expected = LANGUAGES[name]
    fitting = patterns_for(name, compiled_patterns({}))
    passes = pattern_passes(textwrap.dedent(source).encode(), Path(name), fitting)
    assert {one.op: one.line for one in passes} == expected  # type: ignore[union-attr]


def test_a_projects_own_pattern() -> None:
    patterns = compiled_patterns({"*.f90": r"subroutine (?P<op>\w+)_adjoint"})
    (fitting,) = patterns_for("ops.f90", patterns)
    (one,) = pattern_passes(b"! x\nsubroutine burgers_adjoint(u)\n", Path("ops.f90"), [fitting])
    assert (one.op, one.name, one.line) == ("burgers", "burgers_adjoint", 2)  # type: ignore[union-attr]


def test_it_replaces_what_is_built_in_for_the_same_files() -> None:
    assert len(patterns_for("a.mojo", compiled_patterns({"*.mojo": "(?P<op>x)"}))) == 1


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        (r"fn (\w+)_backward", "needs a group"),
        (r"fn (?P<ops>\w+)_backward", "found ops: fn"),
        (r"fn (?P<op>\w+_backward", "is not a regular expression"),
        (r"(?P<op>a{99999999999999})", "is not a regular expression"),
    ],
)
def test_expressions_that_cannot_be_used(expression: str, said: str) -> None:
    with pytest.raises(PatternError, match=r"\*\.x") as error:
        compiled_patterns({"*.x": expression})
    assert said in str(error.value)


def test_endless_backtracking_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fenced, "TIME_LIMIT", 0.05)
    patterns = patterns_for("a.x", compiled_patterns({"*.x": r"(?P<op>(a+)+)$"}))
    answer = pattern_passes(b"a" * 60 + b"!", Path("a.x"), patterns)
    assert isinstance(answer, str)
    assert "took the pattern longer" in answer


def test_outside_of_the_main_thread_it_searches_without_a_limit() -> None:
    answers: list[object] = []
    patterns = patterns_for("a.rs", compiled_patterns({}))
    thread = threading.Thread(target=lambda: answers.append(pattern_passes(b"fn a_backward(", Path("a.rs"), patterns)))
    thread.start()
    thread.join()
    assert len(answers[0]) == 1  # type: ignore[arg-type]


def test_binary_files_and_odd_bytes() -> None:
    patterns = patterns_for("a.rs", compiled_patterns({}))
    assert pattern_passes(b"fn a_backward(\0", Path("a.rs"), patterns) == "is a binary file"
    (one,) = pattern_passes(b"\xff\xfe\r\nfn a_backward(", Path("a.rs"), patterns)
    assert (one.op, one.line) == ("a", 2)  # type: ignore[union-attr]
