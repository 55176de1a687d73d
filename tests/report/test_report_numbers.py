"""Numbers as people write them, without losing what they say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradaudit.report import numbers

finite = st.floats(-1e300, 1e300)


@given(finite)
def test_full_loses_less_than_a_float32_could_show(value: float) -> None:
    assert float(numbers.full(value)) == pytest.approx(value, rel=1e-13, abs=0.0)


@given(finite)
def test_what_has_no_sign_leaves_room_for_one(value: float) -> None:
    for written in (numbers.full(value), numbers.column(value)):
        assert written[0] == ("-" if math.copysign(1, value) < 0 else " ")


@given(finite)
def test_columns_keep_five_digits(value: float) -> None:
    written = numbers.column(value)
    assert float(written) == pytest.approx(value, rel=1e-4, abs=0.0)


@given(st.complex_numbers(allow_nan=False, allow_infinity=False, max_magnitude=1e300))
def test_complex_numbers_keep_both_parts(value: complex) -> None:
    read = complex(numbers.column(value).replace(" ", ""))
    assert read.real == pytest.approx(value.real, rel=1e-4, abs=0.0)
    assert read.imag == pytest.approx(value.imag, rel=1e-4, abs=0.0)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1e-4, "1e-4"),
        (1e-7, "1e-7"),
        (2.5e-5, "2.5e-5"),
        (1e-3, "0.001"),
        (0.016, "0.016"),
        (0.04, "0.04"),
        (0.0, "0"),
        (1.0, "1"),
        (3e8, "3e8"),
        (math.inf, "inf"),
    ],
)
def test_parameters_look_as_in_a_spec(value: float, written: str) -> None:
    assert numbers.short(value) == written


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_parameters_keep_six_digits(value: float) -> None:
    assert float(numbers.short(value)) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [
        (0.5, 1.0, "50% relative error"),
        (2e-6, 2.0, "0.0001% relative error"),
        (9.99, 1.0, "999% relative error"),
        (10.0, 1.0, "10 times the gradient"),
        (3e5, 1.0, "3e+05 times the gradient"),
        (1.0, 0.0, "of a gradient that is zero"),
        (math.nan, math.nan, "relative error unknown"),
        (math.inf, 2.0, "relative error unknown"),
        (1.0, math.nan, "relative error unknown"),
    ],
)
def test_ratios_are_percentages_while_that_helps(part: float, whole: float, written: str) -> None:
    assert numbers.percent(part, whole) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0.00 s"),
        (1.234, "1.23 s"),
        (59.99, "59.99 s"),
        (59.999, "1 min 0 s"),
        (61.0, "1 min 1 s"),
        (119.7, "2 min 0 s"),
        (3725.0, "62 min 5 s"),
    ],
)
def test_durations_are_written_in_seconds_or_minutes(value: float, written: str) -> None:
    assert numbers.seconds(value) == written


@given(st.floats(min_value=0, max_value=1e6))
def test_no_minute_has_sixty_seconds(value: float) -> None:
    assert "60" not in numbers.seconds(value).partition("min")[2]


def test_counts_agree_with_their_noun() -> None:
    assert numbers.counted(1, "case") == "1 case"
    assert numbers.counted(0, "case") == "0 cases"
    assert numbers.counted(1234, "index", "indices") == "1,234 indices"
