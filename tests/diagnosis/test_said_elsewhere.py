"""A cause is named only if it would be named again at other draws and at other shapes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1] / "checks"))

from pairs import array, audit, only
from planted import causes

from gradaudit.audit.elsewhere import MOST_FORWARDS
from gradaudit.results import Finding, Verdict

SEEDS = range(7)


def said(*given: Any, **settings: Any) -> Iterator[Finding]:
    """Yield the first cause that is named, at each of seven seeds; at some of them there may be none."""
    for seed in SEEDS:
        result = only(audit(*given, seed=seed, **settings))
        assert result.verdict is Verdict.FAIL
        yield from causes(result)[:1]


def gather(weight: Any, index: Any) -> Any:
    return weight[index]


def last_one_wins(upstream: Any, weight: Any, index: Any) -> Any:
    gradient = np.zeros_like(weight)
    gradient[index] = upstream
    return gradient


def test_rows_taken_more_than_once_are_no_border() -> None:
    index = array("index", (7,), dtype="int64", range=(0, 4), distribution="integers", differentiable=False)
    found = list(said(gather, last_one_wins, array("weight", (5, 3)), index))
    assert {each.evidence["region"] for each in found} == {"where index holds the position along axis 0 more than once"}
    assert len(found) >= len(SEEDS) - 1


def test_a_half_space_is_no_diagonal_and_no_list_of_positions() -> None:
    def backward(upstream: Any, x: Any) -> Any:
        return upstream * np.where(x > 0, np.cos(x), 1.0)

    for each in said(np.sin, backward, array("x", (3, 3))):
        assert each.evidence.get("region", "where x < 0") == "where x < 0"


def test_what_is_wrong_at_random_has_no_position() -> None:
    def backward(upstream: Any, x: Any) -> Any:
        return upstream * np.where(np.sin(1e3 * x) > 0.6, 0.0, np.cos(x))

    for each in said(np.sin, backward, array("x", (4, 4))):
        assert "region" not in each.evidence


def mean_of_squares(x: Any) -> Any:
    return np.square(x).sum() / len(x)


def test_a_size_is_the_one_that_fits_at_other_shapes_too() -> None:
    for each in said(mean_of_squares, lambda u, x: 2 * u * x, array("x", (4, 4))):
        assert each.message.endswith("0.2500 is 1/N (N = 4, the batch size, axis 0 of x)")
    for each in said(lambda x: np.square(x).sum() / x.shape[1], lambda u, x: 2 * u * x, array("x", (4, 4))):
        assert each.message.endswith("0.2500 is 1/N (N = 4, axis 1 of x)")


def test_all_sizes_that_match_are_named_where_no_other_shape_can_be_had() -> None:
    def square_only(x: Any) -> Any:
        assert x.shape == (4, 4)
        return mean_of_squares(x)

    (each, *_) = said(square_only, lambda u, x: 2 * u * x, array("x", (4, 4)))
    assert "the batch size, axis 0 of x) or 1/N (N = 4, axis 1 of x)" in each.message


def test_a_number_that_only_happens_to_be_a_size_is_a_number() -> None:
    for each in said(lambda x: np.square(x) / 5, lambda u, x: 2 * u * x, array("x", (5, 3))):
        assert each.message == "numerical = 0.2000 x analytical at every index"


def test_an_axis_that_is_as_long_as_its_roll() -> None:
    for each in said(np.sin, lambda u, x: np.roll(u * np.cos(x), 2, axis=1), array("x", (2, 3))):
        assert (each.evidence["axis"], each.evidence["shift"]) == (1, -2)


ALONE = "; seen at this point only: no other draw or shape could test it"


def test_a_cause_that_no_other_point_tells_of_says_so() -> None:
    here = np.linspace(0.5, 1.5, 12, dtype=np.float64).reshape(3, 4)

    def one_point_only(x: Any) -> Any:
        assert np.abs(x - here).max() < 0.01  # finite differences go that far, other draws do not
        return np.square(x)

    (each, *_) = said(one_point_only, lambda u, x: 3 * u * x, array("x", (3, 4), values=here))
    assert each.message.endswith(ALONE)
    assert each.evidence["elsewhere"] == 0
    (each, *_) = said(np.square, lambda u, x: 3 * u * x, array("x", (3, 4)))
    assert ALONE not in each.message


def test_what_is_said_of_calls_holds_at_other_points_as_well() -> None:
    for each in said(np.sin, lambda u, x: np.sign(u) * np.cos(x), array("x", (3, 4))):
        assert "upstream" in each.message
        assert ALONE not in each.message


def test_a_flat_forward_whose_backward_passes_the_upstream() -> None:
    found = list(said(np.floor, lambda u, x: u, array("x", (4, 5), range=(0.2, 0.8))))
    assert len(found) == len(SEEDS)
    assert {each.message.partition(";")[0] for each in found} == {
        "forward is flat here: numerical = 0 at every index, and backward passes the upstream straight through"
    }
    assert not list(said(np.floor, lambda u, x: u * x, array("x", (4, 5), range=(0.2, 0.8))))


def test_few_elements_are_no_factor() -> None:
    assert not list(said(lambda x: x**3, lambda u, x: u * np.cosh(x), array("x", (1,))))


def test_tolerance_alone_parts_no_region_from_the_rest() -> None:
    def backward(upstream: Any, x: Any) -> Any:  # off by up to 2e-7, where 1e-7 is allowed: more so to the right
        return upstream * np.cos(x) * (1 + 2e-7 * (0.2 + np.arange(x.shape[1]) / x.shape[1]))

    assert not [each for each in said(np.sin, backward, array("x", (3, 8))) if "region" in each.evidence]


def test_a_sample_says_how_many_were_looked_at() -> None:
    (each, *_) = said(np.sin, lambda u, x: -u * np.cos(x), array("x", (200, 300)))
    assert "indices tested" in each.message


@pytest.mark.parametrize("shape", [(3, 4), (20, 26)])
def test_naming_costs_few_forwards(shape: tuple[int, ...]) -> None:
    def backward(upstream: Any, a: Any, b: Any, c: Any) -> Any:
        return upstream * b * np.cosh(a), upstream * a**2 * c, upstream * np.exp(c)

    inputs = [array(name, shape) for name in "abc"]
    without = audit(lambda a, b, c: a * b * c, lambda u, a, b, c: (u * b * c, u * a * c, u * a * b), *inputs)
    wrong = audit(lambda a, b, c: a * b * c, backward, *inputs)
    assert [each.verdict for each in wrong.results] == [Verdict.FAIL] * 3
    assert wrong.check_evaluations - without.check_evaluations <= MOST_FORWARDS + 4 == 40


def test_a_gradient_that_is_the_same_along_an_axis() -> None:
    def backward(upstream: Any, x: Any) -> Any:
        return np.broadcast_to((upstream * x**2).sum(axis=1, keepdims=True), x.shape)

    found = list(said(lambda x: x**2 * x.sum(axis=1, keepdims=True), backward, array("x", (4, 5))))
    assert [(each.code, each.evidence["axis"]) for each in found] == [("constant-along-axis", 1)] * len(SEEDS)


@pytest.mark.parametrize(
    ("forward", "factor"),
    [
        (np.exp, "output"),
        (lambda x: x**2 / 2 - x**3 / 3, "x * (1 - x)"),
        (np.sin, "cos(x)"),
        (np.arctan, "1/(1 + x^2)"),
    ],
)
def test_a_factor_that_is_a_function_of_an_input(forward: Any, factor: str) -> None:
    found = list(said(forward, lambda u, x: 1.0 * u, array("x", (3, 3))))
    assert {each.evidence["factor"] for each in found} == {factor}


def test_a_factor_inside_a_region_is_told_with_the_region() -> None:
    def backward(upstream: Any, x: Any) -> Any:
        gradient = upstream * np.cos(x)
        gradient[2:4] *= 0.125
        return gradient

    for each in said(np.sin, backward, array("x", (6, 3))):
        assert each.message.startswith("wrong only at 2, 3 along axis 0; in that region numerical = 8.000 x analytical")
