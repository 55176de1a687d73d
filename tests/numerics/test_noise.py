"""What is taken for noise stays as points come together; a shape that is irregular from afar does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from smooth_functions import draw_usable, measure

from gradaudit.numerics.noise import Floats, dissolution

LEAST = 2.0**-48


def dissolved(function: Callable[[Any], Any], level: float, width: float) -> float:
    """Return within which distance of 0.3 noise of a level is gone that was seen in a function of one number."""

    def at(place: float) -> Floats:
        return np.atleast_1d(np.float64(function(0.3 + place) - function(0.3)))

    return dissolution(at, level, width, LEAST)


SHAPES = {
    "a wave": lambda t: np.sin(500 * t),
    "a wave on a slope": lambda t: np.sin(500 * t) + 100 * t,
    "a wave on a steep curve": lambda t: np.sin(500 * t) + 1e6 * t**3,
    "a step that is smooth from near by": lambda t: np.tanh(500 * (t - 0.301)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_dissolves_within_its_own_scale(name: str) -> None:
    assert 1 / 500 / 64 < dissolved(SHAPES[name], 0.5, 0.05) < 1 / 500 * 4


STAIRS = {
    "rounding to 10 bits": (lambda t: np.round(t * 1024) / 1024, 1 / 3500),
    "rounding to 10 bits on a steep curve": (lambda t: np.round(1e3 * t**3 * 32) / 32, 1 / 110),
    "rounding of the argument": (lambda t: np.exp(np.round(t * 1024) / 1024), 1e-3),
    "a sawtooth": (lambda t: t - np.round(t * 64) / 64, 1 / 220),
    "float32 inside": (lambda t: np.float64(np.float32(np.sin(t))), 1e-8),
}


@pytest.mark.parametrize("name", STAIRS)
def test_stairs_do_not(name: str) -> None:
    function, level = STAIRS[name]
    gone = [dissolved(function, level, width) for width in np.random.default_rng(0).uniform(0.1, 1.0, 40)]
    assert np.count_nonzero(gone) <= 2  # single numbers that are rounded lie on a line now and then


@pytest.mark.parametrize(
    ("dtype", "seed"),
    [
        *(("float32", seed) for seed in (205, 446, 1467, 1793)),
        *(("float32 inside", seed) for seed in (58, 758, 1309)),
    ],
)
def test_functions_of_two_scales_and_arguments_far_below_what_they_are_added_to_have_honest_bounds(
    dtype: str, seed: int
) -> None:
    made, _, _ = measure(*draw_usable(dtype, seed), audited=False)
    assert all(one.inside for one in made)
