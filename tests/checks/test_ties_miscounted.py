"""Equal elements whose gradients are right one by one, and what they come to together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import array, audit, codes, only

from gradaudit.results import Finding, Verdict

Function = Callable[..., Any]

CODE = "ties-miscounted"
each_method = pytest.mark.parametrize("method", ["exhaustive", "search"])
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])


def ties(x: Any) -> Any:
    return x == x.max(-1, keepdims=True)


def maximum(x: Any) -> Any:
    return x.max(-1)


def sharing(weigh: Callable[[Any], Any]) -> Function:
    """Return the backward of a maximum that gives each tied element such a part."""
    return lambda u, x: (u[..., None] * weigh(ties(x))).astype(x.dtype)


def of_all(tied: Any) -> Any:
    return tied.sum(-1, keepdims=True)


RIGHT: dict[str, Function] = {
    "shared": sharing(lambda tied: tied / of_all(tied)),
    "to the first": sharing(lambda tied: tied & (tied.cumsum(-1) == 1)),
    "to the last": sharing(lambda tied: tied & (tied.cumsum(-1) == of_all(tied))),
    "by position": sharing(lambda tied: tied * np.arange(1, 7) / (tied * np.arange(1, 7)).sum(-1, keepdims=True)),
}

WRONG: dict[str, Function] = {
    "all of it to each": sharing(lambda tied: tied),
    "none": sharing(lambda tied: tied & (of_all(tied) == 1)),
    "half of it to each": sharing(lambda tied: tied / np.where(of_all(tied) == 2, 4, of_all(tied))),
    "a hair too much": sharing(lambda tied: 1.02 ** (of_all(tied) > 1) * tied / of_all(tied)),
}


def on_a_grid(dtype: str = "float64", shape: tuple[int, ...] = (5, 6)) -> Any:
    return array("x", shape, -2, 2, dtype=dtype, distribution="integers")


def told(audited: Any) -> Finding:
    (found,) = [finding for result in audited.results for finding in result.findings if finding.fails]
    return found


@each_method
@each_dtype
@pytest.mark.parametrize("name", [*RIGHT, *WRONG])
def test_shares_are_right_if_they_add_up(name: str, dtype: str, method: str) -> None:
    for seed in range(2):
        made = audit(maximum, (RIGHT | WRONG)[name], on_a_grid(dtype), dtype=dtype, method=method, seed=seed)
        if name in RIGHT:
            assert only(made).verdict is Verdict.PASS, only(made).message
            assert codes(made) <= {"kink"}
        else:
            assert (only(made).verdict, told(made).code) == (Verdict.FAIL, CODE)


@pytest.mark.parametrize("name", RIGHT)
def test_a_maximum_computed_in_float32_inside_is_right_too(name: str) -> None:
    def forward(x: Any) -> Any:
        return maximum(np.exp(x.astype(np.float32) / 3)).astype(x.dtype)

    def backward(u: Any, x: Any) -> Any:
        return RIGHT[name](u, x) * np.exp(x / 3) / 3

    for seed in range(3):
        made = audit(forward, backward, on_a_grid(), seed=seed)
        assert only(made).verdict is not Verdict.FAIL, only(made).message


def test_a_factor_of_ten_times_the_tolerance_is_seen() -> None:
    def backward(u: Any, x: Any) -> Any:
        return RIGHT["shared"](u, x) * (1 + 1e-6 * ((ties(x).sum(-1, keepdims=True) > 1) & ties(x)))

    for seed in range(3):
        assert told(audit(maximum, backward, on_a_grid(shape=(1, 20)), seed=seed)).code == CODE


def test_what_is_told_is_what_was_seen() -> None:
    x = array("x", (2, 3), values=((1.0, 1.0, -0.5), (-1.5, 0.5, 0.25)))
    made = audit(maximum, WRONG["all of it to each"], x, upstream=(3.0, 1.0))
    evidence = told(made).evidence
    assert (evidence["array"], evidence["value"], evidence["elements"]) == ("x", 1.0, 2)
    assert (evidence["claimed"], evidence["slope"]) == pytest.approx((6.0, 3.0))


@pytest.mark.parametrize("tied", [(np.greater_equal, np.less_equal), (np.greater, np.less)], ids=["twice", "never"])
def test_two_inputs_that_tie_with_each_other_are_moved_together(tied: tuple[Function, Function]) -> None:
    def backward(u: Any, x: Any, y: Any) -> Any:
        return u * tied[0](x, y), u * tied[1](x, y)

    def one_of_them(u: Any, x: Any, y: Any) -> Any:
        return u * (x >= y), u * (x < y)

    x, y = on_a_grid(), array("y", (5, 6), -2, 2, distribution="integers")
    assert told(audit(np.maximum, backward, x, y)).code == CODE
    made = audit(np.maximum, one_of_them, x, y)
    assert {result.verdict for result in made.results} == {Verdict.PASS}


@settings(max_examples=25)
@given(st.lists(st.floats(0.0, 1.0), min_size=30, max_size=30), st.integers(0, 2**16))
def test_kinks_that_are_no_ties_may_each_have_a_slope_of_their_own(parts: list[float], seed: int) -> None:
    part = np.reshape(parts, (5, 6))
    made = audit(
        lambda x: np.maximum(x, 0.0), lambda u, x: u * np.where(x == 0.0, part, x > 0.0), on_a_grid(), seed=seed
    )
    assert only(made).verdict is Verdict.PASS, only(made).message


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (np.abs, lambda u, x: u * np.sign(x)),
        (lambda x: np.sqrt((x * x).sum(-1)), lambda u, x: u[:, None] * x / np.sqrt((x * x).sum(-1, keepdims=True))),
        (lambda x: np.clip(x, -1, 1), lambda u, x: u * (np.abs(x) <= 1)),
        (lambda x: np.sort(x, -1), lambda u, x: np.take_along_axis(u, np.argsort(np.argsort(x, -1), -1), -1)),
        (lambda x: x.max(-1) - x.min(-1), lambda u, x: RIGHT["shared"](u, x) - RIGHT["shared"](u, -x)),
        (lambda x: np.square(np.maximum(x[:, :3], x[:, 3:])), lambda u, x: _squared_backward(u, x)),
    ],
    ids=["abs", "norm", "clip", "sort", "range", "square of a maximum"],
)
def test_right_ops_with_kinks_are_left_in_peace(forward: Function, backward: Function) -> None:
    for seed in range(3):
        made = audit(forward, backward, on_a_grid(), seed=seed)
        assert CODE not in codes(made)
        assert only(made).verdict is not Verdict.FAIL


def _squared_backward(u: Any, x: Any) -> Any:
    left, right = x[:, :3], x[:, 3:]
    return np.concatenate([2 * u * left * (left >= right), 2 * u * right * (left < right)], -1)
