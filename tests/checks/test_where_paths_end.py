"""What paths must not accuse and must not pass: saturated slopes, stairs of half precision, errors that cancel."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from pairs import array, audit, codes, only
from softmax_pair import softmax, softmax_backward

import gradaudit
from gradaudit.results import Result, Verdict


def rounded(x: Any) -> Any:
    return np.asarray(x).astype(ml_dtypes.bfloat16).astype(x.dtype)


class TestClaimsInWideStairs:
    """A claim of zeros answers alike wherever the middle element stays; that is no rounding to a coarser dtype."""

    @pytest.mark.parametrize(("seed", "draw"), [(1, 3), (9, 0), (9, 2)])
    def test_the_one_element_of_a_median_that_is_lost_fails(self, seed: int, draw: int) -> None:
        given = np.random.default_rng(seed).standard_normal(9)
        lost = int(given.argsort()[4])

        def backward(u: Any, x: Any) -> Any:
            gradient = np.zeros_like(x)
            gradient[x.argsort()[4]] = u
            gradient[lost] = 0.0
            return gradient

        made = audit(np.median, backward, array("x", (9,), values=given), seed=draw)
        assert only(made).verdict is Verdict.FAIL


class TestSaturation:
    """A slope that lives in a 400th of its domain lies between the nodes of a path."""

    @pytest.mark.parametrize("seed", range(4))
    @pytest.mark.parametrize(("shape", "width"), [((4, 6), 200.0), ((2, 3), 100.0)])
    def test_a_softmax_of_large_logits_is_not_accused(self, shape: tuple[int, int], width: float, seed: int) -> None:
        x = array("x", shape, -width, width)
        assert only(audit(softmax, softmax_backward, x, seed=seed)).verdict is not Verdict.FAIL

    @pytest.mark.parametrize("seed", range(6))
    def test_nor_is_a_steep_sigmoid_and_twice_its_slope_is(self, seed: int) -> None:
        from scipy.special import expit

        slope = lambda u, x: u * 400 * expit(400 * x) * expit(-400 * x)  # noqa: E731
        x = array("x", (6,), -2, 2)
        assert only(audit(lambda x: expit(400 * x), slope, x, seed=seed)).verdict is not Verdict.FAIL
        near = array("x", (6,), -0.01, 0.01)
        twice = audit(lambda x: expit(400 * x), lambda u, x: 2 * slope(u, x), near, seed=seed)
        assert only(twice).verdict is Verdict.FAIL


class TestHalfPrecisionInside:
    """An op that rounds what it is given has stairs, and is followed along paths at once."""

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("seed", range(3))
    def test_right_slopes_pass_in_some_dozen_calls_and_wrong_ones_fail(self, dtype: str, seed: int) -> None:
        ops = [
            (lambda x: np.sqrt(rounded(x)), lambda u, x: u / (2 * np.sqrt(rounded(x)))),
            (lambda x: np.maximum(rounded(x) - 1, 0), lambda u, x: u * (rounded(x) > 1)),
        ]
        for forward, backward in ops:
            x = array("x", (40,), 0.1, 2.0, dtype=dtype)
            right = only(audit(forward, backward, x, seed=seed, dtype=dtype))
            assert right.verdict is Verdict.PASS
            assert right.evaluations < 200
            wrong = audit(forward, lambda u, x, backward=backward: 1.5 * backward(u, x), x, seed=seed, dtype=dtype)
            assert only(wrong).verdict is Verdict.FAIL

    @pytest.mark.parametrize("factor", [1.0, 1.1])
    def test_a_whole_table_is_excused_by_the_stairs_at_once(self, factor: float) -> None:
        """Thousands of calls along long paths would say the same: what differences show are stairs."""
        slope = lambda u, x: u * factor * 2 * rounded(x)  # noqa: E731
        x = array("x", (6,), -2, 2, dtype="float32")
        found = audit(lambda x: rounded(x) ** 2, slope, x, dtype="float32", method="exhaustive")
        assert only(found).verdict is (Verdict.PASS if factor == 1.0 else Verdict.FAIL)
        assert only(found).backwards <= 300

    @pytest.mark.parametrize("seed", range(2))
    def test_zeros_fail_whole_and_in_a_row(self, seed: int) -> None:
        def row_lost(u: Any, x: Any) -> Any:
            gradient = u * (1 - np.tanh(rounded(x)) ** 2)
            gradient[-1] = 0
            return gradient

        for backward in (lambda u, x: 0 * u, row_lost):
            x = array("x", (6, 80), -2, 2, dtype="float32")
            found = audit(lambda x: rounded(np.tanh(rounded(x))), backward, x, seed=seed, dtype="float32")
            assert only(found).verdict is Verdict.FAIL


class TestKernelsInBfloat16:
    """A norm's gradient grows without end as its input shrinks: that excuses nothing in half precision."""

    @staticmethod
    def forward(x: Any, w: Any) -> Any:
        x, w = x.astype(np.float32), w.astype(np.float32)
        return (x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * w).astype(ml_dtypes.bfloat16)

    @staticmethod
    def backward(u: Any, x: Any, w: Any, term: float = 1.0, factor: float = 1.0) -> Any:
        u, x, w = (part.astype(np.float32) for part in (u, x, w))
        r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
        g, h = u * w, x * r
        dx = r * (g - term * h * (g * h).mean(-1, keepdims=True))
        return dx.astype(ml_dtypes.bfloat16), (factor * (u * h).sum(0)).astype(ml_dtypes.bfloat16)

    def verdicts(self, backward: Any, seed: int) -> list[Verdict]:
        x = array("x", (32, 64), dtype="bfloat16", distribution="normal", range=None)
        w = array("w", (64,), 0.5, 1.5, dtype="bfloat16")
        return [result.verdict for result in audit(self.forward, backward, x, w, seed=seed, dtype="bfloat16").results]

    @pytest.mark.parametrize("seed", range(2))
    def test_a_right_norm_passes_and_wrong_ones_fail(self, seed: int) -> None:
        def last_rows_lost(u: Any, x: Any, w: Any) -> Any:
            dx, dw = self.backward(u, x, w)
            dx[-4:] = 0
            return dx, dw

        assert self.verdicts(self.backward, seed) == [Verdict.PASS, Verdict.PASS]
        no_term = lambda u, x, w: self.backward(u, x, w, term=0.0)  # noqa: E731
        half_a_term = lambda u, x, w: self.backward(u, x, w, term=0.5)  # noqa: E731
        for wrong in (no_term, half_a_term, last_rows_lost):
            assert self.verdicts(wrong, seed) == [Verdict.FAIL, Verdict.PASS]
        factor = lambda u, x, w: self.backward(u, x, w, factor=1.05)  # noqa: E731
        x, w = self.verdicts(factor, seed)
        assert x is Verdict.PASS
        assert w is not Verdict.PASS

    @pytest.mark.parametrize("seed", range(3))
    def test_an_input_of_no_axes_is_followed_too(self, seed: int) -> None:
        forward = lambda x: rounded(np.tanh(rounded(x)))  # noqa: E731
        for factor, wanted in ((1.0, {Verdict.PASS, Verdict.INCONCLUSIVE}), (3.0, {Verdict.FAIL})):
            slope = lambda u, x, factor=factor: np.asarray(factor * u * (1 - np.tanh(rounded(x)) ** 2), x.dtype)  # noqa: E731
            x = array("x", (), -1, 1, dtype="float32")
            assert only(audit(forward, slope, x, seed=seed, dtype="float32")).verdict in wanted


