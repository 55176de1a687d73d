"""Right gradients at kinks: curves that turn there too, and ties of several elements, each with its own derivative."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only

from gradaudit.results import Verdict

METHODS = ("exhaustive", "search")


def hard_swish(x: Any) -> Any:
    return x * np.clip(x + 3, 0, 6) / 6


def hard_swish_backward(u: Any, x: Any) -> Any:
    return u * np.where(x < -3, 0, np.where(x > 3, 1, (2 * x + 3) / 6))


def in_float32(x: Any) -> Any:
    return hard_swish(x.astype(np.float32)).astype(x.dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("forward", [hard_swish, in_float32], ids=["in float64", "in float32 inside"])
def test_a_curve_that_turns_at_a_kink_is_right_with_either_slope(forward: Any, method: str) -> None:
    for seed in range(6):
        x = array("x", (30,), -3, 3, distribution="integers")
        result = only(audit(forward, hard_swish_backward, x, method=method, seed=seed))
        assert result.verdict is Verdict.PASS, result.message
        assert {finding.code for finding in result.findings} <= {"kink"}


def test_a_slope_beyond_both_is_wrong() -> None:
    def beyond(u: Any, x: Any) -> Any:
        return hard_swish_backward(u, x) + 0.01 * u * np.sign(x) * (np.abs(x) == 3)

    x = array("x", (30,), -3, 3, distribution="integers")
    for seed in range(5):
        result = only(audit(hard_swish, beyond, x, method="exhaustive", seed=seed))
        assert result.verdict is Verdict.FAIL


def sort(x: Any) -> Any:
    return np.sort(x, -1, kind="stable")


def sort_backward(u: Any, x: Any) -> Any:
    ranks = np.argsort(np.argsort(x, -1, kind="stable"), -1)
    return np.take_along_axis(u, ranks, -1)


@pytest.mark.parametrize("method", METHODS)
def test_each_of_several_equal_elements_may_take_any_of_their_places(method: str) -> None:
    for seed in range(6):
        x = array("x", (2, 9), -2, 2, distribution="integers")
        result = only(audit(sort, sort_backward, x, method=method, seed=seed))
        assert result.verdict is Verdict.PASS, result.message


def test_what_none_of_the_places_gives_is_wrong() -> None:
    for seed in range(6):
        x = array("x", (2, 9), -2, 2, distribution="integers")
        result = only(audit(sort, lambda u, x: sort_backward(u, x) + 10, x, seed=seed))
        assert result.verdict is Verdict.FAIL
        assert result.wrong == 18


@pytest.mark.parametrize("size", [600, 2_000])
def test_many_equal_elements_are_not_accused_by_a_search(size: int) -> None:
    result = only(audit(sort, sort_backward, array("x", (size,), -2, 2, distribution="integers")))
    assert result.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)


def test_a_search_that_finds_wrong_indices_at_kinks_only_says_so() -> None:
    x = array("x", (30, 40), -3, 3, distribution="integers")
    result = only(audit(sort, lambda u, x: 100 + 0 * x, x))
    assert result.verdict is Verdict.FAIL


def norm(x: Any) -> Any:
    return np.sqrt((x * x).sum())


def zero_at_zero(u: Any, x: Any) -> Any:
    return u * (x / norm(x) if x.any() else np.zeros_like(x))


AT_ZERO: dict[str, tuple[Any, Any]] = {
    "norm": (norm, zero_at_zero),
    "norm and one": (lambda x: norm(x) + 1, zero_at_zero),
    "absolute value": (np.abs, lambda u, x: u * np.sign(x)),
    "relu": (lambda x: np.maximum(x, 0), lambda u, x: u * (x > 0)),
}


@pytest.mark.parametrize("size", [1, 5])
@pytest.mark.parametrize(("forward", "backward"), AT_ZERO.values(), ids=AT_ZERO)
def test_where_input_and_output_are_zero_the_two_slopes_are_seen(forward: Any, backward: Any, size: int) -> None:
    def beyond(u: Any, x: Any) -> Any:
        return backward(u, x) + 1.5 * np.abs(u) * np.ones_like(x)

    zeros = array("x", (size,), values=np.zeros(size))
    right, wrong = (only(audit(forward, made, zeros, method="exhaustive")) for made in (backward, beyond))
    assert right.verdict is Verdict.PASS, right.message
    assert "kink" in {finding.code for finding in right.findings}
    assert wrong.verdict is Verdict.FAIL
    assert all(np.isfinite(mismatch.error_bound) for mismatch in wrong.mismatches)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [1.0005, 1.00001])
def test_equal_elements_excuse_no_slope_of_a_smooth_function(factor: float, method: str) -> None:
    x = array("x", (3, 4), -3, 3, distribution="integers")
    result = only(audit(np.sin, lambda u, x: u * np.cos(x) * factor, x, method=method))
    assert (result.verdict, result.wrong) == (Verdict.FAIL, 12)


@pytest.mark.parametrize("factor", [1.0005, 1.00001])
def test_a_claim_close_to_a_slope_among_ties_and_beyond_them_all_is_wrong(factor: float) -> None:
    x = array("x", (6,), values=np.array([1.0, 1.0, 1.0, 0.0, -1.0, -2.0]))

    def first(u: Any, x: Any) -> Any:
        return u * (np.arange(x.size) == x.argmax())

    assert only(audit(np.max, first, x)).verdict is Verdict.PASS
    assert only(audit(np.max, lambda u, x: factor * first(u, x), x)).verdict is Verdict.FAIL


def test_a_slope_beyond_a_kink_by_less_than_its_differences_are_off_does_not_pass() -> None:
    x = array("x", (2,), values=np.zeros(2))
    forward = lambda x: np.exp(5 * np.abs(x))  # noqa: E731
    right, beyond = (only(audit(forward, lambda u, x, k=k: 5 * k * u, x, method="search")) for k in (1, 1 + 1e-6))
    assert right.verdict is Verdict.PASS
    assert beyond.verdict is not Verdict.PASS


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_the_percentiles_of_rounded_numbers_are_right_at_whichever_equal_element(seed: int, method: str) -> None:
    """Half of the numbers equal one that a percentile falls on, and each of those may be the one at its rank."""
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=(20, 2)) * 2) / 4

    def share(x: Any) -> Any:
        weight = np.zeros(20)
        weight[7:9] = 0.4, 0.6  # position 7.6
        return weight[x.argsort(axis=0).argsort(axis=0)]

    result = only(
        audit(
            lambda x: np.percentile(x, 40.0, axis=0),
            lambda u, x: u * share(x),
            array("x", (20, 2), values=values),
            method=method,
            seed=seed,
        )
    )
    assert result.verdict is Verdict.PASS, result.message


@pytest.mark.parametrize("method", METHODS)
def test_the_median_of_equal_numbers_has_no_slope_twice_its_upstream(method: str) -> None:
    values = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.0, -1.0, -3.0])
    first = (np.arange(9) == 1) * 2.0
    result = only(audit(np.median, lambda u, x: u * first, array("x", (9,), values=values), method=method))
    assert result.verdict is Verdict.FAIL
    assert [mismatch.index for mismatch in result.mismatches] == [(1,)]


WEIGHTS = np.random.default_rng(3).uniform(-1, 1, (4, 6))


def rectified(x: Any) -> Any:
    """Return the ReLU of sums: all are zero for a row of zeros, and each element of the row is in all of them."""
    return np.maximum(x @ WEIGHTS, 0)


def rectified_backward(u: Any, x: Any) -> Any:
    return u * (x @ WEIGHTS > 0) @ WEIGHTS.T


def both_signs(x: Any) -> Any:
    return np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], -1)


def both_signs_backward(u: Any, x: Any) -> Any:
    left, right = np.split(u, 2, -1)
    return left * (x > 0) - right * (x < 0)


class TestSeveralOutputsAtOneKink:
    """Each may choose a subgradient of its own; their sum need not lie between the slopes of the loss."""

    @pytest.mark.parametrize(("dtype", "verdicts"), [("float64", {"pass"}), ("float32", {"pass", "inconclusive"})])
    @pytest.mark.parametrize(
        ("forward", "backward"), [(rectified, rectified_backward), (both_signs, both_signs_backward)]
    )
    def test_any_sum_of_them_is_right(self, forward: Any, backward: Any, dtype: str, verdicts: set[str]) -> None:
        """In float32 kinks are taken for noise at times."""
        for seed in range(4):
            values = np.random.default_rng(seed).normal(size=(6, 4))
            values[::2] = 0.0
            x = array("x", values.shape, dtype=dtype, values=values.tolist())
            in_dtype = lambda *of, call=backward: call(*of).astype(dtype)  # noqa: E731
            audited = audit(lambda x: forward(x).astype(dtype), in_dtype, x, dtype=dtype, seed=seed)
            assert only(audited).verdict in verdicts
            assert "ties-miscounted" not in codes(audited)

    @pytest.mark.parametrize("slope", [-1.2, 1.2])
    def test_what_no_output_has_is_wrong(self, slope: float) -> None:
        """The slopes of the two outputs come to something between -1 and 1."""
        for seed in range(4):
            x = array("x", (6, 4), values=np.zeros((6, 4)).tolist())
            beyond = lambda u, x: both_signs_backward(u, x) + np.split(u, 2, -1)[0] * slope  # noqa: E731
            assert only(audit(both_signs, beyond, x, seed=seed, upstream="ones")).verdict is Verdict.FAIL
