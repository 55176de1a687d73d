"""Searches where no one step suits all elements: some are lost in their own rounding, or forward has waves closer by.

What a step does not displace is not tested by it, whatever the differences are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, only

from gradaudit.results import Verdict

Function = Callable[..., Any]

SIZE = 2_000
LARGE = 5
"""Index of the element that is large."""


def damped(x: Any) -> Any:
    """Return the sum of all, the large one's share of it as small as those of the others."""
    return (x.reshape(40, 50) * WEIGHTS).sum(0)


def damped_backward(u: Any, x: Any) -> Any:
    return (u * WEIGHTS).reshape(-1)


WEIGHTS = np.ones((40, 50))
WEIGHTS.flat[LARGE] = 1e-6


def with_one_large(size: float, seed: int) -> Any:
    values = np.random.default_rng(seed).uniform(0.5, 1.5, SIZE)
    values[LARGE] = size
    return array("x", (SIZE,), values=tuple(values.tolist()))


def wrong_where_large(backward: Function) -> Function:
    def wrong(u: Any, x: Any) -> Any:
        gradient = backward(u, x)
        gradient[LARGE] *= 1.5
        return gradient

    return wrong


class TestOneElementFarLargerThanTheOthers:
    @pytest.mark.parametrize("size", [1e3, 1e8, 1e10, 1e12])
    def test_is_tested_at_a_step_of_its_own(self, size: float) -> None:
        for seed in range(2):
            x = with_one_large(size, seed)
            assert only(audit(damped, damped_backward, x, seed=seed)).verdict is Verdict.PASS
            result = only(audit(damped, wrong_where_large(damped_backward), x, seed=seed))
            assert (result.verdict, [row.index for row in result.mismatches]) == (Verdict.FAIL, [(LARGE,)])

    @pytest.mark.parametrize("size", [1e9, 1e11, 1e12, 1e14, 1e16, 1e20])
    def test_is_not_passed_unseen_and_not_accused(self, size: float) -> None:
        slope = lambda u, x: u * np.cos(x)  # noqa: E731
        for seed in range(2):
            x = with_one_large(size, seed)
            assert only(audit(np.sin, slope, x, seed=seed)).verdict is not Verdict.FAIL
            assert only(audit(np.sin, wrong_where_large(slope), x, seed=seed)).verdict is not Verdict.PASS

    def test_as_many_as_there_are_small_ones_are_tested_too(self) -> None:
        values = np.random.default_rng(0).uniform(0.5, 1.5, SIZE)
        values[::2] *= 1e12
        x = array("x", (SIZE,), values=tuple(values.tolist()))
        sizes = np.where(np.arange(SIZE) % 2, 1.0, 1e-12)

        def backward(u: Any, x: Any) -> Any:
            return u * sizes * np.cos(sizes * x)

        def wrong(u: Any, x: Any) -> Any:
            return backward(u, x) * np.where(np.arange(SIZE) == 1001, 1.01, 1.0)

        forward = lambda x: np.sin(sizes * x)  # noqa: E731
        assert only(audit(forward, backward, x)).verdict is Verdict.PASS
        assert only(audit(forward, wrong, x)).verdict is Verdict.FAIL


@pytest.mark.parametrize("rate", [1e6, 1e10, 1e12, 1e16])
class TestAFunctionThatOscillatesFasterThanAnyStep:
    @pytest.mark.parametrize(("size", "method"), [(500, "auto"), (30, "search"), (30, "exhaustive")])
    def test_a_wrong_gradient_does_not_pass_by_accident(self, rate: float, size: int, method: str) -> None:
        def wrong(u: Any, x: Any) -> Any:
            return 1.01 * u * rate * np.cos(rate * x)

        made = audit(lambda x: np.sin(rate * x), wrong, array("x", (size,)), method=method)
        assert only(made).verdict is not Verdict.PASS

    @pytest.mark.parametrize(("size", "method"), [(500, "auto"), (30, "exhaustive")])
    def test_the_right_one_is_not_accused(self, rate: float, size: int, method: str) -> None:
        def right(u: Any, x: Any) -> Any:
            return u * rate * np.cos(rate * x)

        made = audit(lambda x: np.sin(rate * x), right, array("x", (size,)), method=method)
        assert only(made).verdict is not Verdict.FAIL


@pytest.mark.parametrize("method", ["auto", "exhaustive"])
@pytest.mark.parametrize("factor", [1.0, 1.3, -1.0])
def test_a_pass_names_the_gradients_that_are_lost_beside_those_of_other_magnitudes(factor: float, method: str) -> None:
    """That of the largest input is 10^-24 of the typical one: whatever is claimed there, nobody can tell."""

    def backward(u: Any, x: Any) -> Any:
        return -u / x**2 * np.where(x == x.max(), factor, 1.0)

    x = array("x", (26,), values=10.0 ** np.linspace(-6, 6, 26))
    result = only(audit(lambda x: 1 / x, backward, x, method=method))
    (told,) = [finding for finding in result.findings if finding.code == "below-noise"]
    assert result.verdict is Verdict.PASS
    assert told.evidence["count"] >= 1
    assert told.evidence["below"] > 1e-12
