"""The curve against functions whose differences are known in closed form."""

from __future__ import annotations

import math

import pytest
from audits import Explained

from gradaudit.explain.curve import StepCurve
from gradaudit.explain.explanation import Explanation


def curve_of(explanation: Explanation) -> StepCurve:
    (study,) = explanation.studies
    assert study.curve, study.no_curve
    return study.curve


def test_a_cubes_truncation_error_is_the_step_squared(explained: Explained) -> None:
    # With an upstream of 1 the central difference of x**3 is 3 x**2 + h**2.
    curve = curve_of(explained("x * x * x", "3 * x * x * u", "x: {values: [0.75]}", upstream="ones"))
    wide = [point for point in curve.points if point.branch == "truncation"]
    assert len(wide) > 10
    for point in wide:
        assert point.error == pytest.approx(point.step**2, rel=0.01, abs=2 * (point.rounding + curve.bound))
    assert curve.estimate == pytest.approx(3 * 0.75**2, rel=1e-10)


def test_errors_of_rounding_keep_below_the_noise_floor(explained: Explained) -> None:
    curve = curve_of(explained("np.sin(x)", "np.cos(x) * u"))
    fine = [point for point in curve.points if point.branch == "rounding"]
    assert len(fine) > 10
    assert all(point.error <= point.rounding + curve.bound for point in fine)


def test_a_linear_op_has_no_truncation(explained: Explained) -> None:
    assert {point.branch for point in curve_of(explained("2.0 * x", "2.0 * u")).points} == {"rounding"}


def test_the_step_chosen_lies_where_neither_error_is_large(explained: Explained) -> None:
    curve = curve_of(explained("np.exp(x)", "np.exp(x) * u"))
    (chosen,) = [point for point in curve.points if point.step == curve.chosen_step]
    assert chosen.error < 1e-6 * abs(curve.estimate)
    assert curve.points[0].step <= 2.0**-40
    assert curve.points[-1].step >= 1.0


def test_the_worst_index_is_looked_at_where_one_is_wrong(explained: Explained) -> None:
    wrong = "np.where(np.arange(12).reshape(3, 4) == 6, 1.5, 1.0) * 2 * x * u"
    explanation = explained("x * x", wrong)
    curve = curve_of(explanation)
    (mismatch,) = explanation.results[0].mismatches
    assert curve.index == mismatch.index == (1, 2)
    assert curve.difference == pytest.approx(mismatch.difference, rel=1e-6)


def test_the_imaginary_part_is_looked_at_where_that_is_wrong(explained: Explained) -> None:
    wrong = "np.conj(2 * x) * u + 0.5j"
    curve = curve_of(explained("x * x", wrong, "x: {shape: [2], range: [0.5, 1.5]}", dtype="complex128"))
    assert curve.part == "imaginary"
    assert curve.difference == pytest.approx(0.5, rel=1e-6)


def test_a_forward_in_float32_is_differenced_there(explained: Explained) -> None:
    curve = curve_of(explained("np.float32(1) * np.tanh(x).astype(np.float32)", "u / np.cosh(x) ** 2", dtype="float32"))
    assert curve.dtype == "float32"
    assert curve.chosen_step > 2.0**-14


def test_without_a_gradient_there_is_no_curve(explained: Explained) -> None:
    (study,) = explained("x * x", "None").studies
    assert study.curve is None
    assert study.no_curve
    assert study.snippet == ""


def test_a_fixed_step_is_the_one_chosen(explained: Explained) -> None:
    curve = curve_of(explained("np.sin(x)", "np.cos(x) * u", step="0.001", tolerance="{rtol: 1.0e-4}"))
    assert curve.chosen_step == 0.001
    assert math.isfinite(curve.bound)
