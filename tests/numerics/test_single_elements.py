"""Single elements of a large input: only they are moved, and what does not depend on them is soon known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradaudit.numerics.loss import Loss

SIZE = 20_000
SPACING = float(np.finfo(np.float64).eps)
FEW = 12
"""Forwards of a walk and of a look at the far ends."""


def watched(function: Any, index: tuple[int, ...], shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
    """Return the loss of a function, its input, and the set of places that it ever saw moved."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 1.5, shape).astype(dtype)
    base, moved = x.copy(), set[tuple[int, ...]]()

    def forward() -> Any:
        moved.update(tuple(int(k) for k in place) for place in np.argwhere(x != base))
        return function(x).astype(np.float64)

    outputs = function(x).astype(np.float64)
    return Loss(forward, x, rng.normal(size=outputs.shape), outputs, SPACING), x, moved


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("shape", "index"), [((SIZE,), (123,)), ((2, SIZE // 2), (1, 5)), ((3,), (2,)), ((), ())])
def test_nothing_else_is_moved_and_all_is_put_back(shape: Any, index: Any, dtype: Any) -> None:
    loss, x, moved = watched(lambda x: np.exp(x.reshape(-1)[-3:]), index, shape, dtype)
    before = x.copy()
    loss.measure_noise(np.random.default_rng(1), index)
    loss.along(loss.place_of(index)).at(0, 2.0**-10)
    assert moved == {index}
    assert np.array_equal(x, before)


def test_an_element_that_no_output_depends_on_takes_few_forwards() -> None:
    calls: list[Any] = []
    loss, _, _ = watched(lambda x: (calls.append(x), np.exp(x[:10]))[1], (123,), (SIZE,))
    loss.measure_noise(np.random.default_rng(1), (123,))
    assert len(calls) <= 1 + FEW  # the first is at the point
    assert not loss.blind


def test_noise_along_an_element_is_that_of_the_dtype_inside() -> None:
    loss, _, _ = watched(lambda x: np.exp(x[120:130].astype(np.float32)).astype(np.float64), (123,), (SIZE,))
    loss.measure_noise(np.random.default_rng(1), (123,))
    sample = loss.along(np.array([123])).at(0, 2.0**-6)
    slope = float(np.exp(loss._base[123]) * loss.upstream[3])
    assert abs(sample.central - slope) <= sample.rounding + 2.0**-12 * abs(slope)  # rounding, and a third of h^2
    assert sample.rounding > np.finfo(np.float32).eps * abs(slope)


def test_what_a_forward_does_to_a_large_input_is_undone_afterwards() -> None:
    def spoils(x: Any) -> Any:
        x[7] += 1.0
        return np.exp(x[:10])

    loss, x, _ = watched(lambda x: np.exp(x[:10]), (3,), (SIZE,))
    before = x.copy()
    loss.vicinity._forward = lambda: spoils(x)
    loss.along(np.array([3])).at(0, 2.0**-10)
    assert x[7] != before[7]
    loss.vicinity.verify_restored()
    assert np.array_equal(x, before)