class TestElementsThatRoundingHides:
    """In float16 the input hardly shows in the square of it and a hundred: differences see forward stand still."""

    @staticmethod
    def verdict(seed: int, reach: float, factor: float) -> Verdict:
        def forward(x: Any) -> Any:
            return ((x + 100) ** 2 - 1e4).mean()

        def backward(u: Any, x: Any) -> Any:
            return np.asarray(factor * u * 2 * (x + 100) / x.size, np.float16)

        x = array("x", (3, 4), -reach, reach, dtype="float16")
        return only(audit(forward, backward, x, seed=seed, dtype="float16")).verdict

    @pytest.mark.parametrize("seed", [10, 35, 57, 550])
    def test_a_right_claim_is_not_accused_by_what_does_not_change(self, seed: int) -> None:
        assert self.verdict(seed, 0.0508, 1.0) is Verdict.INCONCLUSIVE

    @pytest.mark.parametrize("factor", [0.5, -1.0])
    def test_where_the_input_shows_wrong_claims_fail(self, factor: float) -> None:
        assert self.verdict(10, 10.0, 1.0) is Verdict.PASS
        assert self.verdict(10, 10.0, factor) is Verdict.FAIL

    @pytest.mark.parametrize("seed", range(3))
    def test_a_claim_for_an_element_that_forward_leaves_out_fails(self, seed: int) -> None:
        def backward(u: Any, x: Any, there: float = 1.0) -> Any:
            gradient = np.asarray(u * (x + 4) / 6, np.float16)
            gradient[1, 2] = there
            return gradient

        x = array("x", (3, 4), -1, 1, dtype="float16")
        kept = np.ones((3, 4), np.float16)
        kept[1, 2] = 0
        wrong = only(audit(lambda x: ((kept * x + 4) ** 2).mean(), backward, x, seed=seed, dtype="float16"))
        assert wrong.verdict is Verdict.FAIL


