"""Upstream, step and tolerance as the spec sets them, and what a pass is worth under them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import array, audit, only

from gradaudit.results import Verdict
from gradaudit.spec.case import Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, spacing

Function = Callable[..., Any]


def slope_of_sin(u: Any, x: Any) -> Any:
    return u * np.cos(x)


class TestUpstream:
    @staticmethod
    def seen_by_backward(upstream: Any, shape: tuple[int, ...] = (3, 4), dtype: str = "float64") -> Any:
        given_upstreams = []

        def backward(u: Any, x: Any) -> Any:
            given_upstreams.append(u.copy())
            return slope_of_sin(u, x)

        result = only(audit(np.sin, backward, array("x", shape, dtype=dtype), dtype=dtype, upstream=upstream))
        assert result.verdict is Verdict.PASS
        return given_upstreams[0]

    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "complex64"])
    def test_it_has_the_output_s_shape_and_dtype(self, dtype: str) -> None:
        upstreams = []

        def backward(u: Any, x: Any) -> Any:
            upstreams.append(u)
            return np.broadcast_to(u, x.shape).astype(x.dtype)

        x = array("x", (2, 3), dtype=dtype)
        audit(lambda x: x.sum(axis=0, dtype=x.dtype), backward, x, dtype=dtype)
        assert (upstreams[0].shape, upstreams[0].dtype.name) == ((3,), dtype)

    def test_random_ones_have_magnitudes_around_one_and_both_signs(self) -> None:
        upstream = self.seen_by_backward("random", (10, 20))
        assert 0.5 <= np.abs(upstream).min() <= np.abs(upstream).max() <= 1.5
        assert 0.3 < (upstream > 0).mean() < 0.7

    def test_ones_reach_backward_as_ones(self) -> None:
        assert (self.seen_by_backward("ones") == 1.0).all()

    @settings(deadline=None, max_examples=25, derandomize=True)
    @given(values=st.lists(st.floats(0.25, 8.0) | st.floats(-8.0, -0.25), min_size=3, max_size=3))
    def test_explicit_values_reach_backward_as_they_are(self, values: list[float]) -> None:
        assert self.seen_by_backward(values, (3,)).tolist() == values

    def test_an_explicit_zero_makes_its_output_count_for_nothing(self) -> None:
        result = only(audit(np.sin, lambda u, x: u * 99.0, array("x", (2,)), upstream=[0.0, 1.0]))
        assert [found.index for found in result.mismatches] == [(1,)]

    def test_values_of_another_shape_than_the_output_are_an_error(self) -> None:
        result = only(audit(np.sin, slope_of_sin, array("x", (3,)), upstream=[1.0, 2.0]))
        assert result.verdict is Verdict.ERROR
        assert "(2,)" in result.message
        assert "(3,)" in result.message

    def test_a_fault_that_ones_cannot_see_is_seen_by_random_ones(self) -> None:
        softmax = lambda x: np.exp(x) / np.exp(x).sum()  # noqa: E731
        # Without the projection the gradient of a sum over all probabilities would still be zero for u = 1.
        transposed = lambda u, x: softmax(x) * (u - u.mean())  # noqa: E731
        assert only(audit(softmax, transposed, array("x", (5,)), upstream="random")).verdict is Verdict.FAIL
        assert only(audit(softmax, transposed, array("x", (5,)), upstream="ones")).wrong == 0


class TestStep:
    def displacements(self, step: float | None) -> tuple[Any, set[float]]:
        points = []

        def forward(x: Any) -> Any:
            points.append(x.copy())
            return 3.0 * x

        result = only(audit(forward, lambda u, x: 3.0 * u, array("x", (6,)), step=step, method="exhaustive"))
        apart = [point - points[0] for point in points]
        single = [moved[moved != 0.0] for moved in apart if np.count_nonzero(moved) == 1]
        return result, {abs(float(moved[0])) for moved in single}

    @pytest.mark.parametrize("step", [2.0**-8, 2.0**-12])
    def test_a_fixed_step_is_the_one_taken_and_twice_it(self, step: float) -> None:
        _, taken = self.displacements(step)
        assert {round(moved / step, 6) for moved in taken} == {1.0, 2.0}

    def test_by_default_it_fits_the_element(self) -> None:
        result, taken = self.displacements(None)
        assert result.verdict is Verdict.PASS
        assert 1e-9 < min(taken) <= max(taken) < 1e-1

    @pytest.mark.parametrize("step", [1e-15, 1e-12, 1e-4, 0.5])
    def test_no_step_makes_a_right_gradient_wrong(self, step: float) -> None:
        result = only(audit(np.sin, slope_of_sin, step=step))
        assert result.wrong == 0
        assert result.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)

    @pytest.mark.parametrize("step", [1e-15, 1e-12, 0.5])
    def test_no_step_excuses_a_small_error_without_saying_so(self, step: float) -> None:
        """Where nobody asked for a tolerance it is what the noise at the step leaves, and the resolution tells that."""
        result = only(audit(np.sin, lambda u, x: slope_of_sin(u, x) * (1.0 + 3e-7), step=step))
        assert result.mismatches or (result.verdict is Verdict.PASS and 3e-7 < result.resolution < 0.05)
        large = only(audit(np.sin, lambda u, x: slope_of_sin(u, x) * (1.0 + 2.0 * result.resolution), step=step))
        assert large.verdict in (Verdict.INCONCLUSIVE, Verdict.FAIL)
        assert large.mismatches
        asked = Tolerance(1e-7, 1e-9)
        result = only(audit(np.sin, lambda u, x: slope_of_sin(u, x) * (1.0 + 3e-7), step=step, tolerance=asked))
        assert result.verdict in (Verdict.INCONCLUSIVE, Verdict.FAIL)
        assert result.mismatches

    def test_the_displacement_that_counts_is_the_one_that_happened(self) -> None:
        # Numbers at a million are 1.2e-10 apart: a step of 1e-7 is rounded by up to a thousandth, and f is exact.
        x = array("x", (20,), 1e6, 1e6 + 1.0)
        result = only(audit(lambda x: x - 1e6, lambda u, x: 2.0 * u, x, step=1e-7, upstream="ones"))
        assert (result.verdict, result.wrong) == (Verdict.FAIL, 20)
        assert max(abs(found.numerical - 1.0) for found in result.mismatches) < 1e-12

    def test_a_sensible_step_finds_it(self) -> None:
        result = only(audit(np.sin, lambda u, x: slope_of_sin(u, x) * 1.001, step=1e-3))
        assert (result.verdict, result.wrong) == (Verdict.FAIL, 12)


class TestTolerance:
    @pytest.mark.parametrize("scale", [2.0**-8, 1.0, 2.0**8])
    @pytest.mark.parametrize("dtype", DEFAULT_TOLERANCES)
    def test_where_the_spec_is_silent_it_is_the_dtype_s_relative_to_the_gradient(
        self, dtype: str, scale: float
    ) -> None:
        gradients = []

        def backward(u: Any, x: Any) -> Any:
            gradients.append(u * u.dtype.type(scale))
            return gradients[-1]

        x = array("x", (3,), dtype=dtype)
        result = only(audit(lambda x: x * x.dtype.type(scale), backward, x, dtype=dtype))
        rounded = spacing(dtype) / 2 * np.sqrt(np.mean(np.abs(gradients[0].astype(np.complex128)) ** 2))
        assert result.verdict is Verdict.PASS
        assert result.rtol == DEFAULT_TOLERANCES[dtype].rtol
        assert result.atol == pytest.approx(rounded, rel=1e-6)

    @pytest.mark.parametrize(("error", "verdict"), [(0.9e-3, Verdict.PASS), (1.2e-3, Verdict.FAIL)])
    def test_the_spec_s_own_draws_the_line(self, error: float, verdict: Verdict) -> None:
        tolerance = Tolerance(1e-3, 0.0)
        result = only(audit(np.sin, lambda u, x: slope_of_sin(u, x) * (1.0 + error), tolerance=tolerance))
        assert (result.verdict, result.rtol, result.atol) == (verdict, 1e-3, 0.0)

    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    def test_it_is_relative_to_the_numerical_gradient_plus_the_absolute_part(self, sign: float) -> None:
        tolerance = Tolerance(0.01, 0.001)
        allowed = lambda u: tolerance.atol + tolerance.rtol * np.abs(u)  # noqa: E731
        for share, verdict in ((0.98, Verdict.PASS), (1.02, Verdict.FAIL)):
            audited = audit(lambda x: x, lambda u, x: u + sign * share * allowed(u), tolerance=tolerance)  # noqa: B023
            assert only(audited).verdict is verdict

    def test_a_tolerance_beyond_what_differences_can_tell_is_inconclusive(self) -> None:
        result = only(audit(np.sin, slope_of_sin, tolerance=Tolerance(1e-15, 0.0)))
        assert (result.verdict, result.wrong) == (Verdict.INCONCLUSIVE, 0)
        assert "cannot be decided" in result.message

    def test_a_small_error_beyond_a_tolerance_that_is_asked_for_fails(self) -> None:
        def backward(u: Any, x: Any) -> Any:
            gradient = slope_of_sin(u, x)
            gradient[1, 1] *= 1.0 + 3e-9
            return gradient

        result = only(audit(np.sin, backward, tolerance=Tolerance(1e-9, 0.0)))
        assert (result.verdict, [found.index for found in result.mismatches]) == (Verdict.FAIL, [(1, 1)])

    def test_agreement_by_luck_is_no_pass(self) -> None:
        # Differences of the identity are exact, but nobody can know: their bound exceeds this tolerance.
        result = only(audit(lambda x: x, lambda u, x: u, tolerance=Tolerance(1e-15, 0.0), step=2.0**-10))
        assert (result.verdict, result.wrong) == (Verdict.INCONCLUSIVE, 0)


class TestResolution:
    @pytest.mark.parametrize("rtol", [0.06, 0.2, 1.0])
    def test_a_pass_that_lets_large_errors_through_is_inconclusive(self, rtol: float) -> None:
        result = only(audit(np.sin, slope_of_sin, tolerance=Tolerance(rtol, 0.0)))
        assert (result.verdict, result.expected, result.wrong) == (Verdict.INCONCLUSIVE, False, 0)
        assert result.resolution >= rtol
        assert result.message.endswith(f"a relative error of {result.resolution:.2g} could have gone unseen")

    def test_a_loose_tolerance_does_not_excuse_what_exceeds_it(self) -> None:
        result = only(audit(np.sin, lambda u, x: 2.0 * slope_of_sin(u, x), tolerance=Tolerance(0.2, 0.0)))
        assert (result.verdict, result.wrong) == (Verdict.FAIL, 12)

    def test_an_absolute_tolerance_counts_against_the_size_of_the_gradient(self) -> None:
        small = lambda x: 1e-6 * np.sin(x)  # noqa: E731
        backward = lambda u, x: 1e-6 * slope_of_sin(u, x)  # noqa: E731
        drowned = only(audit(small, backward, tolerance=Tolerance(1e-7, 1e-6)))
        assert drowned.verdict is Verdict.INCONCLUSIVE
        assert drowned.resolution > 0.5
        clear = only(audit(small, backward, tolerance=Tolerance(1e-7, 1e-9)))
        assert clear.verdict is Verdict.PASS
        assert clear.resolution < 0.05

    @settings(deadline=None, max_examples=60, derandomize=True)
    @given(
        dtype=st.sampled_from(["float64", "float32", "float16", "bfloat16"]),
        in_float32=st.booleans(),
        seed=st.integers(0, 1000),
        index=st.integers(0, 7),
        sign=st.sampled_from([-1.0, 1.0]),
    )
    def test_an_error_above_it_is_always_reported(
        self, dtype: str, in_float32: bool, seed: int, index: int, sign: float
    ) -> None:
        precision = np.float32 if in_float32 and dtype == "float32" else np.float64
        forward = lambda x: np.sin(x.astype(precision)).astype(precision if in_float32 else x.dtype)  # noqa: E731
        x = array("x", (8,), -1.2, 1.2, dtype=dtype)

        def exact(u: Any, x: Any) -> Any:
            return slope_of_sin(u.astype(np.float64), x.astype(np.float64))

        right = only(audit(forward, lambda u, x: exact(u, x).astype(x.dtype), x, dtype=dtype, seed=seed))
        assert right.verdict is Verdict.PASS

        def faulty(u: Any, x: Any) -> Any:
            gradient = exact(u, x)
            scale = max(abs(gradient[index]), np.sqrt(np.mean(gradient**2)))
            rounding = spacing(dtype)  # of the gradient itself, which may take back some of the error
            gradient[index] += sign * (1.05 * right.resolution + rounding) * scale
            return gradient.astype(x.dtype)

        wrong = only(audit(forward, faulty, x, dtype=dtype, seed=seed))
        assert wrong.verdict is Verdict.FAIL
        # Where forward is in float32 alone, a path through every element proves a gradient wrong and may name no index.
        float32_only = dtype == "float32" and in_float32
        assert [found.index for found in wrong.mismatches] in ([[(index,)], []] if float32_only else [[(index,)]])


class TestGradientsOfZero:
    @staticmethod
    def constant(x: Any) -> Any:
        return np.full(x.shape, 2.5, x.dtype)

    def test_zero_is_right_for_a_constant(self) -> None:
        result = only(audit(self.constant, lambda u, x: np.zeros_like(x)))
        assert (result.verdict, result.wrong) == (Verdict.PASS, 0)
        assert 0.0 < result.resolution < 1e-5

    def test_anything_else_is_wrong(self) -> None:
        result = only(audit(self.constant, lambda u, x: np.full_like(x, 1e-6)))
        assert (result.verdict, result.wrong) == (Verdict.FAIL, 12)
        assert {found.numerical for found in result.mismatches} == {0.0}

    def test_a_tolerance_as_large_as_output_over_input_would_excuse_anything(self) -> None:
        result = only(audit(self.constant, lambda u, x: np.zeros_like(x), tolerance=Tolerance(0.0, 1.0)))
        assert result.verdict is Verdict.INCONCLUSIVE
        assert result.resolution > 0.05

    def test_a_zero_among_others_is_measured_by_them(self) -> None:
        unused_first = lambda x: 3.0 * x[1:]  # noqa: E731
        result = only(audit(unused_first, lambda u, x: np.append(0.0, 3.0 * u), array("x", (4,))))
        assert result.verdict is Verdict.PASS
        wrong = only(audit(unused_first, lambda u, x: np.append(1e-3, 3.0 * u), array("x", (4,))))
        assert [found.index for found in wrong.mismatches] == [(0,)]

    def test_an_upstream_of_zero_makes_every_gradient_zero(self) -> None:
        zeros = [0.0, 0.0, 0.0]
        result = only(audit(np.sin, slope_of_sin, array("x", (3,)), upstream=zeros))
        assert result.wrong == 0
        wrong = only(audit(np.sin, lambda u, x: np.cos(x), array("x", (3,)), upstream=zeros))
        assert (wrong.verdict, wrong.wrong) == (Verdict.FAIL, 3)
