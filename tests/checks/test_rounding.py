"""Right gradients in narrow dtypes whose sums cancel, and wrong ones beside them."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from pairs import array, audit, codes

import gradaudit
from gradaudit.audit.conclusion import Audit
from gradaudit.results import Verdict
from gradaudit.spec.case import Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, spacing

each_method = pytest.mark.parametrize("method", ["exhaustive", "search"])


def times(a: Any, b: Any) -> Any:
    return a @ b


def times_backward(u: Any, a: Any, b: Any) -> tuple[Any, Any]:
    return u @ b.T, a.T @ u


def product(size: int, seed: int, backward: Any = times_backward, **case: Any) -> Audit:
    factors = array("a", (size, size), dtype="float32"), array("b", (size, size), dtype="float32")
    return audit(times, backward, *factors, dtype="float32", seed=seed, **case)


def verdict(found: Audit) -> Verdict:
    order = [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]
    return max((result.verdict for result in found.results), key=order.index)


class TestSumsThatCancel:
    """Elements of a product that are small beside their terms have the rounding of the terms."""

    @pytest.mark.parametrize("seed", range(5))
    def test_a_product_of_matrices_is_right(self, seed: int) -> None:
        found = product(192, seed)
        assert [(result.verdict, result.message) for result in found.results] == [(Verdict.PASS, "")] * 2
        assert codes(found) == set()
        assert all(result.rtol == DEFAULT_TOLERANCES["float32"].rtol for result in found.results)
        assert all(0.1 < result.worst_ratio <= 1.0 for result in found.results)

    @each_method
    @pytest.mark.parametrize("seed", range(8))
    def test_terms_that_cancel_are_right_one_by_one_and_together(self, seed: int, method: str) -> None:
        """For one element in eight the two halves of the terms are each other's negative up to 1e-6."""

        def backward(u: Any, x: Any) -> Any:
            return (u * weights.astype(x.dtype)).sum(axis=0)

        rng = np.random.default_rng(seed)
        half = rng.uniform(1, 10, (20, 8))
        weights = np.concatenate([half, np.where(np.arange(8) == 3, -half * (1 + 1e-6), half)]).astype(np.float32)
        found = audit(
            lambda x: x * weights.astype(x.dtype),
            backward,
            array("x", (8,), dtype="float32"),
            dtype="float32",
            upstream="ones",
            method=method,
        )
        assert found.results[0].verdict is Verdict.PASS

    @each_method
    @pytest.mark.parametrize("seed", range(5))
    def test_a_saturated_softmax_is_right(self, seed: int, method: str) -> None:
        """Where one probability is nearly one, its upstream is taken from itself, with the digits of that left."""

        def probabilities(x: Any) -> Any:
            powers = np.exp(40 * (x - x.max(axis=1, keepdims=True)))
            return powers / powers.sum(axis=1, keepdims=True)

        def backward(u: Any, x: Any) -> Any:
            p = probabilities(x)
            return 40 * p * (u - (u * p).sum(axis=1, keepdims=True))

        found = audit(
            probabilities, backward, array("x", (24, 20), dtype="float32"), dtype="float32", seed=seed, method=method
        )
        assert verdict(found) is Verdict.PASS

    @pytest.mark.parametrize("seed", range(3))
    def test_sums_are_right_where_the_whole_gradient_is_small(self, seed: int) -> None:
        """What rounding must cost shrinks with the gradient, and so does all that is allowed."""
        gradients = []

        def backward(u: Any, x: Any) -> Any:
            gradients.append((u[::-1].cumsum(dtype=x.dtype)[::-1]) * x.dtype.type(1e-9))
            return gradients[-1]

        point = array("x", (20_000,), dtype="float32")
        found = audit(lambda x: x.cumsum() * x.dtype.type(1e-9), backward, point, dtype="float32", seed=seed)
        assert verdict(found) is Verdict.PASS
        size = np.sqrt(np.mean(gradients[0].astype(np.float64) ** 2))
        assert found.results[0].atol == pytest.approx(spacing("float32") / 2 * size, rel=0.1)
        assert found.results[0].resolution < 1e-3

    def test_a_product_of_small_matrices_takes_no_forwards_more(self) -> None:
        few = [sum(result.evaluations for result in product(8, seed).results) for seed in range(4)]
        assert len(set(few)) == 1


