"""The cost of an audit in its own unit: calls of forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, only

from gradaudit.results import Verdict

Function = Callable[..., Any]

CONSTANT = 96
"""Evaluations that do not depend on the size of the input: measuring the noise of forward, a few second looks, and what
rounding must cost, where a claim is not within the rest of what is allowed."""

FEW = 40
"""Evaluations that root tests of a smooth op take, most of them to find a step."""

SMOOTH: dict[str, tuple[Function, Function]] = {
    "sine": (np.sin, lambda u, x: u * np.cos(x)),
    "exponential": (np.exp, lambda u, x: u * np.exp(x)),
    "linear": (lambda x: 3.0 * x, lambda u, x: 3.0 * u),
    "transposition": (lambda x: x.T, lambda u, x: u.T),
    "hyperbolic tangent": (np.tanh, lambda u, x: u / np.cosh(x) ** 2),
    "sum of squares": (lambda x: (x * x).sum(), lambda u, x: 2.0 * u * x),
    "softmax": (
        lambda x: np.exp(x) / np.exp(x).sum(),
        lambda u, x: (y := np.exp(x) / np.exp(x).sum()) * (u - (u * y).sum()),
    ),
}


def counted(function: Function) -> tuple[Function, list[int]]:
    calls = [0]

    def counting(*arguments: Any) -> Any:
        calls[0] += 1
        return function(*arguments)

    return counting, calls


@pytest.mark.parametrize("shape", [(), (7,), (8, 8), (10, 20)], ids=str)
@pytest.mark.parametrize("name", SMOOTH)
def test_four_forwards_for_an_element_settle_a_smooth_op(name: str, shape: tuple[int, ...]) -> None:
    forward, backward = SMOOTH[name]
    result = only(audit(forward, backward, array("x", shape), method="exhaustive"))
    assert result.verdict is Verdict.PASS
    assert result.evaluations <= 4 * result.size + CONSTANT


@pytest.mark.parametrize("name", SMOOTH)
def test_a_wrong_gradient_costs_a_few_second_looks_at_each_index(name: str) -> None:
    forward, backward = SMOOTH[name]
    result = only(audit(forward, lambda u, x: 1.01 * backward(u, x), array("x", (8, 8)), method="exhaustive"))
    assert (result.verdict, result.wrong) == (Verdict.FAIL, 64)
    assert result.evaluations <= 16 * result.size + CONSTANT


@pytest.mark.parametrize("shape", [(7,), (8, 8), (10, 20), (100, 100)], ids=str)
@pytest.mark.parametrize("name", SMOOTH)
def test_a_right_gradient_takes_as_many_whatever_its_size(name: str, shape: tuple[int, ...]) -> None:
    result = only(audit(*SMOOTH[name], array("x", shape)))
    assert (result.verdict, result.method, result.checked) == (Verdict.PASS, "search", result.size)
    assert result.evaluations <= FEW


def test_an_audit_that_cannot_begin_costs_nothing() -> None:
    result = only(audit(np.sin, lambda u, x: None))
    assert result.evaluations == 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_forward_is_counted_once(dtype: str) -> None:
    forward, calls = counted(lambda x, y: np.sin(x) * y)
    backward = lambda u, x, y: (u * np.cos(x) * y, u * np.sin(x))  # noqa: E731
    audited = audit(forward, backward, array("x", (5,), dtype=dtype), array("y", (5,), dtype=dtype), dtype=dtype)
    assert sum(result.evaluations for result in audited.results) + audited.check_evaluations == calls[0]


@pytest.mark.parametrize("name", sorted(set(SMOOTH) - {"exponential", "softmax"}))
def test_the_whole_audit_of_a_small_right_op_takes_ten_forwards_and_four_backwards(name: str) -> None:
    result = only(audit(*SMOOTH[name], array("x", (3, 4))))
    assert (result.verdict, result.forwards, result.backwards) == (Verdict.PASS, 10, 4)


def test_the_whole_audit_of_a_million_elements_takes_no_more() -> None:
    result = only(audit(*SMOOTH["sine"], array("x", (1000, 1000))))
    assert (result.verdict, result.forwards, result.backwards) == (Verdict.PASS, 10, 4)


def test_backward_is_called_four_times_in_double_precision() -> None:
    backward, calls = counted(lambda u, x, y: (u * y, u * x))
    audit(lambda x, y: x * y, backward, array("x", (5,)), array("y", (5,)))
    # For the gradient; for an upstream that is stretched; at another point; and at the first one after that.
    assert calls == [4]