class TestALearnedTemperature:
    """One number for a softmax of many rows, in bfloat16: its gradient is steep where it is smaller, and cancels."""

    @staticmethod
    def result(seed: int, factor: float) -> Result:
        def softmax_of(x: Any, t: Any) -> Any:
            return softmax(x.astype(np.float32) / t.astype(np.float32))

        def forward(x: Any, t: Any) -> Any:
            if x.dtype != ml_dtypes.bfloat16:
                raise TypeError("bfloat16 only")
            return softmax_of(x, t).astype(ml_dtypes.bfloat16)

        def backward(u: Any, x: Any, t: Any) -> Any:
            wide = t.astype(np.float32)
            inside = softmax_backward(u.astype(np.float32), x.astype(np.float32) / wide)
            of_t = -factor * (inside * x.astype(np.float32)).sum() / wide**2
            return (inside / wide).astype(x.dtype), np.asarray(of_t).astype(t.dtype)

        rng = np.random.default_rng(seed)
        x, t = rng.uniform(-3, 3, (64, 64)), rng.uniform(0.7, 1.5)
        inputs = {"x": x.astype(ml_dtypes.bfloat16), "t": np.asarray(t).astype(ml_dtypes.bfloat16)}
        return gradaudit.check(gradaudit.op(forward, backward), inputs).results[1]

    @pytest.mark.parametrize("seed", range(6))
    def test_its_wrong_sign_fails_where_that_is_more_than_the_resolution(self, seed: int) -> None:
        assert self.result(seed, 1.0).verdict is not Verdict.FAIL
        wrong = self.result(seed, -1.0)
        assert wrong.verdict is Verdict.FAIL or "could be hidden" in wrong.message


class TestZeroClaims:
    @pytest.mark.parametrize("seed", range(3))
    def test_none_is_borne_out_by_a_step_that_rounding_swallows(self, seed: int) -> None:
        """Where the slope times the input is far more than the output, the step that would show it is no step."""

        def last_lost(u: Any, x: Any) -> Any:
            gradient = (x - x.mean(0)) / (len(x) * x.std(0)) * u
            gradient[-1] = 0
            return gradient

        x = array("x", (19, 3), 1e5, 1e5 + 1)
        for backward in (last_lost, lambda u, x: np.zeros_like(x)):
            assert only(audit(lambda x: x.std(0), backward, x, seed=seed)).verdict is Verdict.FAIL

    def test_a_constant_that_is_added_hides_no_slope_of_zero(self) -> None:
        """The natural scale of a gradient of zero is what forward changes by, not what it is."""
        forward = lambda x: (1000 + np.sin(x.astype(np.float32))).astype(x.dtype)  # noqa: E731
        for seed in range(4):
            result = only(audit(forward, lambda u, x: 0 * u, array("x", (1,), -1, 1), seed=seed))
            assert result.verdict is not Verdict.PASS


