"""Ops that answer differently when they are asked the same again, and ops that only seem to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import MOST_EVALUATIONS, array, audit, codes, only

from gradaudit.audit.conclusion import Audit
from gradaudit.results import Finding, Verdict

Function = Callable[..., Any]
SHAPES = [(3, 4), (20, 26)]
each_size = pytest.mark.parametrize("shape", SHAPES, ids=["exhaustive", "search"])
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])


def slope_of_sin(u: Any, x: Any) -> Any:
    return u * np.cos(x)


def failing(audited: Audit) -> Finding:
    """Return the one finding that fails a case."""
    (found,) = [finding for result in audited.results for finding in result.findings if finding.fails]
    return found


def dropout_drawn_anew(seed: int) -> Function:
    rng = np.random.default_rng(seed)
    return lambda x: x * (rng.random(x.shape) < 0.7)


@each_dtype
@each_size
def test_a_mask_drawn_anew_is_stochastic(shape: tuple[int, ...], dtype: str) -> None:
    x = array("x", shape, 0.5, 1.5, dtype=dtype)
    audited = audit(dropout_drawn_anew(0), lambda u, x: u, x, dtype=dtype)
    assert only(audited).verdict is Verdict.FAIL
    found = failing(audited)
    assert (found.code, found.evidence["drawn_anew"]) == ("stochastic-forward", True)
    assert 0 < found.evidence["changed"] <= found.evidence["size"] == np.prod(shape)
    assert found.evidence["largest"] >= 0.5
    assert "out-of-domain" not in codes(audited)


@each_dtype
@each_size
def test_differences_of_random_numbers_accuse_no_index(shape: tuple[int, ...], dtype: str) -> None:
    x, y = array("x", shape, dtype=dtype), array("y", shape, dtype=dtype)
    rng = np.random.default_rng(0)

    def forward(x: Any, y: Any) -> Any:
        return ((x + y) * (rng.random(x.shape) < 0.7)).astype(x.dtype)

    audited = audit(forward, lambda u, x, y: (u, u), x, y, dtype=dtype)
    assert {result.verdict for result in audited.results} == {Verdict.FAIL, Verdict.INCONCLUSIVE}
    assert all(not result.wrong and not result.mismatches for result in audited.results)
    assert all("new random numbers" in result.message for result in audited.results)


def test_a_search_ends_where_forward_is_another_one_at_every_call() -> None:
    audited = audit(dropout_drawn_anew(0), lambda u, x: u, array("x", (100, 1000)))
    assert failing(audited).code == "stochastic-forward"
    assert only(audited).evaluations <= 100


def test_noise_far_above_rounding_is_stochastic_however_small() -> None:
    rng = np.random.default_rng(0)
    audited = audit(lambda x: np.sin(x) * (1 + 1e-9 * rng.random(x.shape)), slope_of_sin)
    assert failing(audited).code == "stochastic-forward"


def test_one_output_of_two_is_enough() -> None:
    rng = np.random.default_rng(0)
    audited = audit(
        lambda x: (np.sin(x), x + rng.random(x.shape)), lambda u, x: u[0] * np.cos(x) + u[1], array("x", (3,))
    )
    assert failing(audited).code == "stochastic-forward"


def test_a_forward_that_counts_its_calls_is_not_called_random() -> None:
    calls: list[int] = []

    def warming_up(x: Any) -> Any:
        calls.append(1)
        return np.sin(x) + (1.0 if len(calls) > 1 else 0.0)

    found = failing(audit(warming_up, slope_of_sin))
    assert (found.code, found.evidence["drawn_anew"]) == ("stochastic-forward", False)
    assert "earlier calls" in found.message


def mask_drawn_once() -> Function:
    masks: dict[Any, Any] = {}
    rng = np.random.default_rng(0)
    return lambda x: x * masks.setdefault(x.shape, rng.random(x.shape) < 0.7)


def with_running_statistics() -> Function:
    running = np.zeros(1)

    def forward(x: Any) -> Any:
        running[...] = 0.9 * running + 0.1 * x.mean()
        return np.sin(x)

    return forward


def summed_in_another_order() -> Function:
    rng = np.random.default_rng(0)
    return lambda x: np.sin(x).reshape(-1)[rng.permutation(x.size)].cumsum()[-1]


@each_size
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_forward_keeps_or_reorders_is_no_randomness(shape: tuple[int, ...], dtype: str) -> None:
    x = array("x", shape, dtype=dtype)
    assert codes(audit(with_running_statistics(), slope_of_sin, x, dtype=dtype)) == set()
    assert "stochastic-forward" not in codes(audit(summed_in_another_order(), slope_of_sin, x, dtype=dtype))
    forward = mask_drawn_once()
    assert "stochastic-forward" not in codes(audit(forward, lambda u, x: forward(u), x, dtype=dtype))


def test_nan_in_an_output_that_does_not_count_equals_itself() -> None:
    audited = audit(lambda x: (np.sin(x), np.full(3, np.nan)), slope_of_sin, counted=(0,))
    assert (only(audited).verdict, codes(audited)) == (Verdict.PASS, set())


@each_dtype
@each_size
def test_a_backward_that_draws_is_stochastic(shape: tuple[int, ...], dtype: str) -> None:
    rng = np.random.default_rng(0)

    def backward(u: Any, x: Any) -> Any:
        return (u * np.cos(x) * (1 + 0.1 * rng.random(x.shape))).astype(x.dtype)

    audited = audit(np.sin, backward, array("x", shape, dtype=dtype), dtype=dtype)
    found = failing(audited)
    assert (found.code, found.evidence["array"], found.evidence["drawn_anew"]) == ("stochastic-backward", "x", True)


def test_the_input_whose_gradient_is_drawn_is_named() -> None:
    rng = np.random.default_rng(0)

    def backward(u: Any, x: Any, y: Any) -> Any:
        return u * y, u * x + rng.random(x.shape)

    x, y = audit(lambda x, y: x * y, backward, array("x", (3,)), array("y", (3,))).results
    assert (x.verdict, x.findings) == (Verdict.PASS, ())
    assert [finding.code for finding in y.findings] == ["stochastic-backward"]


class Accumulating:
    """Adds each gradient to the buffer that the last call left, as optimisers expect and checkers do not."""

    def __init__(self) -> None:
        self.total: Any = 0.0

    def __call__(self, u: Any, x: Any) -> Any:
        self.total = self.total + u * np.cos(x)
        return self.total


class Doubling(Accumulating):
    def __call__(self, u: Any, x: Any) -> Any:
        self.total = self.total * 2.0 + u * np.cos(x)
        return self.total


class EmptiedByForward(Accumulating):
    """A layer as a class: forward saves its input and empties the buffer, backward is given the upstream alone."""

    def forward(self, x: Any) -> Any:
        self.x, self.total = x, 0.0
        return np.sin(x)

    def backward(self, u: Any) -> Any:
        return self(u, self.x)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@each_size
def test_a_gradient_that_is_added_up_is_accumulated(shape: tuple[int, ...], dtype: str) -> None:
    audited = audit(np.sin, Accumulating(), array("x", shape, dtype=dtype), dtype=dtype)
    assert only(audited).verdict is Verdict.FAIL
    found = failing(audited)
    assert (found.code, found.evidence["array"]) == ("accumulated", "x")
    assert found.evidence["ratio"] >= 2.5  # other upstreams may have been asked about in between
    assert f"{found.evidence['ratio']:.3g} times" in found.message


def test_a_first_answer_that_is_right_does_not_excuse_the_second() -> None:
    result = only(audit(np.sin, Accumulating()))
    assert (result.verdict, result.wrong, result.mismatches) == (Verdict.FAIL, 0, ())
    assert result.message == result.findings[0].message


def test_another_growth_is_not_called_accumulation() -> None:
    found = failing(audit(np.sin, Doubling()))
    assert found.code == "stochastic-backward"


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@each_size
def test_a_layer_whose_forward_empties_the_buffer_is_right(shape: tuple[int, ...], dtype: str) -> None:
    layer = EmptiedByForward()
    audited = audit(layer.forward, layer.backward, array("x", shape, dtype=dtype), args=("upstream",), dtype=dtype)
    assert (only(audited).verdict, codes(audited)) == (Verdict.PASS, set())
    assert audited.check_evaluations <= MOST_EVALUATIONS


@each_size
def test_a_buffer_that_is_overwritten_is_no_accumulation(shape: tuple[int, ...]) -> None:
    buffers: dict[Any, Any] = {}

    def backward(u: Any, x: Any) -> Any:
        return np.multiply(u, np.cos(x), out=buffers.setdefault(x.dtype, np.empty_like(x)))

    assert codes(audit(np.sin, backward, array("x", shape))) == set()


def test_a_zero_gradient_is_never_accumulated() -> None:
    assert codes(audit(lambda x: 0.0 * x, lambda u, x: 0.0 * u)) == set()


class TestRepeated:
    """What ``repeat`` finds: gradients that are another once in many calls."""

    @staticmethod
    def every(nth: int, by: float) -> Function:
        calls = iter(range(1, 10**6))

        def backward(u: Any, x: Any) -> Any:
            gradient = slope_of_sin(u, x)
            gradient.flat[[1, 4]] *= 1.0 + by * (next(calls) % nth == 0)
            return gradient

        return backward

    def test_an_addition_that_is_lost_at_times_is_a_race(self) -> None:
        audited = audit(np.sin, self.every(40, 0.5), array("x", (2, 3)), repeat=250)
        found = failing(audited)
        assert (found.code, found.evidence["changed"], found.evidence["index"]) == ("race", 2, (0, 1))
        assert 5 <= found.evidence["others"] <= 7
        assert only(audited).verdict is Verdict.FAIL

    def test_what_adding_in_another_order_changes_fails_nothing(self) -> None:
        audited = audit(np.sin, self.every(40, 3e-16), array("x", (2, 3)), repeat=250)
        assert only(audited).verdict is Verdict.PASS
        assert {finding.code for finding in only(audited).findings} == {"race"}

    def test_nothing_is_said_of_the_same_bits(self) -> None:
        audited = audit(np.sin, slope_of_sin, array("x", (2, 3)), repeat=20)
        assert (only(audited).verdict, codes(audited)) == (Verdict.PASS, set())
        assert only(audited).backwards >= 20

    def test_rare_races_need_repeating(self) -> None:
        assert only(audit(np.sin, self.every(400, 0.5), array("x", (2, 3)))).verdict is Verdict.PASS


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_in_half_precision_in_the_order_in_which_terms_come_accuse_nobody(dtype: str) -> None:
    """An embedding's gradient by atomic additions: a few roundings of few digits are much."""
    rng, rows = np.random.default_rng(0), np.arange(400) % 37

    def embedded(w: Any) -> Any:
        if w.dtype in (np.float32, np.float64):
            raise TypeError("half precision only")
        return w[rows]

    def added(u: Any, w: Any, lost: int = 0) -> Any:
        gradient = np.zeros_like(w)
        for k in rng.permutation(rows.size)[lost:]:
            gradient[rows[k]] += u[k]
        return gradient

    for seed in range(3):
        audited = audit(embedded, added, array("w", (40, 8), dtype=dtype), dtype=dtype, seed=seed)
        assert (only(audited).verdict, codes(audited)) == (Verdict.PASS, set())
    lossy = audit(embedded, lambda u, w: added(u, w, 40), array("w", (40, 8), dtype=dtype), dtype=dtype)
    assert only(lossy).verdict is Verdict.FAIL