class TestLongSums:
    """Terms of 30,000 rows that cancel, added up one by one: partial sums are large, and rounded each."""

    @staticmethod
    def centred(seed: int) -> Any:
        drawn = np.random.default_rng(seed).standard_normal((30_000, 3))
        return (drawn - drawn.mean(axis=0)).astype(np.float32)

    def bias(self, upstream: Any, added_up: Any) -> Audit:
        def backward(u: Any, x: Any, b: Any) -> tuple[Any, Any]:
            return u, added_up(u) if u.dtype == np.float32 else u.sum(axis=0)

        inputs = {"x": self.centred(99), "b": np.array([0.5, 1.0, 1.5], np.float32)}
        return gradaudit.check(gradaudit.op(lambda x, b: x + b, backward), inputs, upstream=upstream)

    @pytest.mark.parametrize("seed", [0, 4])
    def test_a_bias_is_not_accused(self, seed: int) -> None:
        """Differences cannot tell such a gradient from zero, so that it need not pass."""
        found = self.bias(self.centred(seed), lambda u: u.sum(axis=0))
        assert found.results[0].verdict is Verdict.PASS
        assert found.results[1].verdict is not Verdict.FAIL

    def test_nor_where_terms_are_in_order(self) -> None:
        found = self.bias(np.sort(self.centred(0), axis=0), lambda u: u.sum(axis=0))
        assert found.results[1].verdict is not Verdict.FAIL

    @pytest.mark.parametrize("seed", range(3))
    def test_nor_a_weight(self, seed: int) -> None:
        x = np.random.default_rng(seed).uniform(-1, 1, (30_000, 3))
        inputs = {"x": (x - x.mean(axis=0)).astype(np.float32), "b": np.array([0.5, 1.0, 1.5], np.float32)}
        op = gradaudit.op(lambda x, b: x * b, lambda u, x, b: (u * b, (u * x).sum(axis=0)))
        assert Verdict.FAIL not in {result.verdict for result in gradaudit.check(op, inputs, upstream="ones").results}

    @pytest.mark.parametrize("seed", [0, 3])
    def test_nor_one_of_a_kernel_in_float32_alone(self, seed: int) -> None:
        def backward(u: Any, x: Any, b: Any) -> tuple[Any, Any]:
            x, b, u = (each.astype(np.float32) for each in (x, b, u))
            return u * b, (u * x).sum(axis=0)

        x = np.random.default_rng(seed).uniform(-1, 1, (30_000, 3))
        inputs = {"x": (x - x.mean(axis=0)).astype(np.float32), "b": np.array([0.5, 1.0, 1.5], np.float32)}
        op = gradaudit.op(lambda x, b: x.astype(np.float32) * b.astype(np.float32), backward)
        assert Verdict.FAIL not in {result.verdict for result in gradaudit.check(op, inputs, upstream="ones").results}

    @pytest.mark.parametrize("coarse", [np.float16, ml_dtypes.bfloat16])
    def test_sums_in_half_precision_are_found(self, coarse: Any) -> None:
        found = self.bias(self.centred(0), lambda u: np.cumsum(u.astype(coarse), axis=0)[-1].astype(u.dtype))
        assert found.results[1].verdict is Verdict.FAIL
        assert "precision-loss" in codes(found)


