"""Jumps and kinks at the very point are found, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradaudit.numerics.breaks import Breaks, find_breaks

EPSILON = 2.0**-52
SPACING = 1e-6


def breaks_of(function: Callable[[Any], Any], point: float, slope: float = 1.0) -> Breaks:
    """Return the breaks of a function of one number, along a line of this slope through a point."""

    def change(displacement: Any) -> Any:
        return np.atleast_1d(function(point + displacement[0]) - function(point))

    tiny = np.array([EPSILON * max(1.0, abs(point)) * slope])
    rounding = np.atleast_1d(2 * EPSILON * abs(function(point)))
    return find_breaks(change, tiny=tiny, line=np.array([slope]), step=SPACING, rounding=rounding)


JUMPS = {
    "up to the right": (np.floor, 1.0, 1.0, (0.0, -1.0)),
    "seen from the other side": (np.floor, 1.0, -1.0, (-1.0, 0.0)),
    "on both sides": (np.sign, 0.0, 1.0, (1.0, -1.0)),
    "with a slope": (lambda t: 3 * t + (t > 0.5), 0.5, 1.0, (1.0, 0.0)),
}


@pytest.mark.parametrize("name", JUMPS)
def test_jumps_are_measured(name: str) -> None:
    function, point, slope, (up, down) = JUMPS[name]
    found = breaks_of(function, point, slope)
    np.testing.assert_allclose([found.up, found.down], [[up], [down]], atol=1e-12)


KINKS = {
    "of the absolute value": (np.abs, 0.0, 1.0, 1.0),
    "along a steeper line": (np.abs, 0.0, 3.0, 3.0),
    "of a ReLU": (lambda t: np.maximum(t, 0.0), 0.0, 1.0, 0.5),
    "beside a curve": (lambda t: np.exp(t) + np.abs(t - 1), 1.0, 1.0, 1.0),
}


@pytest.mark.parametrize("name", KINKS)
def test_kinks_are_measured(name: str) -> None:
    function, point, slope, kink = KINKS[name]
    found = breaks_of(function, point, slope)
    np.testing.assert_allclose(found.kink, [kink], rtol=1e-6)
    assert not found.up.any()
    assert not found.down.any()


@pytest.mark.parametrize("slope", [1.0, 3.0])
def test_what_a_curve_turns_by_at_a_kink_is_measured(slope: float) -> None:
    found = breaks_of(lambda t: t * np.clip(t + 3, 0, 6) / 6, -3.0, slope)
    np.testing.assert_allclose(found.kink, [-0.25 * slope], rtol=1e-6)
    np.testing.assert_allclose(found.turn, [slope**2 / 12], rtol=1e-3)


@pytest.mark.parametrize("point", [-2.3, 0.0, 1e-3, 0.7, 40.0])
@pytest.mark.parametrize("function", [np.sin, np.tanh, np.square, lambda t: np.exp(-t * t), lambda t: 1 / (1 + t * t)])
def test_smooth_functions_have_none(function: Callable[[Any], Any], point: float) -> None:
    found = breaks_of(function, point)
    assert not any(part.any() for part in (found.up, found.down, found.kink, found.turn))


def test_the_rounding_of_a_coarser_dtype_is_seldom_taken_for_one() -> None:
    points = np.random.default_rng(0).uniform(-2, 2, 300)
    found = [breaks_of(lambda t: np.sin(np.float32(t)).astype(np.float64), point) for point in points]
    assert sum(bool(one.up.any() or one.down.any()) for one in found) <= 3
    assert sum(bool(one.kink.any()) for one in found) <= 30


def test_what_they_contribute_along_a_line() -> None:
    found = Breaks(np.array([2.0]), np.array([-1.0]), np.array([0.5]), np.array([0.25]))
    assert found.along(np.array([-2.0, 0.0, 4.0])).tolist() == [[-1.0], [0.0], [8.0]]
    assert found.jumps().along(np.array([-2.0, 0.0, 4.0])).tolist() == [[-1.0], [0.0], [2.0]]
    assert not found.only(np.array([False])).along(np.array([1.0])).any()
