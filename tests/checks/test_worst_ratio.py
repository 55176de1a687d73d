"""The worst ratio of difference to tolerance that a result reports."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, only

from gradaudit.results import Verdict
from gradaudit.spec.case import Tolerance

ALLOWED = Tolerance(rtol=0.0, atol=1e-3)


def off_by(share: float, where: int) -> Any:
    """Return the backward of ``sin``, off by a share of the tolerance at one element, for the first upstream."""
    factor: list[float] = []

    def backward(upstream: Any, x: Any) -> Any:
        gradient = upstream * np.cos(x)
        if not factor:
            factor.append(1 + share * ALLOWED.atol / gradient.flat[where])
        gradient.flat[where] *= factor[0]
        return gradient

    return backward


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75, 3.0])
def test_it_is_the_share_of_the_tolerance_that_was_used(share: float) -> None:
    result = only(audit(np.sin, off_by(share, 5), array("x", (3, 4)), tolerance=ALLOWED, method="exhaustive"))
    assert result.worst_ratio == pytest.approx(share, abs=1e-4)
    assert result.verdict is (Verdict.PASS if share < 1 else Verdict.FAIL)


def test_a_search_knows_it_where_it_looked() -> None:
    result = only(audit(np.sin, off_by(40.0, 777), array("x", (2000,)), tolerance=ALLOWED, method="search"))
    assert result.method == "search"
    assert result.worst_ratio == pytest.approx(40.0, rel=1e-3)


@pytest.mark.parametrize("shape", [(3, 4), (20, 26)])
def test_there_is_none_where_a_pass_looked_at_no_index(shape: tuple[int, ...]) -> None:
    result = only(audit(np.sin, off_by(0.0, 5), array("x", shape)))
    assert (result.verdict, result.method) == (Verdict.PASS, "search")
    assert math.isnan(result.worst_ratio)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.75])
def test_a_narrow_dtype_is_held_against_its_formula_in_float64_at_every_index(share: float) -> None:
    tolerance = Tolerance(rtol=0.0, atol=1e-2)

    def backward(upstream: Any, x: Any) -> Any:
        gradient = upstream * np.cos(x)
        gradient[7] += x.dtype.type(share * tolerance.atol * (x.dtype == np.float32))
        return gradient

    x = array("x", (50,), dtype="float32")
    result = only(audit(np.sin, backward, x, dtype="float32", tolerance=tolerance))
    assert (result.verdict, result.method) == (Verdict.PASS, "search")
    assert result.worst_ratio == pytest.approx(share, abs=1e-4)


def test_there_is_none_where_nothing_was_compared() -> None:
    result = only(audit(np.sin, lambda upstream, x: None, array("x", (3,))))
    assert math.isnan(result.worst_ratio)
