"""Gradients that are right elsewhere: transposed, rolled, or wrong in a region only."""

from __future__ import annotations

import numpy as np
import pytest
from made_evidence import codes, normal, only_cause, some_places

G = normal(4, 6, 5)
SQUARE = normal(7, 7)


def test_a_transposed_matrix() -> None:
    found = only_cause(SQUARE.T, SQUARE)
    assert (found.code, found.evidence["permutation"]) == ("transposed", [1, 0])
    assert found.message == "numerical = analytical with axes 0, 1 exchanged, at every index"


def test_a_symmetric_matrix_cannot_be_transposed() -> None:
    symmetric = SQUARE + SQUARE.T
    assert codes(symmetric.T * -1, symmetric) == ["sign-flipped"]


def test_a_transposed_matrix_with_another_factor_is_neither() -> None:
    assert codes(1.5 * SQUARE.T, SQUARE) == []


def test_a_transposed_large_matrix_at_scattered_places() -> None:
    truth = normal(300, 300)
    assert codes(truth.T, truth, some_places(truth.shape)) == ["transposed"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_reversed_axis(axis: int) -> None:
    found = only_cause(np.flip(G, axis), G)
    assert (found.code, found.evidence["flipped"]) == ("transposed", [axis])


def test_elements_reread_in_another_order() -> None:
    truth = normal(4, 6)
    assert codes(truth.T.reshape(4, 6), truth) == ["transposed"]


@pytest.mark.parametrize(("axis", "by"), [(0, 1), (1, 2), (2, -2)])
def test_a_rolled_axis(axis: int, by: int) -> None:
    found = only_cause(np.roll(G, -by, axis), G)
    assert (found.code, found.evidence["axis"], found.evidence["shift"]) == ("shifted", axis, by)


def test_a_roll_of_a_large_array_at_scattered_places() -> None:
    truth = normal(50, 4000)
    found = only_cause(np.roll(truth, 777, axis=1), truth, some_places(truth.shape))
    assert (found.code, found.evidence["shift"]) == ("shifted", -777)


def test_a_roll_of_half_the_rows_is_no_roll() -> None:
    claimed = G.copy()
    claimed[:2] = np.roll(G[:2], 1, axis=2)
    assert "shifted" not in codes(claimed, G)


def changed(where: tuple[object, ...] | np.ndarray, factor: float = 2.0, truth: np.ndarray = G) -> np.ndarray:
    claimed = truth.copy()
    claimed[where] *= factor
    return claimed


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ((slice(None), slice(None), -1), "at the end of axis 2"),
        ((slice(None), 0), "at 0 along axis 1"),
        ((slice(None), slice(2)), "in the first 2 along axis 1"),
        ((slice(None), 2), "at 2 along axis 1"),
        ((slice(None), slice(None, None, 2)), "at every second position along axis 1, from 0"),
        (np.indices(G.shape)[1:].sum(axis=0) % 2 == 0, "where the sum of the indices along axes 1, 2 is even"),
    ],
)
def test_a_region_by_position(where: tuple[object, ...], text: str) -> None:
    found = only_cause(changed(where), G)
    assert (found.code, found.evidence["region"]) == ("wrong-subset", text)
    assert found.message == f"wrong only {text}; in that region numerical = 0.5000 x analytical"


def test_a_border_of_two_axes() -> None:
    truth, inner = normal(2, 3, 8, 9), np.zeros((2, 3, 8, 9), bool)
    inner[:, :, 1:-1, 1:-1] = True
    found = only_cause(changed(~inner, 0.0, truth), truth)
    assert found.evidence["region"] == "within 1 of the border of axes 2, 3"
    assert found.evidence["inside"] == "the analytical gradient is zero"


def test_half_of_an_input_s_range() -> None:
    x = normal(4, 6, 5, seed=7)
    found = only_cause(changed(x < 0, -1.0), G, inputs={"x": x})
    assert found.message == "wrong only where x < 0; in that region numerical = -analytical"
    assert only_cause(changed(np.abs(x) > 1), G, inputs={"x": x}).evidence["region"] == "where |x| > 1"
    assert only_cause(changed(x > 0.3), G, inputs={"x": x}, params={"knee": 0.3}).evidence["region"] == "where x > 0.3"


def test_a_mask_s_zeros() -> None:
    mask = (normal(4, 6, 5, seed=8) > 0) * 1.0
    noise = normal(4, 6, 5, seed=9)
    found = only_cause(np.where(mask == 0, noise, G), G, inputs={"x": G, "mask": mask})
    assert found.evidence["region"] == "where mask = 0"


def test_rows_that_are_gathered_more_than_once() -> None:
    index = np.array([0, 2, 2, 5, 7, 7, 7, 1])
    truth, claimed = normal(9, 4), normal(9, 4, seed=1)
    repeated = np.bincount(index, minlength=9) > 1
    found = only_cause(np.where(repeated[:, None], claimed, truth), truth, inputs={"x": truth, "index": index})
    assert found.evidence["region"] == "where index holds the position along axis 0 more than once"


def test_wrong_indices_at_ties_are_named_as_repeated_values() -> None:
    x = np.round(normal(40, 6, seed=3), 1)
    tied = np.array([[(row == value).sum() > 1 for value in row] for row in x])
    found = only_cause(np.where(tied, normal(40, 6, seed=4), normal(40, 6)), normal(40, 6), inputs={"x": x})
    assert found.evidence["region"] == "where x has its value more than once along axis 1"


def test_few_indices_are_listed() -> None:
    claimed = G.copy()
    claimed[1, 4, 2] += 1
    claimed[3, 0, 1] += 2
    found = only_cause(claimed, G)
    assert found.code == "wrong-subset"
    assert "(1, 4, 2), (3, 0, 1)" in found.message


def test_many_indices_at_random_are_no_region() -> None:
    where = np.random.default_rng(3).random(G.shape) < 0.4
    assert codes(np.where(where, normal(4, 6, 5, seed=1), G), G) == []


def test_wrong_everywhere_is_no_region() -> None:
    assert codes(normal(4, 6, 5, seed=1), G) == []


def test_a_sample_with_few_wrong_does_not_say_that_few_are() -> None:
    truth = normal(300, 200)
    places = some_places(truth.shape)
    claimed = truth.copy()
    for row in places[[3, 17]]:
        claimed[tuple(row)] += 1
    assert codes(claimed, truth, places) == []
