"""Searches where something computes in a narrow dtype: forward inside, or the op as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only

import gradaudit
from gradaudit.ops.activation import gelu, gelu_backward
from gradaudit.results import Result, Verdict

Function = Callable[..., Any]


def sine_backward(u: Any, x: Any) -> Any:
    return (u * np.cos(x.astype(np.float64))).astype(x.dtype)


def in_single_precision(function: Function, returns: str) -> Function:
    return lambda x: function(x.astype(np.float32)).astype(returns)


def smooth_gelu_backward(u: Any, x: Any) -> Any:
    return gelu_backward(u.astype(np.float64), x.astype(np.float64)).astype(x.dtype)


FUNCTIONS = {"sine": (np.sin, sine_backward), "gelu": (gelu, smooth_gelu_backward)}

DTYPES = [("float32", "float32"), ("float64", "float32"), ("float64", "float64")]
"""What forward returns, and what the case is in."""

each_dtype = pytest.mark.parametrize(("returns", "dtype"), DTYPES)


def audited(
    name: str, returns: str, dtype: str, size: int, seed: int, fault: Callable[[Any], None] = lambda gradient: None
) -> Result:
    function, slope = FUNCTIONS[name]

    def backward(u: Any, x: Any) -> Any:
        gradient = slope(u, x)
        fault(gradient)
        return gradient

    x = array("x", (size,), -3, 3, dtype=dtype)
    return only(audit(in_single_precision(function, returns), backward, x, dtype=dtype, seed=seed, method="search"))


FEWEST = 1_500
"""Forwards that the noise of float32 takes even for inputs so small that a fiftieth of their elements is less."""


def assert_passes_cheaply(result: Result) -> None:
    assert (result.verdict, result.wrong) == (Verdict.PASS, 0)
    assert result.checked == result.size
    assert result.resolution <= 0.05
    assert result.miss_probability <= 1e-6
    assert result.evaluations <= max(result.size / 50, FEWEST)


class TestForwardsThatComputeInFloat32:
    @each_dtype
    @pytest.mark.parametrize(("name", "seed"), [("sine", 0), ("gelu", 2)])
    def test_a_right_gradient_passes_at_a_fiftieth_of_the_forwards(
        self, name: str, seed: int, returns: str, dtype: str
    ) -> None:
        assert_passes_cheaply(audited(name, returns, dtype, 20_000, seed))

    def test_a_hundred_thousand_elements_do_too(self) -> None:
        assert_passes_cheaply(audited("sine", "float64", "float64", 10**5, 0))

    @each_dtype
    @pytest.mark.parametrize("seed", range(3))
    def test_an_error_of_five_percent_at_one_index_is_found(self, returns: str, dtype: str, seed: int) -> None:
        def fault(gradient: Any) -> None:
            if not places:  # a fault of the op's, at the same index for every upstream
                of_usual_size = np.flatnonzero(np.abs(gradient) > 0.5)
                places.add((int(of_usual_size[999 * seed]),))
            gradient[next(iter(places))] *= 1.05

        places: set[tuple[int, ...]] = set()
        result = audited("gelu", returns, dtype, 5_000, seed, fault)
        assert result.verdict is Verdict.FAIL
        assert {found.index for found in result.mismatches} == places

    @each_dtype
    def test_a_gradient_wrong_by_a_tenth_everywhere_fails(self, returns: str, dtype: str) -> None:
        def fault(gradient: Any) -> None:
            gradient *= 1.1

        result = audited("gelu", returns, dtype, 10_000, 0, fault)
        assert (result.verdict, result.wrong >= 16) == (Verdict.FAIL, True)

    @pytest.mark.parametrize("seed", range(6))
    def test_no_index_is_accused_by_the_noise_it_is_looked_at_through(self, seed: int) -> None:
        """The slope of the GELU has a root at -0.75, and far left of it its values are tiny beside their own noise."""
        result = audited("gelu", "float64", "float64", 3_000, seed)
        assert (result.wrong, result.mismatches) == (0, ())


LOSSY = (lambda x: 1e6 * (x - np.sin(x)), lambda u, x: (1e6 * u) * (1 - np.cos(x)))
LOSSLESS = (lambda x: 1e6 * (x - np.sin(x)), lambda u, x: (2e6 * u) * np.sin(x / 2) ** 2)
"""The same function with the same slope, which one of the two loses to cancellation near 0."""


class TestPrecisionLadder:
    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_a_right_gradient_passes_in_a_dozen_forwards(self, dtype: str) -> None:
        def backward(u: Any, x: Any) -> Any:
            return (u * np.cos(x)).astype(x.dtype)

        result = only(audit(np.sin, backward, array("x", (10**5,), dtype=dtype), dtype=dtype))
        assert (result.verdict, result.method, result.checked) == (Verdict.PASS, "search", 10**5)
        assert result.evaluations <= 12
        assert result.miss_probability <= 1e-6

    @pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
    def test_one_wrong_index_is_found(self, dtype: str) -> None:
        def backward(u: Any, x: Any) -> Any:
            gradient = (u * np.cos(x)).astype(x.dtype)
            gradient[777] *= 1.5
            return gradient

        result = only(audit(np.sin, backward, array("x", (10**4,), dtype=dtype), dtype=dtype))
        assert result.verdict is Verdict.FAIL
        assert [found.index for found in result.mismatches] == [(777,)]
        assert [found.code for found in result.findings] == ["wrong-subset"]

    def test_cancellation_in_float32_alone_is_precision_loss(self) -> None:
        forward, backward = LOSSY
        points: list[Any] = []

        def recording(u: Any, x: Any) -> Any:
            points.append(x.copy())
            return backward(u, x)

        lossy = audit(forward, recording, array("x", (10**5,), 1e-3, 0.1, dtype="float32"), dtype="float32")
        result = only(lossy)
        assert (result.verdict, codes(lossy)) == (Verdict.FAIL, {"precision-loss"})
        assert result.wrong > 0
        # What is lost is half a spacing of 1, next to x**2 / 2: more than 1e-4 of it only below 0.05.
        lost = [float(points[0][found.index]) for found in result.mismatches]
        assert max(lost) < 0.05
        assert all(found.difference > found.tolerance for found in result.mismatches)

    def test_the_same_slope_without_cancellation_passes(self) -> None:
        forward, backward = LOSSLESS
        audited_whole = audit(
            forward, backward, array("x", (10**5,), 1e-3, 0.1, dtype="float32"), dtype="float32", method="search"
        )
        assert only(audited_whole).verdict is Verdict.PASS
        assert codes(audited_whole) == set()

    def test_a_lossy_formula_in_float64_passes(self) -> None:
        forward, backward = LOSSY
        assert only(audit(forward, backward, array("x", (10**5,), 1e-3, 1.0))).verdict is Verdict.PASS

    def test_a_wrong_formula_is_no_precision_loss(self) -> None:
        forward, backward = LOSSLESS
        audit_of_wrong = audit(
            forward,
            lambda u, x: np.float32(1.01) * backward(u, x).astype(x.dtype),
            array("x", (10**4,), 0.1, 1.0, dtype="float32"),
            dtype="float32",
        )
        assert only(audit_of_wrong).verdict is Verdict.FAIL
        assert "precision-loss" not in codes(audit_of_wrong)


class TestFloat32InPart:
    """Forwards whose outputs are no numbers of float32, though all but a trifle of them is rounded to it."""

    def audited(self, fault: float = 1.0) -> Result:
        def forward(x: Any) -> Any:
            return (np.float32(10) + x.astype(np.float32) ** 2).astype(np.float64) + 1e-9 * x

        def backward(u: Any, x: Any) -> Any:
            gradient = u * (2 * x + 1e-9)
            gradient[7] *= fault
            return gradient

        return only(audit(forward, backward, array("x", (2_000,), 0.5, 1.5)))

    def test_blocks_that_are_too_noisy_together_pass_apart(self) -> None:
        result = self.audited()
        assert result.verdict is Verdict.PASS
        assert result.evaluations < result.size / 2

    def test_an_error_in_one_of_them_is_found(self) -> None:
        result = self.audited(fault=1.2)
        assert result.verdict is Verdict.FAIL
        assert [found.index for found in result.mismatches] == [(7,)]


class TestJumps:
    """Stairs of a quarter with slopes between them, in float32 only: differences of 400 elements reach some jumps."""

    @pytest.mark.parametrize("seed", [0, 4, 7])
    def test_a_claim_that_is_right_between_them_is_not_accused(self, seed: int) -> None:
        result = self._checked(seed, 1.0)
        assert (result.verdict, result.wrong) == (Verdict.INCONCLUSIVE, 0)
        assert "discontinuity" in {finding.code for finding in result.findings}

    @pytest.mark.parametrize("factor", [1.02, 1.5])
    @pytest.mark.parametrize("seed", [0, 4, 7])
    def test_one_that_is_wrong_between_them_fails(self, seed: int, factor: float) -> None:
        assert self._checked(seed, factor).verdict is Verdict.FAIL

    def _checked(self, seed: int, factor: float) -> Result:
        rng = np.random.default_rng(seed)
        heights, slopes, _ = rng.uniform(0.5, 1.5, (400, 3)).astype(np.float32).T

        def forward(x: Any) -> Any:
            if x.dtype != np.float32:
                raise TypeError("float32 only")
            return np.floor(4 * x) / 4 * heights + x * slopes

        op = gradaudit.op(forward, lambda u, x: (factor * u * slopes).astype(np.float32))
        (result,) = gradaudit.check(op, {"x": rng.uniform(-2, 2, 400).astype(np.float32)}).results
        return result
