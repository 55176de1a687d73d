"""Steps of optimisers against their closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradaudit.models.learning.optimisers import SGD, Adam

VALUE, GRADIENT = np.array([1.0, -2.0, 3.0]), np.array([0.5, -0.25, 4.0])


def after(optimiser: Any, steps: int) -> Any:
    """Return where equal gradients lead."""
    value = VALUE
    for _ in range(steps):
        value = optimiser.update("x", value, GRADIENT)
    return value


def test_gradient_descent_goes_along_the_gradient() -> None:
    assert np.allclose(after(SGD(0.1), 3), VALUE - 0.3 * GRADIENT)


def test_momentum_adds_up_to_a_geometric_series() -> None:
    velocities = [(1.0 - 0.9**k) / (1.0 - 0.9) for k in (1, 2, 3)]
    assert np.allclose(after(SGD(0.1, momentum=0.9), 3), VALUE - 0.1 * sum(velocities) * GRADIENT)


def test_adam_takes_steps_of_its_rate_whatever_the_size_of_equal_gradients() -> None:
    assert np.allclose(after(Adam(0.1), 5), VALUE - 0.5 * np.sign(GRADIENT))


def test_adam_divides_by_the_root_of_the_mean_square() -> None:
    """After gradients g and -g the unbiased mean is (0.9 - 1) g 0.1 / (1 - 0.81), the mean square g^2."""
    optimiser = Adam(0.1)
    first = optimiser.update("x", VALUE, GRADIENT)
    second = optimiser.update("x", first, -GRADIENT)
    assert np.allclose(second - first, 0.1 * (0.1 / 0.19) * 0.1 * np.sign(GRADIENT))


@pytest.mark.parametrize("optimiser", [SGD(0.1, momentum=0.9), Adam(0.1)])
def test_parameters_are_told_apart_by_name_and_arrays_left_alone(optimiser: Any) -> None:
    value, gradient = VALUE.astype(np.float32), GRADIENT.astype(np.float32)
    first = optimiser.update("a", value, gradient)
    assert np.array_equal(optimiser.update("b", value, gradient), first)
    assert first.dtype == np.float32
    assert np.array_equal(value, VALUE)
    assert np.array_equal(gradient, GRADIENT)
