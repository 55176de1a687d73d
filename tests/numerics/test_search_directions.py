"""What backward claims along a direction against what forward does: exact for linear maps, whatever the layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradaudit.numerics.arrays import IN_CACHE, lifted
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.displacing import Direction


def line_of(
    forward: Callable[[], Any], inputs: Sequence[Any], claims: Sequence[Any], upstream: Any, outputs: Any
) -> Directional:
    """Return the line of inputs that forward knows by themselves."""
    names = [f"x{k}" for k in range(len(inputs))]
    named = [dict(zip(names, arrays, strict=True)) for arrays in (inputs, claims)]
    return Directional(forward, *named, upstream, outputs, dict.fromkeys(names, 1.0))


class LinearMap:
    """``f(x, y, ...) = A concat(x, y, ...)`` in double precision, with its true gradients for a random upstream."""

    def __init__(self, inputs: Sequence[Any], rng: np.random.Generator) -> None:
        self.inputs = inputs
        self.size = sum(x.size for x in inputs)
        self.matrix = rng.standard_normal((7, self.size))
        self.upstream = rng.standard_normal(7)
        self.calls = 0

    def forward(self) -> Any:
        self.calls += 1
        return lifted((self.matrix @ np.concatenate([np.ravel(x).astype(np.float64) for x in self.inputs]),))

    @property
    def gradients(self) -> list[Any]:
        whole = self.matrix.T @ self.upstream
        ends = np.cumsum([x.size for x in self.inputs])
        return [part.reshape(x.shape) for part, x in zip(np.split(whole, ends[:-1]), self.inputs, strict=True)]

    def line(self, errors: Any = 0.0) -> Directional:
        """Return the line of claims that are off by these errors, one for each element of all inputs."""
        errors = np.broadcast_to(errors, self.size)
        ends = np.cumsum([x.size for x in self.inputs])
        parts = np.split(errors, ends[:-1])
        claims = [g + part.reshape(g.shape) for g, part in zip(self.gradients, parts, strict=True)]
        return line_of(self.forward, self.inputs, claims, self.upstream, self.forward())


def strided(array: Any) -> Any:
    buffer = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
    buffer[..., ::2] = array
    return buffer[..., ::2]


LAYOUTS = {
    "contiguous": lambda array: array,
    "transposed": lambda array: np.array(array.T, order="C").T,
    "strided": strided,
    "reversed": lambda array: np.array(array[::-1])[::-1],
}


@st.composite
def linear_maps(draw: st.DrawFn) -> tuple[LinearMap, np.random.Generator]:
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    inputs = []
    for _ in range(draw(st.integers(1, 3))):
        shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
        dtype = draw(st.sampled_from(["float64", "float32", "float16"]))
        layout = draw(st.sampled_from(sorted(LAYOUTS)))
        inputs.append(LAYOUTS[layout](rng.uniform(-2, 2, shape).astype(dtype)))
    return LinearMap(inputs, rng), rng


@settings(deadline=None, max_examples=150, derandomize=True)
@given(linear_maps(), st.data())
def test_the_excess_is_the_sum_of_errors_along_the_direction(
    made: tuple[LinearMap, np.random.Generator], data: st.DataObject
) -> None:
    linear, rng = made
    start = data.draw(st.integers(0, linear.size - 1))
    count = data.draw(st.integers(1, linear.size - start))
    errors = rng.standard_normal(linear.size)
    # Half of a power of two, so that displaced elements of every dtype lie where the direction says.
    direction = np.where(rng.random(count) < 0.5, -0.25, 0.25)
    before = [x.copy() for x in linear.inputs]
    expected = errors[start : start + count] @ direction
    got = linear.line(errors).excess(Direction.of(direction, start), 0.5)
    exact = all(x.dtype != np.float16 and x.dtype != np.float32 for x in linear.inputs)
    assert got == pytest.approx(expected, abs=1e-12 if exact else 0.02 * np.abs(errors).sum())
    assert linear.line(0.0).excess(Direction.of(direction, start), 0.5) == pytest.approx(0.0, abs=1e-11)
    for x, was in zip(linear.inputs, before, strict=True):
        assert x.tobytes() == was.tobytes()


@settings(deadline=None, max_examples=60, derandomize=True)
@given(linear_maps())
def test_elements_outside_the_range_stay_where_they_are(made: tuple[LinearMap, np.random.Generator]) -> None:
    linear, _ = made
    before = np.concatenate([x.ravel().astype(float) for x in linear.inputs])
    seen: list[Any] = []

    def forward() -> Any:
        seen.append(np.concatenate([x.ravel().astype(float) for x in linear.inputs]))
        return linear.forward()

    line = line_of(forward, linear.inputs, linear.gradients, linear.upstream, linear.forward())
    start = linear.size // 3
    count = linear.size - start - linear.size // 3
    line.excess(Direction.of(np.full(count, 0.25), start), 1.0)
    for there in seen:
        moved = np.flatnonzero(there != before)
        assert set(moved.tolist()) == set(range(start, start + count))
    assert len(seen) == 2


def test_a_displacement_that_rounds_to_nothing_claims_nothing() -> None:
    """The claim is made for where the element went, not for where it was sent."""
    x = np.array([1e17, 1.0])  # the spacing is 16 at 1e17
    line = line_of(lambda: 2 * x, [x], [np.array([1e3, 2.0])], np.ones(2), 2 * x)
    assert line.excess(Direction.of(np.ones(2)), 2.0**-10) == pytest.approx(0.0, abs=1e-9)
    assert line.excess(Direction.of(np.ones(1)), 2.0**10) == pytest.approx(1e3 - 2.0)


def test_where_rounding_takes_an_element_is_what_the_claim_is_for() -> None:
    x = np.array([1.0], dtype=np.float32)
    line = line_of(lambda: lifted((3.0 * x.astype(float),)), [x], [np.array([3.0])], np.ones(1), np.array([3.0]))
    for step in (1e-7, 1.3e-7, 2.2e-7, 1e-3):  # the spacing is 1.2e-7 above 1 and half that below
        assert line.excess(Direction.of(np.ones(1)), step) == pytest.approx(0.0, abs=1e-9 / step * 1e-7)


@pytest.mark.parametrize("kind", [np.complex128, np.complex64])
def test_a_complex_element_counts_as_two_numbers(kind: Any) -> None:
    x = np.array([1 + 2j, 3 - 1j], dtype=kind)
    weights = np.array([2 - 1j, 0.5 + 4j])
    upstream = np.array([1.0, -2.0])

    def forward() -> Any:
        product = (weights * x.astype(complex)).sum()
        return np.array([product.real, product.imag])

    gradient = np.conj(weights) * (upstream[0] + 1j * upstream[1])
    errors = np.array([0.5 - 0.25j, 0.125j])
    right = line_of(forward, [x], [gradient], upstream, forward())
    assert right.size == 4
    direction = np.array([0.5, -0.25, 0.25, 1.0])
    assert right.excess(Direction.of(direction), 1.0) == pytest.approx(0.0, abs=1e-12)
    wrong = line_of(forward, [x], [gradient + errors], upstream, forward())
    displacement = direction.view(complex)
    assert wrong.excess(Direction.of(direction), 1.0) == pytest.approx(
        float((np.conj(errors) * displacement).sum().real)
    )
    assert wrong.excess(Direction.of(direction[:1], 1), 1.0) == pytest.approx(-0.25 * 0.5)  # the imaginary part alone


@pytest.mark.parametrize("value", [0.0, -0.0, 5e-324, 1e308, np.pi])
def test_inputs_are_put_back_bit_by_bit(value: float) -> None:
    x = np.array([value, 1.0])
    before = x.tobytes()
    line = line_of(lambda: np.sin(x), [x], [np.cos(x)], np.ones(2), np.sin(x))
    line.excess(Direction.of(np.ones(2)), 1e-5)
    line.excess_one_sided(Direction.of(np.ones(2)), 1e-5)
    line.walk(Direction.of(np.ones(1)), 1e-5, [-1, 0, 1])
    assert x.tobytes() == before
    assert line.is_restored()


def test_inputs_are_put_back_when_forward_raises() -> None:
    x = np.array([1.0, 2.0])

    def forward() -> Any:
        raise KeyError("kept")

    line = line_of(forward, [x], [np.ones(2)], np.ones(2), x.copy())
    with pytest.raises(KeyError):
        line.excess(Direction.of(np.ones(2)), 0.5)
    assert x.tolist() == [1.0, 2.0]


def test_a_kink_shows_one_slope_to_each_side() -> None:
    x = np.zeros(3)
    line = line_of(lambda: np.abs(x), [x], [np.array([1.0, -1.0, 1.0])], np.ones(3), np.zeros(3))
    away = np.array([0.5, -1.5, 1.0])
    assert line.excess_one_sided(Direction.of(away), 1e-3) == pytest.approx(0.0, abs=1e-12)
    assert line.excess_one_sided(Direction.of(-away), 1e-3) == pytest.approx(-2 * np.abs(away).sum())


def test_values_along_a_line_are_what_the_claim_leaves_of_the_function() -> None:
    x = np.array([0.3, 0.7])
    upstream = np.array([2.0, -1.0])
    claimed = np.array([1.0, 3.0])
    line = line_of(lambda: np.exp(x), [x], [claimed], upstream, np.exp(x))
    direction, points = np.array([1.0, -0.5]), [-2, -1, 0, 1, 3]
    moves = [0.01 * k * direction for k in points]
    expected = [claimed @ move - upstream @ (np.exp(x + move) - np.exp(x)) for move in moves]
    np.testing.assert_allclose(line.walk(Direction.of(direction), 0.01, points), expected, atol=1e-15)


def test_elements_alike_are_those_of_the_same_value_in_the_same_input() -> None:
    x, y = np.array([0.0, 1.0, 0.0, 2.0]), np.array([[0.0, 1.0], [1.0, 1.0]])
    line = line_of(lambda: np.zeros(1), [x, y], [x, y], np.ones(1), np.zeros(1))
    assert np.flatnonzero(line.alike(0)).tolist() == [0, 2]
    assert np.flatnonzero(line.alike(3)).tolist() == [3]
    assert np.flatnonzero(line.alike(6)).tolist() == [5, 6, 7]


def test_a_forward_that_is_not_finite_gives_no_number() -> None:
    x = np.array([0.5, 0.5])
    with np.errstate(invalid="ignore"):
        line = line_of(lambda: np.sqrt(x - 0.5), [x], [np.ones(2)], np.ones(2), np.zeros(2))
        assert math.isnan(line.excess(Direction.of(np.ones(2)), 0.25))


def test_outputs_may_be_the_displaced_input_itself() -> None:
    x = np.array([0.5, -0.25, 2.0])
    line = line_of(lambda: x, [x], [np.array([1.0, 1.0, 3.0])], np.ones(3), x.copy())
    assert line.excess(Direction.of(np.array([0.25, -0.5, 1.0])), 0.5) == pytest.approx(2.0, abs=1e-15)
    assert line.excess_one_sided(Direction.of(np.ones(1), 2), 0.5) == pytest.approx(2.0, abs=1e-15)


def test_more_elements_than_are_worked_on_at_a_time() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, 2 * IN_CACHE + 5)
    errors, upstream = rng.uniform(-1, 1, x.size), rng.uniform(-1, 1, x.size)
    line = line_of(lambda: x**2, [x], [2 * x * upstream + errors], upstream, x**2)
    direction = np.where(rng.random(x.size) < 0.5, -1.0, 1.0)
    before = x.tobytes()
    assert line.excess(Direction.of(direction), 2.0**-10) == pytest.approx(errors @ direction, abs=1e-8)
    part = direction[: x.size - 7]
    assert line.excess(Direction.of(part, 7), 2.0**-10) == pytest.approx(errors[7:] @ part, abs=1e-8)
    assert x.tobytes() == before


def test_the_share_of_noise_is_that_of_the_outputs_which_changed() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    upstream = np.array([1.0, -1.0, 2.0, 1.0])
    line = line_of(lambda: x * x, [x], [2 * x * upstream], upstream, x * x)
    line.excess(Direction.of(np.ones(2), 1), 2.0**-10)
    assert line.touched == pytest.approx(math.hypot(4.0, 18.0) / math.hypot(1.0, 4.0, 18.0, 16.0))
    line.excess(Direction.of(np.ones(4)), 2.0**-10)
    assert line.touched == 1.0
