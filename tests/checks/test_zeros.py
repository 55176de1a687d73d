"""A claim of zero: it passes where forward bears it out, and not because nothing else was to be seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, only

from gradaudit.results import Verdict

Function = Callable[..., Any]

SEEDS = range(3)

BEHIND_AN_OFFSET: dict[str, tuple[Function, Function, float, float]] = {
    "hypotenuse": (lambda x: np.hypot(1e7, x) - 1e7, lambda u, x: u * x / np.hypot(1e7, x), 0.5, 2.0),
    "large sum": (lambda x: x * 2 + 1e15 - 1e15, lambda u, x: 2 * u, -1.0, 1.0),
    "large sum, then summed": (lambda x: (x * 2 + 1e15 - 1e15).sum(), lambda u, x: u * (2 + 0 * x), -1.0, 1.0),
    "time stamp": (lambda x: (1.7e18 + x) - 1.7e18, lambda u, x: u, -5e3, 5e3),
    "root": (lambda x: 1e6 * (np.sqrt(1e12 + x) - 1e6), lambda u, x: u / 2, -1.0, 1.0),
    "logarithm": (lambda x: 1e12 * (np.log(3e12 + x) - np.log(3e12)), lambda u, x: u / 3, -200.0, 200.0),
}

FEW_STEPS: dict[str, Function] = {
    "sign": np.sign,
    "comparison": lambda x: (x > 0.1).astype(x.dtype),
    "floor": np.floor,
    "hundredths": lambda x: np.round(x, 2),
}

STATIONARY: dict[str, tuple[Function, Function, float, float]] = {
    "one and a fourth power": (lambda x: 1 + x**4, lambda u, x: 4 * u * x**3, 0.0, 0.0),
    "saturated": (lambda x: 1 / (1 + np.exp(-x)), lambda u, x: u * (s := 1 / (1 + np.exp(-x))) * (1 - s), 37.5, 42.0),
    "rectified": (lambda x: np.maximum(x, 0), lambda u, x: u * (x > 0), -2.0, -0.001),
    "clipped": (lambda x: np.clip(x, -1, 1), lambda u, x: u * (abs(x) < 1), 1.001, 3.0),
}

RIGHT_ZEROS: dict[str, tuple[Function, Function, int]] = {
    "shifted relu": (lambda x: np.maximum(x - 0.1, 0), lambda u, x: u * (x > 0.1), 14),
    "every other": (lambda x: x * (np.arange(x.size) % 2), lambda u, x: u * (np.arange(x.size) % 2), 14),
    "square": (lambda x: x**2, lambda u, x: 2 * u * x, 14),
    "square, summed": (lambda x: (x**2).sum(), lambda u, x: 2 * u * x, 14),
    "cosine": (lambda x: 1e3 * np.cos(x), lambda u, x: -1e3 * u * np.sin(x), 14),
}


class TestEverywhere:
    @pytest.mark.parametrize("method", ["auto", "exhaustive"])
    @pytest.mark.parametrize("name", BEHIND_AN_OFFSET)
    def test_zeros_for_what_is_rounded_away_beside_an_offset_never_pass(self, name: str, method: str) -> None:
        forward, _, lo, hi = BEHIND_AN_OFFSET[name]
        for seed in SEEDS:
            result = only(audit(forward, lambda u, x: 0 * x, array("x", (9,), lo, hi), seed=seed, method=method))
            assert result.verdict is not Verdict.PASS

    @pytest.mark.parametrize("seed", SEEDS)
    def test_nor_do_they_in_single_precision(self, seed: int) -> None:
        x, million = array("x", (9,), -1.0, 1.0, dtype="float32"), np.float32(1e6)
        result = only(audit(lambda x: (x + million) - million, lambda u, x: 0 * x, x, dtype="float32", seed=seed))
        assert result.verdict is not Verdict.PASS

    @pytest.mark.parametrize("joined", [np.add, lambda x, y: np.concatenate([x, y])], ids=["added", "apart"])
    def test_nor_do_they_beside_an_input_that_is_right(self, joined: Function) -> None:
        x, y = (array(name, (9,), -1.0, 1.0) for name in "xy")
        for seed in SEEDS:
            forward = lambda x, y: joined(np.sin(x), (y + 1e15) - 1e15)  # noqa: E731
            both = audit(forward, lambda u, x, y: (u[:9] * np.cos(x), 0 * y), x, y, seed=seed)
            assert [each.verdict for each in both.results] == [Verdict.PASS, Verdict.INCONCLUSIVE]

    @pytest.mark.parametrize("name", BEHIND_AN_OFFSET)
    def test_the_right_slope_there_is_not_accused(self, name: str) -> None:
        forward, backward, lo, hi = BEHIND_AN_OFFSET[name]
        for seed in SEEDS:
            assert only(audit(forward, backward, array("x", (9,), lo, hi), seed=seed)).verdict is not Verdict.FAIL

    @pytest.mark.parametrize("name", FEW_STEPS)
    def test_the_zeros_of_a_function_with_steps_are_not_accused(self, name: str) -> None:
        for seed in SEEDS:
            result = only(audit(FEW_STEPS[name], lambda u, x: 0 * x, array("x", (30,), -3.0, 3.0), seed=seed))
            assert result.verdict is not Verdict.FAIL
            assert result.verdict is Verdict.PASS or name == "hundredths"

    @pytest.mark.parametrize("name", STATIONARY)
    def test_the_zeros_of_a_function_that_stands_still_pass(self, name: str) -> None:
        forward, backward, lo, hi = STATIONARY[name]
        for seed in SEEDS:
            result = only(audit(forward, backward, array("x", (30,), lo, hi), seed=seed))
            assert result.verdict is Verdict.PASS, result.message


def with_small_rows(shape: tuple[int, ...], size: float, seed: int) -> Any:
    """Return weights of one, and of a size at some of the rows."""
    weights = np.ones(shape)
    weights[np.random.default_rng(seed).choice(shape[0], 3, replace=False)] = size
    return weights


class TestAtSomeIndices:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("shape", [(12, 5), (60, 20)], ids=str)
    @pytest.mark.parametrize("size", [1e-8, 1e-10, 1e-12])
    def test_zeros_for_rows_whose_slope_is_small_fail(self, size: float, shape: tuple[int, ...], dtype: str) -> None:
        for seed in range(2):
            weights = with_small_rows(shape, size, seed)
            x = array("x", shape, dtype=dtype)
            forward = lambda x, w=weights: w.astype(x.dtype) * np.sin(x)  # noqa: E731
            backward = lambda u, x, w=weights: u * (w == 1).astype(x.dtype) * np.cos(x)  # noqa: E731
            assert only(audit(forward, backward, x, dtype=dtype, seed=seed)).verdict is Verdict.FAIL

    @pytest.mark.parametrize("size", [60, 2_000])
    @pytest.mark.parametrize("slope", [1e-8, 1e-12])
    def test_one_of_them_is_found_among_the_zeros_of_a_relu(self, slope: float, size: int) -> None:
        for seed in range(2):
            weights = np.ones(size)
            weights[np.random.default_rng(seed).integers(size)] = slope
            steep = lambda x, w=weights: np.where((w == 1) & (x < 0), 0, w * x)  # noqa: E731
            zeros = lambda u, x, w=weights: u * (w == 1) * (x >= 0)  # noqa: E731
            right = lambda u, x, w=weights: np.where((w == 1) & (x < 0), 0, w * u)  # noqa: E731
            assert only(audit(steep, zeros, array("x", (size,)), seed=seed)).verdict is Verdict.FAIL
            assert only(audit(steep, right, array("x", (size,)), seed=seed)).verdict is Verdict.PASS

    def test_zeros_for_an_input_that_hardly_matters_to_a_loss_never_pass(self) -> None:
        for seed in SEEDS:
            forward = lambda x, y: np.sin(x).sum() + 1e-12 * np.sin(y).sum()  # noqa: E731
            backward = lambda u, x, y: (u * np.cos(x), 0 * y)  # noqa: E731
            made = audit(forward, backward, array("x", (9,)), array("y", (9,)), seed=seed)
            assert made.results[0].verdict is Verdict.PASS
            assert made.results[1].verdict is not Verdict.PASS

    @pytest.mark.parametrize("name", RIGHT_ZEROS)
    @pytest.mark.parametrize("size", [40, 4_000])
    def test_right_zeros_pass_for_few_forwards(self, size: int, name: str) -> None:
        forward, backward, most = RIGHT_ZEROS[name]
        for seed in SEEDS:
            values = np.random.default_rng(seed).uniform(-2, 2, size) * (np.arange(size) % 3 > 0)
            made = audit(forward, backward, array("x", (size,), values=values.tolist()), seed=seed)
            assert only(made).verdict is Verdict.PASS
            assert only(made).evaluations <= most
