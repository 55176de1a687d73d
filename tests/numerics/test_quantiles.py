"""Quantiles are those of ``scipy.stats``."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradaudit.numerics.magnitude import quantile
from gradaudit.numerics.quantiles import fisher_quantile, student_quantile

CHANCES = st.floats(1e-12, 0.9)
FREEDOMS = st.floats(0.5, 1e5)


@given(CHANCES, FREEDOMS)
def test_of_student(chance: float, freedom: float) -> None:
    assert math.isclose(student_quantile(chance, freedom), stats.t.isf(chance, freedom), rel_tol=1e-9)


@given(CHANCES, st.integers(1, 200), FREEDOMS)
def test_of_fisher(chance: float, first: int, second: float) -> None:
    assert math.isclose(fisher_quantile(chance, first, second), stats.f.isf(chance, first, second), rel_tol=1e-9)
    assert math.isclose(stats.f.sf(fisher_quantile(chance, first, second), first, second), chance, rel_tol=1e-3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_quantiles_of_numbers_are_those_of_numpy(dtype: type) -> None:
    rng = np.random.default_rng(3)
    for size in range(1, 40):
        values = (rng.standard_normal(size) * 10.0 ** rng.integers(-3, 3)).astype(dtype)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            assert quantile(values, share) == float(np.quantile(values, share))
        values[rng.integers(size)] = np.nan
        assert np.isnan(quantile(values, 0.25))
