"""Forwards that behave at the drawn input and not around it: outside the domain, or not one function at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, case_of, codes, only

from gradaudit.results import Verdict
from gradaudit.spec.draw import draw_inputs

Function = Callable[..., Any]


def root_or_raise(x: Any) -> Any:
    if (x < 0.0).any():
        raise ValueError("square root of a negative number")
    return np.sqrt(x)


def slope_of_root(u: Any, x: Any) -> Any:
    return 0.5 * u / np.sqrt(x)


def after(calls: int, forward: Function) -> Function:
    """Return the sine for the first calls, and then another function."""
    count = 0

    def changing(x: Any) -> Any:
        nonlocal count
        count += 1
        return np.sin(x) if count <= calls else forward(x)

    return changing


def only_at(point: Any, forward: Function) -> Function:
    """Return the sine at one point, and another function elsewhere."""
    return lambda x: np.sin(x) if np.array_equal(x, point) else forward(x)


def slope_of_sin(u: Any, x: Any) -> Any:
    return u * np.cos(x)


NEAR_THE_EDGE = [1e-3, 1e-6, 1e-9, 1e-15]


@pytest.mark.parametrize("x0", NEAR_THE_EDGE)
@pytest.mark.parametrize("forward", [root_or_raise, np.sqrt], ids=["raises", "returns NaN"])
class TestNearTheEdgeOfTheDomain:
    def test_a_right_gradient_passes(self, forward: Function, x0: float) -> None:
        audited = audit(forward, slope_of_root, array("x", (3,), x0, 2 * x0))
        assert (only(audited).verdict, only(audited).wrong) == (Verdict.PASS, 0)

    def test_a_wrong_gradient_fails(self, forward: Function, x0: float) -> None:
        audited = audit(forward, lambda u, x: 1.01 * slope_of_root(u, x), array("x", (3,), x0, 2 * x0))
        assert (only(audited).verdict, only(audited).wrong) == (Verdict.FAIL, 3)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("x0", [1e-2, 1e-4, 1e-6, 1e-8])
class TestLogarithmNearZero:
    def test_a_right_gradient_is_not_accused(self, x0: float, dtype: str) -> None:
        audited = audit(np.log, lambda u, x: u / x, array("x", (3,), x0, 2 * x0, dtype=dtype), dtype=dtype)
        assert only(audited).verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
        assert only(audited).wrong == 0

    def test_a_wrong_gradient_does_not_pass(self, x0: float, dtype: str) -> None:
        x = array("x", (3,), x0, 2 * x0, dtype=dtype)
        audited = audit(np.log, lambda u, x: (1.01 * u / x).astype(x.dtype), x, dtype=dtype)
        assert only(audited).verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize(
    "around",
    [
        lambda x: 1 / 0,
        lambda x: np.full_like(x, np.nan),
        lambda x: np.full_like(x, np.inf),
    ],
    ids=["raises", "NaN", "infinity"],
)
def test_a_forward_that_works_at_its_input_only_decides_nothing(around: Function) -> None:
    drawn = draw_inputs(case_of(np.sin, slope_of_sin))["x"]
    for backward in (slope_of_sin, lambda u, x: -slope_of_sin(u, x)):
        audited = audit(only_at(drawn, around), backward)
        result = only(audited)
        assert (result.verdict, result.expected) == (Verdict.INCONCLUSIVE, False)
        assert codes(audited) == {"out-of-domain"}
        assert not result.findings[0].fails
        assert "12" in result.findings[0].message
        assert len(result.mismatches) == 12


def test_one_index_at_the_very_edge_does_not_hide_the_others() -> None:
    def forward(x: Any) -> Any:
        if (x < 0.0).any():
            raise ValueError("negative")
        return x**1.5

    x = array("x", (4,), values=[0.5, 1.0, 0.0, 2.0])
    right = only(audit(forward, lambda u, x: 1.5 * u * np.sqrt(x), x))
    assert right.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)
    assert {found.index for found in right.mismatches} <= {(2,)}
    wrong = only(audit(forward, lambda u, x: 1.5 * u * np.sqrt(x) * np.array([1.0, 1.01, 1.0, 1.0]), x))
    assert wrong.verdict is Verdict.FAIL
    assert [found.index for found in wrong.mismatches] == [(1,)]


@pytest.mark.parametrize(
    "around",
    [
        lambda x: np.sin(x)[:2],
        lambda x: np.sin(x)[None, :, :2],
        lambda x: np.sin(x).T,
        lambda x: np.sin(x).reshape(-1),
        lambda x: np.concatenate([np.sin(x), np.sin(x)]),
        lambda x: np.float64(0.5),
    ],
    ids=["fewer", "other axes", "transposed", "flat", "more", "scalar"],
)
def test_an_output_that_changes_its_shape_is_an_error(around: Function) -> None:
    audited = audit(after(6, around), slope_of_sin)
    result = only(audited)
    assert (result.verdict, result.expected, result.mismatches) == (Verdict.ERROR, False, ())
    assert "perturbed input" in result.message
    assert "forward" in result.message


@pytest.mark.parametrize(
    "around",
    [lambda x: (np.sin(x),), lambda x: np.sin(x), lambda x: (np.sin(x), None), lambda x: (np.sin(x), x > 0)],
    ids=["tuple of one", "an array", "None in its place", "a mask in its place"],
)
def test_an_output_that_goes_missing_is_an_error(around: Function) -> None:
    calls = 0

    def forward(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return (np.sin(x), x**2) if calls <= 6 else around(x)

    result = only(audit(forward, lambda u, x: u[0] * np.cos(x) + 2.0 * x * u[1]))
    assert (result.verdict, result.mismatches) == (Verdict.ERROR, ())
    assert "perturbed input" in result.message


def test_a_shape_that_depends_on_the_values_of_another_input_is_an_error_for_that_one_only() -> None:
    # The number of rows kept depends on y, which sits right at the threshold.
    audited = audit(
        lambda x, y: np.sin(x) * y.sum() if (y >= 1.0).all() else (np.sin(x) * y.sum())[:-1],
        lambda u, x, y: (u * np.cos(x) * y.sum(), np.full(y.shape, (u * np.sin(x)).sum())),
        array("x", (3,)),
        array("y", (2,), values=[1.0, 1.0]),
    )
    assert [result.verdict for result in audited.results] == [Verdict.PASS, Verdict.ERROR]


@pytest.mark.parametrize("method", ["exhaustive", "search"])
def test_a_number_beside_which_no_step_is_too_large_comes_to_an_end(method: str) -> None:
    x = array("x", (2,), values=np.array([1.0, 1e308]))
    result = only(audit(lambda x: np.full(x.shape, 3.0), lambda u, x: 1e-3 * u, x, method=method))
    assert result.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("method", ["exhaustive", "search"])
@pytest.mark.parametrize("size", [1, 3])
def test_numbers_at_the_end_of_the_range_hide_no_error(size: int, method: str) -> None:
    """What is extrapolated there is infinite, and no error is larger than a part of that."""
    x = array("x", (size,), 0.1, 1.0)
    wrong = only(audit(lambda x: 1e308 * np.sin(x), lambda u, x: 1.01e308 * u * np.cos(x), x, method=method))
    right = only(audit(lambda x: 1e308 * np.sin(x), lambda u, x: 1e308 * u * np.cos(x), x, method=method))
    assert wrong.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    assert right.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("place", [0, 3])
def test_where_no_path_can_be_walked_an_audit_ends_all_the_same(place: int) -> None:
    """Inputs are so large that what they are displaced by, times what is claimed of it, is more than any number."""
    drawn = np.random.default_rng(0).uniform(-1.5, 1.5, 5)

    def wrong(u: Any, x: Any) -> Any:
        gradient = u * np.cos(x / 1e200)
        gradient[place] *= 1.05
        return gradient

    x = array("x", (5,), values=1e200 * drawn)
    assert only(audit(lambda x: 1e200 * np.sin(x / 1e200), wrong, x)).verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
