"""Backwards that ignore the upstream gradient or bend it, and right ones at the edges of their dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import array, audit, codes, only

from gradaudit.results import Verdict
from gradaudit.spec.case import Tolerance

Function = Callable[..., Any]
DTYPES = ["float64", "float32", "float16", "bfloat16"]
LINEARITY = {"upstream-ignored", "nonlinear-upstream"}


def slope(x: Any) -> Any:
    return np.cos(x)


IGNORING: dict[str, tuple[Function, Function]] = {
    "a loss whose backward has no chain rule": (lambda x: (x * x).sum(), lambda u, x: 2 * x),
    "ones in the place of the upstream": (np.sin, lambda u, x: slope(x)),
    "its sign averaged away": (lambda x: x.mean(), lambda u, x: np.ones_like(x) / x.dtype.type(x.size)),
}
BENDING: dict[str, Function] = {
    "a constant added": lambda u, x: u * slope(x) + x.dtype.type(0.25),
    "clipped": lambda u, x: np.clip(u, -1, 1) * slope(x),
    "its magnitude": lambda u, x: np.abs(u) * slope(x),
    "its sign": lambda u, x: np.sign(u) * slope(x),
    "squared": lambda u, x: u * u * slope(x),
    "normalised": lambda u, x: u / np.abs(u).max() * slope(x),
    "only where it is positive": lambda u, x: np.maximum(u, 0) * slope(x),
}


@pytest.mark.parametrize("upstream", ["random", "ones"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", IGNORING)
def test_a_gradient_that_is_the_same_for_any_upstream_ignores_it(name: str, dtype: str, upstream: str) -> None:
    forward, backward = IGNORING[name]
    x = array("x", (3, 4), 0.5, 1.2, dtype=dtype)
    audited = audit(forward, lambda u, x: backward(u, x).astype(x.dtype), x, dtype=dtype, upstream=upstream)
    assert only(audited).verdict is Verdict.FAIL
    assert codes(audited) & LINEARITY == {"upstream-ignored"}
    assert "upstream" in only(audited).findings[0].message


@pytest.mark.parametrize("shape", [(3, 4), (20, 26)], ids=["exhaustive", "search"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BENDING)
def test_a_gradient_that_bends_the_upstream_is_nonlinear(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    x = array("x", shape, -1.0, 1.0, dtype=dtype)
    audited = audit(np.sin, lambda u, x: BENDING[name](u, x).astype(x.dtype), x, dtype=dtype)
    assert only(audited).verdict is Verdict.FAIL
    assert codes(audited) & LINEARITY == {"nonlinear-upstream"}
    (found,) = [finding for finding in only(audited).findings if finding.code == "nonlinear-upstream"]
    assert 0 < found.evidence["changed"] <= found.evidence["size"]
    assert abs(found.evidence["expected"] - found.evidence["found"]) == pytest.approx(found.evidence["largest"])


def test_the_gradient_of_one_input_is_named_and_the_other_left_in_peace() -> None:
    x, y = audit(
        lambda x, y: x * y, lambda u, x, y: (u * y, x + 0 * u), array("x", (3,)), array("y", (3,), 0.5, 1.0)
    ).results
    assert (x.verdict, x.findings) == (Verdict.PASS, ())
    assert "upstream-ignored" in {finding.code for finding in y.findings}


def test_one_of_two_upstreams_used_twice_is_nonlinear() -> None:
    backward = lambda u, x: u[0] * slope(x) + u[1] * u[0]  # noqa: E731
    assert "nonlinear-upstream" in codes(audit(lambda x: (np.sin(x), x), backward, array("x", (5,))))


RIGHT: dict[str, tuple[Function, Function]] = {
    "zero everywhere": (lambda x: np.floor(x) * 0, lambda u, x: 0 * u),
    "one class of a softmax": (lambda x: np.exp(x) / np.exp(x), lambda u, x: (u - u) * x),
    "linear": (lambda x: 3 * x, lambda u, x: 3 * u),
    "sine": (np.sin, lambda u, x: u * slope(x)),
    "sum": (lambda x: x.sum(), lambda u, x: np.full_like(x, u)),
    "difference of neighbours": (lambda x: np.diff(x), lambda u, x: -np.diff(np.pad(u, ((0, 0), (1, 1))))),
    "centred": (lambda x: x - x.mean(-1, keepdims=True), lambda u, x: u - u.mean(-1, keepdims=True)),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("upstream", ["random", "ones"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_are_not_accused(name: str, dtype: str, upstream: str, seed: int) -> None:
    forward, backward = RIGHT[name]
    x = array("x", (3, 4), dtype=dtype)
    audited = audit(forward, backward, x, dtype=dtype, upstream=upstream, seed=seed)
    assert codes(audited) & LINEARITY == set()


@settings(deadline=None, max_examples=40, derandomize=True)
@given(
    exponent=st.integers(-20, 14),
    steepness=st.floats(-8.0, 8.0),
    dtype=st.sampled_from(["float16", "bfloat16", "float32"]),
)
def test_tiny_and_huge_upstreams_are_not_held_against_a_narrow_dtype(
    exponent: int, steepness: float, dtype: str
) -> None:
    def backward(u: Any, x: Any) -> Any:
        return (u * np.tanh(x) * x.dtype.type(steepness)).astype(x.dtype)

    def forward(x: Any) -> Any:
        return x.dtype.type(steepness) * np.log(np.cosh(x))

    x = array("x", (4,), dtype=dtype)
    audited = audit(forward, backward, x, dtype=dtype, upstream=[1.5 * 2.0**exponent] * 4)
    assert codes(audited) & LINEARITY == set()


@pytest.mark.parametrize("rtol", [1e-5, 1e-4])
def test_a_backward_that_computes_in_float32_inside_is_linear_as_far_as_asked(rtol: float) -> None:
    def backward(u: Any, x: Any) -> Any:
        return (u.astype("f4") * np.cos(x.astype("f4"))).astype(x.dtype)

    audited = audit(np.sin, backward, tolerance=Tolerance(rtol, 1e-7))
    assert only(audited).verdict is Verdict.PASS
    assert codes(audited) & LINEARITY == set()


def test_an_upstream_that_backward_refuses_says_nothing() -> None:
    first: list[bytes] = []

    def picky(u: Any, x: Any) -> Any:
        first.append(u.tobytes())
        if u.tobytes() != first[0]:
            raise ValueError("not the upstream of the training loop")
        return u * slope(x)

    audited = audit(np.sin, picky)
    assert (only(audited).verdict, codes(audited)) == (Verdict.PASS, set())


def test_a_number_that_is_missing_does_not_make_a_gradient_nonlinear() -> None:
    """NaN stands for what was not measured: forward leaves it out, and its gradient is zero."""

    def mean_of_known(x: Any) -> Any:
        return np.nanmean(x, 1)

    def backward(u: Any, x: Any) -> Any:
        known = ~np.isnan(x)
        return np.where(known, (u / known.sum(1))[:, None], 0)

    values = np.random.default_rng(0).normal(size=(6, 8))
    values[[0, 2, 3], [1, 5, 0]] = np.nan
    found = audit(mean_of_known, backward, array("x", (6, 8), values=values.tolist()))
    assert codes(found) == {"out-of-domain"}
    assert only(found).verdict is Verdict.INCONCLUSIVE
