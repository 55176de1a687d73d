"""Forwards that compute in float32 whatever they are given: right ones are not accused, errors of 5% are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only
from softmax_pair import softmax, softmax_backward

from gradaudit.results import Result, Verdict

Function = Callable[..., Any]


FUNCTIONS: dict[str, tuple[Function, Function]] = {
    "sine": (np.sin, lambda u, x: u * np.cos(x)),
    "exponential": (np.exp, lambda u, x: u * np.exp(x)),
    "cube": (lambda x: x * x * x, lambda u, x: 3.0 * u * x * x),
    "softmax": (softmax, softmax_backward),
}


def single_precision_only(f: Function) -> Function:
    def forward(x: Any) -> Any:
        if x.dtype != np.float32:
            raise TypeError(f"expected float32, found {x.dtype}")
        return f(x)

    return forward


FORMS: dict[str, Callable[[Function], Function]] = {
    "returns float32": lambda f: lambda x: f(x.astype(np.float32)),
    "returns float64": lambda f: lambda x: f(x.astype(np.float32)).astype(np.float64),
    "refuses other dtypes": single_precision_only,
}
FORMS_AND_DTYPES = [
    (form, dtype)
    for form in FORMS
    for dtype in ("float32", "float64")
    if not (form == "refuses other dtypes" and dtype == "float64")
]
SEEDS = range(12)


def audited(function: str, form: str, dtype: str, seed: int, spoil: Callable[[Any], Any] = lambda g: g) -> Result:
    f, backward = FUNCTIONS[function]
    x = array("x", (4, 5), -1.5, 1.5, dtype=dtype)
    op = FORMS[form](f)
    return only(audit(op, lambda u, x: spoil(backward(u, x).astype(x.dtype)), x, dtype=dtype, seed=seed))


@pytest.mark.parametrize(("form", "dtype"), FORMS_AND_DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_right_gradient_passes_and_the_report_says_how(function: str, form: str, dtype: str) -> None:
    results = [audited(function, form, dtype, seed) for seed in SEEDS]
    assert {result.verdict for result in results} == {Verdict.PASS}
    assert max(result.resolution for result in results) <= 0.05
    assert all("float32" in result.message for result in results)


@pytest.mark.parametrize(("form", "dtype"), FORMS_AND_DTYPES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_an_error_of_five_percent_at_one_index_is_found_there(function: str, form: str, dtype: str) -> None:
    place: list[tuple[int, ...]] = []

    def spoil(gradient: Any) -> Any:
        if not place:  # a fault of the op's, at the same index for every upstream
            place[:] = [tuple(int(k) for k in np.unravel_index(np.abs(gradient).argmax(), gradient.shape))]
        gradient[place[0]] *= 1.05
        return gradient

    for seed in SEEDS[:3]:
        place.clear()
        result = audited(function, form, dtype, seed, spoil)
        assert result.verdict is Verdict.FAIL, (seed, result.message)
        assert [found.index for found in result.mismatches] == place, seed


def small_difference(x: Any) -> Any:
    return (np.float32(1) + x.astype(np.float32)).astype(x.dtype)


def test_what_computes_in_float32_and_returns_float64_is_told_and_passes() -> None:
    for seed in range(10):
        result = only(audit(small_difference, lambda u, x: u, array("x", (20,), 1e-3, 1.0), seed=seed))
        assert result.verdict is Verdict.PASS, result.message
        assert result.rtol == 1e-2
        assert result.message == "differenced in float32: forward does not compute in float64"


@pytest.mark.parametrize(
    "forward",
    [np.floor, np.sign, lambda x: np.maximum(x, 0), lambda x: np.sort(x)],
    ids=["floor", "sign", "relu", "sort"],
)
def test_round_numbers_are_no_narrower_dtype(forward: Any) -> None:
    for seed in range(10):
        x = array("x", (40,), -3, 3, distribution="integers")
        result = only(audit(forward, lambda u, x: 0 * u, x, seed=seed))
        assert "float32" not in result.message
        assert result.rtol == 1e-7


def test_a_saturated_softmax_in_float32_leans_on_no_earlier_forward() -> None:
    def inside(x: Any) -> Any:
        return softmax(x.astype(np.float32)).astype(x.dtype)

    for seed in range(100, 130):
        x = array("x", (7,), -22.8, 22.8, dtype="float16")
        made = audit(inside, softmax_backward, x, dtype="float16", seed=seed)
        assert "captured-state" not in codes(made)


@pytest.mark.parametrize("far", [3e2, 3e3, 3e4])
@pytest.mark.parametrize("method", ["exhaustive", "search"])
def test_a_sawtooth_that_cancellation_makes_of_a_function_does_not_speak_against_its_gradient(
    far: float, method: str
) -> None:
    """What is left of large numbers rises along the teeth that rounding cuts, a thousand times steeper than it does."""
    forward = FORMS["returns float64"](lambda x: (x + far) ** 2 - far * far - 2 * far * x)
    ended = [
        only(audit(forward, lambda u, x: 2 * u * x, array("x", (2, 3, 5)), method=method, seed=seed)).verdict
        for seed in range(4)
    ]
    assert Verdict.FAIL not in ended
