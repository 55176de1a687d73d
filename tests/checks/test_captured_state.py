"""Backwards that answer for the inputs of another forward, in every way that an op can remember one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Finding, Verdict
from gradaudit.spec.case import Tolerance

Function = Callable[..., Any]
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
each_size = pytest.mark.parametrize("shape", [(3, 4), (20, 30)], ids=["exhaustive", "search"])


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def softmax(x: Any) -> Any:
    odds = np.exp(x - x.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


SLOPES: dict[str, tuple[Function, Function]] = {
    "sigmoid": (sigmoid, lambda u, y: u * y * (1 - y)),
    "tanh": (np.tanh, lambda u, y: u * (1 - y * y)),
    "softmax": (softmax, lambda u, y: y * (u - (u * y).sum(axis=-1, keepdims=True))),
    "elu": (
        lambda x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1),
        lambda u, y: u * np.where(y > 0, y.dtype.type(1), y + 1),
    ),
}
each_function = pytest.mark.parametrize("function", SLOPES)


class Remembering:
    """An op whose backward uses the output of its first forward, or of its last one."""

    def __init__(self, function: str, *, updated: bool) -> None:
        self.function, self.slope = SLOPES[function]
        self.updated = updated
        self.output: Any = None

    def forward(self, x: Any) -> Any:
        output = self.function(x)
        if self.output is None or self.updated:
            self.output = output.copy()
        return output

    def backward(self, u: Any, *_: Any) -> Any:
        return self.slope(u, self.output).astype(u.dtype)


def captured(audited: Audit) -> Finding:
    """Return the one finding of an audit that passed but for it."""
    (found,) = [finding for result in audited.results for finding in result.findings]
    assert found.code == "captured-state"
    assert {result.verdict for result in audited.results} <= {Verdict.FAIL, Verdict.PASS}
    assert Verdict.FAIL in {result.verdict for result in audited.results}
    assert sum(result.wrong for result in audited.results) == 0
    return found


@pytest.mark.parametrize("args", [("upstream", "x"), ("upstream", "output"), ("upstream",)], ids=str)
@each_dtype
@each_size
@each_function
def test_the_output_of_the_first_forward_is_captured(
    function: str, shape: tuple[int, ...], dtype: str, args: tuple[str, ...]
) -> None:
    op = Remembering(function, updated=False)
    found = captured(audit(op.forward, op.backward, array("x", shape, dtype=dtype), dtype=dtype, args=args))
    assert found.evidence["order"] == "forward(other), backward(other)"
    assert found.evidence["same_answer"] is True
    assert found.evidence["relative_error"] > 0.01


@pytest.mark.parametrize(("shape", "seed"), [((40, 50), 2), ((30, 40), 0), ((40, 50), 5)])
def test_a_first_output_is_captured_where_half_of_its_error_along_one_direction_is_tolerated(
    shape: tuple[int, ...], seed: int
) -> None:
    """A softmax in float16 was seen to be wrong along four directions of five: where answers are the same, more ask."""
    op = Remembering("softmax", updated=False)
    audited = audit(op.forward, op.backward, array("x", shape, dtype="float16"), dtype="float16", seed=seed)
    assert captured(audited).evidence["same_answer"] is True


@pytest.mark.parametrize("args", [("upstream", "x"), ("upstream", "output")], ids=str)
@each_dtype
@each_size
@each_function
def test_the_output_of_the_last_forward_in_the_place_of_what_is_given(
    function: str, shape: tuple[int, ...], dtype: str, args: tuple[str, ...]
) -> None:
    op = Remembering(function, updated=True)
    found = captured(audit(op.forward, op.backward, array("x", shape, dtype=dtype), dtype=dtype, args=args))
    assert found.evidence["order"] == "forward(x), forward(other), backward(x)"
    assert found.evidence["same_answer"] is True
    assert found.evidence["changed"] > 0


@each_dtype
@each_size
@each_function
def test_a_layer_that_is_given_nothing_else_may_use_its_last_forward(
    function: str, shape: tuple[int, ...], dtype: str
) -> None:
    op = Remembering(function, updated=True)
    audited = audit(op.forward, op.backward, array("x", shape, dtype=dtype), dtype=dtype, args=("upstream",))
    assert (only(audited).verdict, codes(audited)) == (Verdict.PASS, set())


class Stacked:
    """A layer whose forward pushes what its backward pops."""

    def __init__(self) -> None:
        self.saved: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.saved.append(x.copy())
        return np.sin(x)

    def backward(self, u: Any) -> Any:
        return u * np.cos(self.saved.pop())


@each_dtype
def test_a_layer_that_pops_what_it_pushed_is_right(dtype: str) -> None:
    op = Stacked()
    audited = audit(op.forward, op.backward, array("x", (3, 4), dtype=dtype), dtype=dtype, args=("upstream",))
    assert (only(audited).verdict, codes(audited)) == (Verdict.PASS, set())


@pytest.mark.parametrize("seed", range(3))
@each_size
def test_statistics_of_the_first_forward_are_captured_beside_an_input_that_is_used(
    shape: tuple[int, ...], seed: int
) -> None:
    kept: dict[str, Any] = {}

    def forward(x: Any) -> Any:
        return (x - kept.setdefault("mean", x.mean(axis=0)) * 0 - x.mean(axis=0)) ** 3

    def backward(u: Any, x: Any) -> Any:
        slope = 3 * u * (x - kept["mean"]) ** 2
        return slope - slope.mean(axis=0)

    found = captured(audit(forward, backward, array("x", shape), seed=seed))
    assert found.evidence["same_answer"] is False


def test_a_mask_that_is_captured_although_it_is_given() -> None:
    kept: list[Any] = []

    def forward(x: Any, mask: Any) -> Any:
        kept.append(mask.copy())
        return x * mask

    mask = array("mask", (30,), 0.0, 1.0, distribution="bernoulli", differentiable=False)
    captured(audit(forward, lambda u, x, mask: u * kept[0], array("x", (30,)), mask))


def test_explicit_values_are_changed_slightly_to_have_a_second_point() -> None:
    op = Remembering("sigmoid", updated=True)
    captured(audit(op.forward, op.backward, array("x", (3,), values=[0.25, -1.0, 2.0])))


def test_what_forward_was_not_told_anew_may_be_remembered() -> None:
    """A layer that keeps its input and is given its weight: it has to be right for both."""
    kept: list[Any] = [None]

    def forward(x: Any, weight: Any) -> Any:
        kept[0] = x.copy()
        return x * weight

    inputs = array("x", (5,)), array("weight", (5,))
    backward = lambda u, weight: (u * weight, u * kept[0])  # noqa: E731
    audited = audit(forward, backward, *inputs, args=("upstream", "weight"))
    assert {result.verdict for result in audited.results} == {Verdict.PASS}
    assert codes(audited) == set()


LINEAR: dict[str, tuple[Function, Function]] = {
    "a factor": (lambda x: 3 * x, lambda u, x: 3 * u),
    "a transposition": (lambda x: x.T, lambda u, x: u.T),
    "a sum": (lambda x: x.sum(axis=0), lambda u, x: np.broadcast_to(u, x.shape).copy()),
    "a constant": (lambda x: 0 * x, lambda u, x: 0 * u),
    "a magnitude far from its kink": (lambda x: np.abs(x + 9), lambda u, x: u),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@each_size
@pytest.mark.parametrize("name", LINEAR)
def test_a_gradient_that_is_the_same_everywhere_by_right(name: str, shape: tuple[int, ...], dtype: str) -> None:
    forward, backward = LINEAR[name]
    audited = audit(forward, backward, array("x", shape, dtype=dtype), dtype=dtype)
    assert "captured-state" not in codes(audited)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", [30, 2000])
def test_kinks_at_the_second_point_are_not_held_against_it(size: int, seed: int) -> None:
    """On a coarse grid many values are exactly at the kink, wherever they are drawn."""
    x = array("x", (size,), -3.0, 3.0, distribution="integers", dtype="float64")
    audited = audit(lambda x: np.maximum(x, 0), lambda u, x: u * (x > 0), x, seed=seed)
    assert (only(audited).wrong, "captured-state" in codes(audited)) == (0, False)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e3, 1e8])
def test_functions_on_another_scale_are_not_accused(scale: float) -> None:
    x = array("x", (600,), -scale, scale)
    audited = audit(lambda x: scale * np.sin(x / scale), lambda u, x: u * np.cos(x / scale), x)
    assert "captured-state" not in codes(audited)


@pytest.mark.parametrize("around", [lambda x: 1 / 0, lambda x: x[:2], lambda x: np.full_like(x, np.nan)], ids=range(3))
def test_a_forward_that_does_not_work_at_the_second_point_says_nothing(around: Function) -> None:
    near: list[Any] = []

    def forward(x: Any) -> Any:
        near.append(x.copy())
        return np.sin(x) if np.allclose(x, near[0], atol=0.2) else around(x)

    audited = audit(forward, lambda u, x: u * np.cos(x), array("x", (4,)), step=1e-4)
    assert (only(audited).verdict, codes(audited)) == (Verdict.PASS, set())


@pytest.mark.parametrize("seed", range(6, 12))
def test_an_error_within_the_tolerance_that_is_asked_for_is_allowed_at_the_second_point_too(seed: int) -> None:
    """Along a random direction it is small at one point and large at the other, by chance."""
    loose = Tolerance(rtol=0.05, atol=1e-6)
    found = audit(np.sin, lambda u, x: 1.04 * u * np.cos(x), array("x", (30, 40)), seed=seed, tolerance=loose)
    assert only(found).verdict is not Verdict.FAIL


def test_a_wrong_formula_is_wrong_and_not_captured() -> None:
    audited = audit(np.sin, lambda u, x: u)
    assert (only(audited).verdict, codes(audited)) == (Verdict.FAIL, set())
