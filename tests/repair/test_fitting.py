"""What is fitted: products by their logarithms, and numbers as what they are in a formula."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradaudit.repair.coefficients import coefficients, constant_texts, shortest_decimal
from gradaudit.repair.products import products
from gradaudit.repair.scope import Atom

NAMES = ["a", "b", "c", "d", "e"]


def atoms_of(values: np.ndarray) -> list[Atom]:
    return [Atom(name, (row,), 0) for name, row in zip(NAMES, values, strict=True)]


@given(
    powers=st.lists(st.integers(-2, 2), min_size=5, max_size=5).filter(lambda p: 0 < sum(map(abs, p)) <= 4),
    factor=st.sampled_from([1.0, -2.0, 0.5]),
    seed=st.integers(0, 100),
)
def test_a_product_of_up_to_four_factors_is_found(powers: list[int], factor: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.uniform(0.5, 2.0, (5, 9)) * rng.choice([-1, 1], (5, 9))
    target = factor * np.prod(values.T ** np.array(powers), axis=1)
    found = list(products(target, atoms_of(values), values))
    scope = dict(zip(NAMES, values, strict=True))
    assert any(np.allclose(made.coefficient * eval(made.text, scope), target) for made in found)


def test_noise_is_no_product() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(0.5, 2.0, (5, 9))
    assert list(products(rng.uniform(0.5, 2.0, 9), atoms_of(values), values)) == []


def test_a_product_that_is_there_where_nothing_is_wanted_is_none() -> None:
    values = np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]] * 5) + np.arange(5)[:, None]
    target = np.where(np.arange(6) < 4, values[0], 0.0)
    assert list(products(target, atoms_of(values), values)) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.0, "x"),
        (-1.0, "x"),
        (2.0, "2 * x"),
        (1 / 3, "1 / 3 * x"),
        (7.0, "x * n"),
        (1 / 7, "x / n"),
        (0.045, "0.045 * x"),
    ],
)
def test_a_number_is_written_as_in_a_formula(value: float, said: str) -> None:
    first = next(coefficients(value, [Atom("n", (np.array(7.0),), 0)]))
    assert first.times("x") == said
    assert first.negative == (value < 0)


def test_a_number_of_many_digits_is_no_coefficient() -> None:
    assert list(coefficients(0.28374619, [])) == []
    assert shortest_decimal(0.28374619) is None


def test_a_constant_is_put_right_in_few_digits_or_by_name() -> None:
    assert "0.044715" in constant_texts(0.04471500001, 0.0491865, "np")
    assert "2 * 1 / np.pi" in constant_texts(2 / np.pi, 1.0, "np")
