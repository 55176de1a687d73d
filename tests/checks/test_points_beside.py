"""Points beside given values lie where the values lie: what forward does elsewhere is no matter of the audit's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs import array, audit, only
from scipy.special import erfinv

from gradaudit.checks.gradient.beside import inside
from gradaudit.results import Verdict

GRID = np.linspace(-4, 4, 801)
TABLE = GRID**3


def slope_of_table(u: Any, x: Any) -> Any:
    return u * (np.diff(TABLE) / np.diff(GRID))[np.clip(np.searchsorted(GRID, x, side="right") - 1, 0, 799)]


Function = Callable[..., Any]
WITH_A_DOMAIN: dict[str, tuple[Function, Function, float, float]] = {
    "table": (lambda x: np.interp(x, GRID, TABLE), slope_of_table, -3.99, 3.99),
    "angle": (
        lambda c: np.arccos(np.clip(c, -1, 1)),
        lambda u, c: -u / np.sqrt(np.maximum(1 - c * c, 1e-12)),
        -0.97,
        0.97,
    ),
    "log": (lambda p: np.log(np.clip(p, 1e-9, 1)), lambda u, p: u / p, 0.05, 0.99),
    "log1m": (lambda p: np.log(np.clip(1 - p, 1e-9, 1)), lambda u, p: -u / (1 - p), 0.05, 0.98),
    "probit": (
        lambda p: erfinv(np.clip(p, -0.999, 0.999)),
        lambda u, p: u * np.sqrt(np.pi) / 2 * np.exp(erfinv(np.clip(p, -0.999, 0.999)) ** 2),
        -0.98,
        0.98,
    ),
}


@pytest.mark.parametrize("name", WITH_A_DOMAIN)
def test_a_right_op_is_not_asked_outside_of_its_values(name: str) -> None:
    forward, backward, low, high = WITH_A_DOMAIN[name]
    for seed in range(6):
        values = np.random.default_rng(seed).uniform(low, high, 15)
        values[3] = high
        result = only(audit(forward, backward, array("x", (15,), values=values, range=None), seed=seed))
        assert (result.verdict, result.message) == (Verdict.PASS, "")


@pytest.mark.parametrize("value", [0.99, -0.98, 0.2])
def test_a_right_op_of_one_number_is_asked_nearer_to_zero(value: float) -> None:
    forward, backward, *_ = WITH_A_DOMAIN["angle"]
    result = only(audit(forward, backward, array("c", (), values=np.array(value), range=None)))
    assert (result.verdict, result.message) == (Verdict.PASS, "")


@pytest.mark.parametrize("values", [np.linspace(-0.9, 0.9, 12), np.full(12, 0.5), np.array([0.4]), np.array(0.4)])
def test_what_the_first_forward_left_is_found_inside_of_the_values(values: Any) -> None:
    kept: dict[str, Any] = {}

    def forward(x: Any) -> Any:
        kept.setdefault("x", x.copy())
        return np.arcsin(np.clip(x, -1, 1))

    def backward(u: Any, x: Any) -> Any:
        return u / np.sqrt(1 - kept["x"] ** 2)

    result = only(audit(forward, backward, array("x", values.shape, values=values, range=None)))
    assert [finding.code for finding in result.findings if finding.fails] == ["captured-state"]


numbers = st.floats(-1e6, 1e6, width=32)


@given(st.lists(numbers, min_size=1, max_size=8), st.floats(-3, 3), st.sampled_from(["float64", "float32"]))
def test_numbers_beside_stay_between_the_least_and_the_largest(values: list[float], by: float, dtype: str) -> None:
    x = np.array(values, dtype)
    beside = (x * (1 + by)).astype(dtype)
    made = inside(beside, x, None)
    low, high = (x.min(), x.max()) if x.min() < x.max() else sorted((x.min(), x.dtype.type(0)))
    assert made.dtype == x.dtype
    assert ((made >= low) & (made <= high)).all() or low == high
    kept = (beside >= low) & (beside <= high)
    assert (made[kept] == beside[kept]).all()


def test_a_declared_range_is_wider_than_the_values_and_is_kept_to() -> None:
    x = np.array([0.5, 0.9])
    assert inside(x * 1.25, x, (0.0, 1.0)) == pytest.approx([0.625, 0.875])
    assert inside(x * 1.25, x, (0.0, 2.0)) == pytest.approx([0.625, 1.125])
    assert inside(x * 1.25, x, (0.0, 0.6)) == pytest.approx(inside(x * 1.25, x, None))  # the values are not in it