class TestWhatRoundingDoesNotExplain:
    def test_a_tolerance_that_was_asked_for_holds(self) -> None:
        assert verdict(product(192, 0)) is Verdict.PASS
        found = product(192, 0, tolerance=Tolerance(1e-4, 1e-6))
        assert (verdict(found), codes(found)) == (Verdict.FAIL, {"precision-loss"})

    @pytest.mark.parametrize("seed", range(5))
    def test_a_wrong_element_of_a_product_is_found_among_the_rounded_ones(self, seed: int) -> None:
        def backward(u: Any, a: Any, b: Any) -> tuple[Any, Any]:
            of_a, of_b = times_backward(u, a, b)
            of_b[17, 29] *= 1.01
            return of_a, of_b

        found = product(192, seed, backward)
        assert found.results[0].verdict is Verdict.PASS
        assert [mismatch.index for mismatch in found.results[1].mismatches] == [(17, 29)]

    @each_method
    def test_digits_that_the_formula_loses_are_lost(self, method: str) -> None:
        """The offset of 10^4 takes with it four of the seven digits, though the gradient itself is exact."""

        def backward(u: Any, x: Any) -> Any:
            offset = x.dtype.type(1e4)
            return u * ((x + offset) - offset)

        point = array("x", (400,), 0.1, 1, dtype="float32")
        found = audit(lambda x: x * x / 2, backward, point, dtype="float32", method=method)
        assert (verdict(found), codes(found)) == (Verdict.FAIL, {"precision-loss"})

    @each_method
    @pytest.mark.parametrize(("share", "expected"), [(0.95, Verdict.PASS), (1.05, Verdict.FAIL)])
    def test_a_pass_keeps_the_tolerance(self, share: float, expected: Verdict, method: str) -> None:
        def backward(u: Any, x: Any) -> Any:
            return u * x.dtype.type(1 + share * 1e-2 * (x.dtype == np.float32))

        point = array("x", (600,), dtype="float32")
        settings = {"dtype": "float32", "method": method, "tolerance": Tolerance(1e-2, 0.0)}
        found = audit(lambda x: 1 * x, backward, point, **settings)
        assert verdict(found) is expected
        assert (found.results[0].worst_ratio > 1) == (expected is Verdict.FAIL)

    @each_method
    def test_a_constant_in_half_precision_is_found(self, method: str) -> None:
        def backward(u: Any, x: Any) -> Any:
            third = np.float16(1 / 3) if x.dtype == np.float32 else 1 / 3
            return u * x.dtype.type(third)

        point = array("x", (400,), 0.1, 1, dtype="float32")
        found = audit(lambda x: x / 3, backward, point, dtype="float32", method=method)
        assert verdict(found) is Verdict.FAIL


def test_one_index_that_strays_from_its_formula_costs_no_search_of_the_others() -> None:
    def backward(u: Any, a: Any, b: Any) -> tuple[Any, Any]:
        da, db = times_backward(u, a, b)
        if da.dtype == np.float32:
            da.flat[abs(da).argmin()] += np.float32(100 * 2**-24) * abs(da).mean()
        return da, db

    found = product(64, 0, backward)
    first, second = found.results
    assert (first.verdict, second.verdict) == (Verdict.INCONCLUSIVE, Verdict.PASS)
    assert len(first.mismatches) == 1
    assert sum(result.evaluations for result in found.results) < 30


@pytest.mark.parametrize(("x", "height"), [(0.8, 5e-5), (2.6, 1e-4)])
def test_a_stair_that_forward_climbs_beside_the_point_is_its_rounding(x: float, height: float) -> None:
    """Else many differences would be taken before the claim is as likely as the slope between two stairs."""

    def forward(x: Any) -> Any:
        return np.round(np.sin(x) / height) * height

    op = gradaudit.op(forward, lambda u, x: u * np.cos(x))
    (result,) = gradaudit.check(op, {"x": np.array([x])}, method="exhaustive").results
    assert result.verdict is Verdict.PASS
    assert result.forwards <= 300


def attention(q: Any, k: Any, v: Any) -> Any:
    return softmax_of(q, k) @ v


def softmax_of(q: Any, k: Any) -> Any:
    scores = q @ k.T
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def attention_backward(u: Any, q: Any, k: Any, v: Any) -> tuple[Any, ...]:
    p = softmax_of(q, k)
    of_p = u @ v.T
    of_scores = p * (of_p - (of_p * p).sum(-1, keepdims=True))
    return of_scores @ k, of_scores.T @ q, p.T @ u


def attention_with_some_of_its_queries(u: Any, q: Any, k: Any, v: Any) -> tuple[Any, ...]:
    of_q, of_k, of_v = attention_backward(u, q, k, v)
    return of_q + q.dtype.type(1e-4) * q, of_k, of_v


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_whose_terms_cancel_because_inputs_are_equal_has_the_rounding_of_its_terms(dtype: str) -> None:
    """Where all keys are one, every query is as good as any other: its gradient is rounding alone."""
    keys = np.ones((6, 4)).tolist()
    inputs = (
        array("q", (5, 4), dtype=dtype),
        array("k", (6, 4), dtype=dtype, values=keys),
        array("v", (6, 3), dtype=dtype),
    )
    for seed in range(3):
        right = audit(attention, attention_backward, *inputs, dtype=dtype, seed=seed)
        assert verdict(right) is not Verdict.FAIL
        assert {found.verdict for found in right.results if found.input != "q"} == {Verdict.PASS}
    wrong = audit(attention, attention_with_some_of_its_queries, *inputs, dtype=dtype)
    assert {found.input: found.verdict for found in wrong.results}["q"] is Verdict.FAIL
