"""Inputs whose values are all equal, or all zero: said of those that hide bugs, and of no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes

from gradaudit.results import Finding, Verdict

SYMMETRY = {"uniform-input", "zero-input"}
DTYPES = ["float64", "float32", "float16", "bfloat16", "complex128"]


def findings(x: Any, *, differentiable: bool = True) -> list[Finding]:
    """Audit a sum of y and x, and return what is said of x."""
    dtype = "float64" if x.dtype == "int64" else x.dtype
    y = array("y", (3,), dtype=dtype)
    gradients = lambda u, y, x: (u, np.broadcast_to(u, x.shape).copy()) if x.shape else (u, u.sum())  # noqa: E731
    backward = gradients if differentiable else lambda u, y, x: u
    audited = audit(lambda y, x: y + x.astype(y.dtype), backward, y, x, dtype=dtype)
    assert {result.verdict for result in audited.results} == {Verdict.PASS}
    return [finding for result in audited.results for finding in result.findings if finding.code in SYMMETRY]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("value", "code"), [(0.0, "zero-input"), (-0.0, "zero-input"), (0.5, "uniform-input")])
def test_equal_values_are_told_with_their_input(value: float, code: str, dtype: str) -> None:
    (found,) = findings(array("x", (3,), dtype=dtype, values=[value] * 3))
    assert (found.code, found.evidence["array"], found.evidence["value"], found.fails) == (code, "x", value, False)
    assert "x" in found.message


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
def test_the_layout_does_not_matter(layout: str) -> None:
    x = array("x", (2, 3), values=[[0.5] * 3] * 2, layout=layout)
    assert "uniform-input" in codes(audit(np.sin, lambda u, x: u * np.cos(x), x))


def test_a_single_zero_hides_what_it_is_multiplied_with() -> None:
    assert [found.code for found in findings(array("x", (), values=0.0))] == ["zero-input"]


def test_a_single_other_value_is_no_symmetry() -> None:
    assert findings(array("x", (), values=0.5)) == []


@pytest.mark.parametrize("values", [[0.0, 0.0, 1e-7], [0.5, 0.5, 0.25], [1.0, -1.0, 1.0]])
def test_one_value_that_differs_is_enough(values: list[float]) -> None:
    assert findings(array("x", (3,), values=values)) == []


@pytest.mark.parametrize(("values", "said"), [([1.0] * 3, []), ([0.5] * 3, []), ([0.0] * 3, ["zero-input"])])
def test_of_data_without_gradient_only_zeros_are_told(values: list[float], said: list[str]) -> None:
    """A mask of ones is what inference is; a mask of zeros shows nothing."""
    x = array("x", (3,), values=values, differentiable=False)
    assert [found.code for found in findings(x, differentiable=False)] == said


@pytest.mark.parametrize("value", [0, 1])
def test_labels_may_all_be_of_one_class(value: int) -> None:
    x = array("x", (3,), dtype="int64", values=[value] * 3, differentiable=False)
    assert findings(x, differentiable=False) == []


def test_an_empty_input_is_not_symmetric() -> None:
    assert codes(audit(np.sin, lambda u, x: u, array("x", (0,)))) & SYMMETRY == set()
