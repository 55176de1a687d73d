"""Where two answers differ: as a comparison of all elements at once says it, however many there are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradaudit.checks.agreement import alike, change, exceeding
from gradaudit.checks.layout import narrow_view
from gradaudit.numerics.arrays import IN_CACHE

SIZES = [1, 7, IN_CACHE, 2 * IN_CACHE + 3]


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("size", SIZES)
def test_differences_above_what_is_allowed_are_counted_wherever_they_are(size: int, dtype: type) -> None:
    rng = np.random.default_rng(size)
    was = rng.uniform(-1, 1, size).astype(dtype)
    now = was + rng.uniform(-0.5, 0.5, size)
    gap = np.abs(now - was)
    for allowed in (0.0, 0.25, 0.5):
        found = exceeding(was, now, allowed)
        assert (found.count, found.size) == ((gap > allowed).sum(), size)
        assert found.largest == gap.max(where=gap > allowed, initial=0.0)
        assert alike(was, now, allowed) is not bool(found)


@np.errstate(invalid="ignore")  # as audits are carried out
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinities_equal_themselves_and_nothing_else(value: float, size: int) -> None:
    was, now = np.zeros(size), np.zeros(size)
    was[-1] = now[-1] = value
    assert not exceeding(was, now, 0.0)
    assert alike(was, now, 0.0)
    now[-1] = 1.0
    assert exceeding(was, now, 1e300).count == exceeding(now, was, 1e300).count == 1
    assert not alike(was, now, 1e300)
    now[-1] = -value
    assert exceeding(was, now, 1e300).count == (not math.isnan(value))


def test_elements_are_held_against_each_other_by_index_and_not_by_memory() -> None:
    was = np.arange(6.0).reshape(2, 3)
    assert alike(was, np.asfortranarray(was), 0.0)
    assert exceeding(was, was.T.reshape(2, 3), 0.0).count == 4


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(6, 5), (16, 16), (8, 1, 32, 32)], ids=str)
def test_a_sum_that_cancels_may_be_added_up_in_any_order(shape: tuple[int, ...], dtype: str) -> None:
    for seed in range(60):
        terms = np.random.default_rng(seed).standard_normal(shape)
        terms = (terms - terms.mean()).astype(dtype)
        (otherwise,) = narrow_view((terms,))
        assert not change(terms.sum(keepdims=True), otherwise.sum(keepdims=True), 1.0, terms.size)
