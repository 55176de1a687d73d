"""Inputs go where a direction says and come back, whether they can be written to or are exchanged for others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from framework_arrays import ALL, Make, making

from gradaudit.numerics.arrays import as_reals, cast, copied, on_host
from gradaudit.numerics.displacing import Direction, displacing, spans
from gradaudit.spec.dtypes import dtype_of


@pytest.fixture(params=ALL)
def made(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Return what makes an array of any framework."""
    with making(request.param) as make:
        yield make


def numbers(inputs: dict[str, Any]) -> Any:
    return np.concatenate([on_host(as_reals(x)) for x in inputs.values()])


@pytest.mark.parametrize("name", ["float64", "bfloat16", "complex64"])
def test_the_elements_of_a_range_go_where_the_direction_says_and_come_back(made: Make, name: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(1, 8, (2, 3)) * (1 + 2j * name.startswith("complex"))
    inputs = {
        "x": cast(made(values if name.startswith("complex") else values.real), name),
        "y": made(rng.random(4)),
        "z": made(np.array([-0.0])),
    }
    before = numbers(inputs)
    bases = {key: copied(x) for key, x in inputs.items()}
    claims = rng.standard_normal(len(before))
    line = displacing(inputs, bases, made(claims), {"x": 1.0, "y": 2.0, "z": 0.5})
    for start, stop in ((0, len(before)), (2, 8), (5, 6), (len(before) - 1, len(before))):
        drawn = np.where(rng.random(stop - start) < 0.5, -1.0, 1.0)
        moved = np.zeros_like(before)
        moved[start:stop] = 0.25 * drawn  # which every dtype has room for
        moved *= np.repeat([1.0, 2.0, 0.5], [len(before) - 5, 4, 1])
        asked = line.drawn_for(start, stop)
        along = np.pad(drawn, (start - asked.start, asked.stop - stop), constant_values=1.0)
        claimed = line.displace(Direction(made(along), asked.start, start, stop), 0.25)
        assert numbers(inputs).tolist() == (before + moved).tolist()
        assert claimed == pytest.approx(claims @ moved, rel=1e-14)
        line.restore()
        assert numbers(inputs).tobytes() == before.tobytes()
        assert on_host(inputs["x"]).dtype == dtype_of(name)


def test_half_a_direction_displaces_half_of_the_elements(made: Make) -> None:
    inputs = {"x": made(np.zeros(5))}
    line = displacing(inputs, {"x": copied(inputs["x"])}, made(np.ones(5)), {"x": 1.0})
    one, other = Direction.of(made(np.arange(1.0, 6.0))).halves()
    for half, expected in ((one, [1.0, 2.0, 0.0, 0.0, 0.0]), (other, [0.0, 0.0, 3.0, 4.0, 5.0])):
        assert line.displace(half, 1.0) == sum(expected)
        assert numbers(inputs).tolist() == expected
        line.restore()


def test_a_complex_number_counts_as_two(made: Make) -> None:
    arrays = {"x": made(np.zeros((2, 2))), "z": made(np.zeros(3, complex)), "y": made(np.zeros(1))}
    assert spans(arrays) == {"x": slice(0, 4), "z": slice(4, 10), "y": slice(10, 11)}
