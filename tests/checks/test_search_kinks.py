"""Searches of ops that are not differentiable somewhere: what lies between the one-sided derivatives is right there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only

from gradaudit.ops.activation import relu, relu_backward
from gradaudit.results import Result, Verdict

Function = Callable[..., Any]

GRIDS = [(2_000, 2), (2_000, 50), (2_000, 500)]
"""Sizes, with the largest value of a grid of integers around 0."""

each_grid = pytest.mark.parametrize(("size", "width"), GRIDS)


def claiming(at_zero: float) -> Function:
    """Return the slope of the ReLU, with a claim of ours at 0."""
    return lambda u, x: u * np.where(x > 0, 1.0, np.where(x < 0, 0.0, at_zero))


def audited_grid(backward: Function, size: int, width: int, seed: int = 0, forward: Function = relu) -> Result:
    x = array("x", (size,), -width, width, distribution="integers")
    return only(audit(forward, backward, x, seed=seed, method="search"))


def assert_passes_with_kinks(backward: Function, size: int, width: int) -> None:
    zeros: list[int] = []

    def counting(u: Any, x: Any) -> Any:
        zeros.append(int((x == 0).sum()))
        return backward(u, x)

    result = audited_grid(counting, size, width)
    assert (result.verdict, result.wrong, result.checked) == (Verdict.PASS, 0, size)
    (kink,) = [finding for finding in result.findings if finding.code == "kink"]
    assert kink.evidence["count"] == zeros[0]
    assert f"{zeros[0]:,}" in kink.message


class TestReluOnAGridThatContainsZero:
    @each_grid
    @pytest.mark.parametrize("claim", [0.0, 1.0])
    def test_either_side_is_right_and_every_kink_is_counted(self, size: int, width: int, claim: float) -> None:
        assert_passes_with_kinks(claiming(claim), size, width)

    def test_a_million_values_are_no_different(self) -> None:
        assert_passes_with_kinks(claiming(0.0), 10**6, 100)

    @each_grid
    def test_the_middle_is_right(self, size: int, width: int) -> None:
        assert audited_grid(claiming(0.5), size, width).verdict is Verdict.PASS

    @each_grid
    @pytest.mark.parametrize("claim", [1.5, -0.5])
    def test_a_claim_outside_is_wrong(self, size: int, width: int, claim: float) -> None:
        result = audited_grid(claiming(claim), size, width)
        assert result.verdict is Verdict.FAIL
        assert result.wrong > 0
        assert "kink" in {finding.code for finding in result.findings}
        for found in result.mismatches:  # with the nearer of the one-sided derivatives, 0 and the upstream gradient
            assert found.difference == pytest.approx(abs(found.analytical) * (0.5 / abs(claim)))

    def test_claims_that_differ_from_zero_to_zero_are_right_too(self) -> None:
        def backward(u: Any, x: Any) -> Any:
            return u * np.where(x == 0, np.linspace(0, 1, x.size), x > 0)

        assert audited_grid(backward, 2_000, 50).verdict is Verdict.PASS

    @pytest.mark.parametrize("seed", range(5))
    def test_one_wrong_claim_among_the_zeros_does_not_pass(self, seed: int) -> None:
        def backward(u: Any, x: Any) -> Any:
            gradient = relu_backward(u, x)
            zeros = np.flatnonzero(x == 0)
            gradient[zeros[seed * len(zeros) // 5]] = 1.5
            return gradient

        assert audited_grid(backward, 10**4, 20, seed).verdict is not Verdict.PASS

    @pytest.mark.parametrize("width", [2, 100])
    def test_one_wrong_claim_beside_the_zeros_does_not_pass(self, width: int) -> None:
        def backward(u: Any, x: Any) -> Any:
            gradient = relu_backward(u, x)
            gradient[np.flatnonzero(x == 1)[0]] *= 1.01
            return gradient

        assert audited_grid(backward, 10**4, width).verdict is Verdict.FAIL


@pytest.mark.parametrize(("size", "seed"), [(10**6, 0), (10**5, 1), (10**5, 2), (10**4, 3), (10**4, 4)])
def test_relu_of_normal_values_passes(size: int, seed: int) -> None:
    x = array("x", (size,), -3, 3, distribution="normal")
    result = only(audit(relu, relu_backward, x, seed=seed))
    assert (result.verdict, result.checked) == (Verdict.PASS, size)
    assert result.evaluations <= 1_000


def test_one_wrong_index_of_relu_is_found_among_values_near_the_kink() -> None:
    def backward(u: Any, x: Any) -> Any:
        gradient = relu_backward(u, x)
        gradient[place := int(np.flatnonzero(x > 1)[0])] *= 1.01
        places.append(place)
        return gradient

    places: list[int] = []
    result = only(audit(relu, backward, array("x", (10**5,), -3, 3, distribution="normal")))
    assert (result.verdict, [found.index for found in result.mismatches]) == (Verdict.FAIL, [(places[0],)])


OTHER_KINKS: dict[str, tuple[Function, Function]] = {
    "abs": (np.abs, lambda u, x: u * np.sign(x)),
    "abs from the right": (np.abs, lambda u, x: u * np.where(x >= 0, 1.0, -1.0)),
    "clip": (lambda x: np.clip(x, -1, 1), lambda u, x: u * (np.abs(x) < 1)),
    "clip with its ends": (lambda x: np.clip(x, -1, 1), lambda u, x: u * (np.abs(x) <= 1)),
    "hinge": (lambda x: np.maximum(0, 1 - x), lambda u, x: -u * (x < 1)),
}


@pytest.mark.parametrize("name", OTHER_KINKS)
@pytest.mark.parametrize("width", [3, 50])
def test_other_kinks_on_a_grid_pass(name: str, width: int) -> None:
    forward, backward = OTHER_KINKS[name]
    verdicts = {audited_grid(backward, 2_000, width, seed, forward).verdict for seed in range(3)}
    # Two kinks, each at an element in a hundred: a sample of all may meet only one of them, and leave it undecided.
    assert verdicts <= ({Verdict.PASS} if width == 3 else {Verdict.PASS, Verdict.INCONCLUSIVE})
    assert Verdict.PASS in verdicts


@pytest.mark.parametrize("name", OTHER_KINKS)
def test_other_kinks_with_a_claim_outside_do_not_pass(name: str) -> None:
    forward, backward = OTHER_KINKS[name]
    wrong = lambda u, x: backward(u, x) + 1.5 * np.isin(x, [-1, 0, 1])  # noqa: E731
    assert audited_grid(wrong, 2_000, 50, forward=forward).verdict is not Verdict.PASS


def test_ties_that_share_a_gradient_are_not_accused() -> None:
    """A share of one half for each of two is right, and lies between the one-sided derivatives of both."""

    def backward(u: Any, x: Any) -> Any:
        ties = x == x.max(axis=1, keepdims=True)
        return ties / ties.sum(axis=1, keepdims=True) * u[:, None]

    x = array("x", (1000, 10), 0, 9, distribution="integers")
    audited = audit(lambda x: x.max(axis=1), backward, x)
    assert only(audited).verdict is not Verdict.FAIL
    assert only(audited).wrong == 0
    assert codes(audited) <= {"kink"}