class TestThePoint:
    def test_a_mask_that_takes_zeros_for_something_else_fails(self) -> None:
        """A path leaves the point at once: what is claimed there alone has no length."""
        forward = lambda x: (x.astype(np.float32) ** 2).astype(x.dtype)  # noqa: E731
        wrong = lambda u, x: np.where(x == 0, 1, 2 * u * x).astype(x.dtype)  # noqa: E731
        x = array("x", (30, 40), -3, 3, dtype="float16", distribution="integers")
        assert only(audit(forward, wrong, x, dtype="float16")).verdict is Verdict.FAIL
        right = audit(forward, lambda u, x: (2 * u * x).astype(x.dtype), x, dtype="float16")
        assert only(right).verdict is Verdict.PASS

    @pytest.mark.parametrize("seed", range(4))
    def test_two_equal_errors_that_go_opposite_ways_do_not_cancel(self, seed: int) -> None:
        forward = lambda x: x.astype(np.float32).sum().astype(x.dtype)  # noqa: E731
        wrong = lambda u, x: np.where(np.arange(7) % 3 == 1, 2 * u, u).astype(x.dtype)  # noqa: E731
        x = array("x", (7,), -1, 1, dtype="bfloat16")
        assert only(audit(forward, wrong, x, seed=seed, dtype="bfloat16")).verdict is not Verdict.PASS


class TestOscillation:
    """Along a path over many waves a factor comes to nothing, and is wrong all the same."""

    @pytest.mark.parametrize("seed", range(3))
    @pytest.mark.parametrize(("times", "width"), [(30.0, 2.0), (1.0, 20.0)])
    def test_a_factor_does_not_pass(self, times: float, width: float, seed: int) -> None:
        forward = lambda x: np.sin(times * x)  # noqa: E731
        for factor, wanted in ((1.01, {Verdict.FAIL}), (1.001, {Verdict.FAIL, Verdict.INCONCLUSIVE})):
            wrong = lambda u, x, factor=factor: factor * times * u * np.cos(times * x)  # noqa: E731
            x = array("x", (3, 4), -width, width)
            assert only(audit(forward, wrong, x, seed=seed)).verdict in wanted


def test_an_output_below_the_least_normal_number_has_its_rounding() -> None:
    """In float16 that is 6e-5: what a cube of 1e-3 is off by is one number in a dozen."""
    for seed in range(4):
        x = array("x", (3, 4), -0.009, 0.009, dtype="float16")
        cube = audit(lambda x: x**3, lambda u, x: (3 * u * x**2).astype(x.dtype), x, seed=seed, dtype="float16")
        assert only(cube).verdict is not Verdict.FAIL
        flat = audit(
            lambda x: (1e-9 * x.astype(np.float32) ** 2).astype(x.dtype), lambda u, x: 0 * u, x, dtype="float16"
        )
        assert only(flat).verdict is not Verdict.FAIL


def test_a_backward_that_rounds_to_float32_is_linear_up_to_that() -> None:
    def backward(u: Any, x: Any) -> Any:
        return softmax_backward(u.astype(np.float32), x.astype(np.float32)).astype(x.dtype)

    for seed in range(4):
        x = array("x", (4, 6), -20, 20)
        found = audit(lambda x: softmax(x.astype(np.float32)).astype(x.dtype), backward, x, seed=seed)
        assert "nonlinear-upstream" not in codes(found)


class TestBuiltStairs:
    """Zero is the slope of a function that rounds to whole numbers, in half precision too."""

    @pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
    @pytest.mark.parametrize("seed", [1, 2])
    @pytest.mark.parametrize("size", [3, 12, 100])
    def test_zeros_are_not_accused(self, size: int, seed: int, dtype: str) -> None:
        forward = lambda x: np.floor(x.astype(np.float32)).astype(x.dtype)  # noqa: E731
        x = array("x", (size,), -20, 20, dtype=dtype)
        made = audit(forward, lambda u, x: np.zeros_like(x), x, dtype=dtype, seed=seed)
        assert only(made).verdict is not Verdict.FAIL

    @pytest.mark.parametrize("seed", range(2))
    def test_zeros_for_a_slope_that_is_none_still_fail(self, seed: int) -> None:
        x = array("x", (12,), -2, 2, dtype="bfloat16")
        made = audit(np.tanh, lambda u, x: np.zeros_like(x), x, dtype="bfloat16", seed=seed)
        assert only(made).verdict is Verdict.FAIL
