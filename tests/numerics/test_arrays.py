"""What is asked of arrays has one answer, whether they are NumPy's, PyTorch's or JAX's."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from framework_arrays import ALL, WRITABLE, Make, making

from gradaudit.checks.gradient.evaluation_point import narrowed
from gradaudit.checks.gradient.narrowing import narrowest
from gradaudit.numerics.arrays import (
    IN_CACHE,
    all_finite,
    as_reals,
    cast,
    copied,
    dtype_name,
    is_writable,
    joined,
    largest,
    lifted,
    like,
    on_host,
    places,
    same_bits,
    written,
)
from gradaudit.numerics.magnitude import norm_of_product, rms
from gradaudit.spec.dtypes import FLOATING_NAMES, dtype_of


@pytest.fixture(params=WRITABLE)
def made(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Return what makes an array of a framework that can be written to."""
    with making(request.param) as make:
        yield make


@pytest.fixture(params=ALL)
def placed(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Return what makes an array of any framework."""
    with making(request.param) as make:
        yield make


VALUES = np.array([[1.5, -2.0, 0.25], [0.0, 3.0, -0.5]])


def test_the_largest_magnitude_of_any_dtype(made: Make) -> None:
    for dtype in (np.float64, np.float32, np.int8, np.bool_, np.complex128):
        assert largest(made(np.array([[0, 1], [1, 0]]).astype(dtype))) == 1.0
    assert largest(made(np.array([-128, 3], np.int8))) == 128.0
    assert largest(made(np.array([3.0, -math.inf]))) == math.inf
    assert largest(made(np.array([-5.0, 4.0]))) == 5.0
    assert largest(made(np.array([3 - 4j, 1.0]))) == 5.0
    assert largest(made(np.empty((0, 2)))) == 0.0
    assert math.isnan(largest(made(np.array([1.0, math.nan, 2.0]))))


@pytest.mark.parametrize("size", [0, 1, 2 * IN_CACHE + 1])
def test_a_norm_of_a_product_is_that_of_all_of_it(made: Make, size: int) -> None:
    first, second = np.random.default_rng(0).uniform(-1, 1, (2, size))
    expected = float(np.linalg.norm(first * second))
    assert norm_of_product(made(first), made(second)) == pytest.approx(expected, rel=1e-12)
    assert norm_of_product(made(1e200 * first), made(second)) == pytest.approx(1e200 * expected, rel=1e-12)


class TestNumbersOfAnArray:
    def test_they_are_in_c_order_whatever_the_layout(self, placed: Make) -> None:
        for x in (placed(VALUES), placed(np.asfortranarray(VALUES)), placed(np.repeat(VALUES, 2, axis=1))[:, ::2]):
            assert on_host(as_reals(x)).tolist() == VALUES.reshape(-1).tolist()

    def test_a_complex_one_counts_as_two(self, made: Make) -> None:
        x = made(VALUES[:1] + 1j * VALUES[1:])
        assert on_host(as_reals(x)).tolist() == [1.5, 0.0, -2.0, 3.0, 0.25, -0.5]
        assert on_host(as_reals(x[:, ::2])).tolist() == [1.5, 0.0, 0.25, -0.5]

    def test_several_arrays_are_joined(self, made: Make) -> None:
        numbers = joined((made(VALUES[0].astype(np.float32)), made(VALUES[1:])))
        assert dtype_name(numbers.dtype) == "float64"
        assert on_host(numbers).tolist() == VALUES.reshape(-1).tolist()

    def test_what_is_lifted_is_fresh(self, placed: Make) -> None:
        x = placed(VALUES)
        written(lifted((x,)), 0, 7.0)
        assert float(x[0, 0]) == 1.5


class TestSameBits:
    def test_nan_is_itself_and_minus_zero_is_not_zero(self, placed: Make) -> None:
        assert same_bits(placed(np.array([np.nan, 1.0])), placed(np.array([np.nan, 1.0])))
        assert not same_bits(placed(np.array([0.0])), placed(np.array([-0.0])))

    @pytest.mark.parametrize("name", ["float16", "float32", "float64", "complex64", "complex128", "int8", "bool"])
    def test_the_last_bit_counts_in_every_dtype_and_layout(self, made: Make, name: str) -> None:
        x = np.ones((3, 5), dtype_of(name))
        other = x.copy()
        other.view(np.uint8)[-1, -1] ^= 1
        for part in (slice(None), slice(None, None, 2)):
            assert same_bits(made(x)[:, part], made(x)[:, part])
            assert not same_bits(made(x)[:, part], made(other)[:, part])

    def test_an_array_without_axes_or_elements_has_some_too(self, made: Make) -> None:
        assert same_bits(made(np.array(2.0)), made(np.array(2.0)))
        assert not same_bits(made(np.array(2.0)), made(np.array(3.0)))
        assert same_bits(made(np.empty((0, 3))), made(np.empty((0, 3))))


@pytest.mark.parametrize("name", FLOATING_NAMES)
def test_an_array_comes_back_from_any_dtype_as_it_went(placed: Make, name: str) -> None:
    there = cast(placed(VALUES), name) if not name.startswith("complex") else cast(placed(VALUES * (1 + 2j)), name)
    assert dtype_name(there.dtype) == name
    back = on_host(there)
    assert back.dtype == dtype_of(name)
    assert (back.astype(complex) == VALUES * (1 + 2j * name.startswith("complex"))).all()


def test_a_copy_is_of_its_own(placed: Make) -> None:
    x = placed(VALUES)
    written(copied(x), (0, 0), 9.0)
    assert float(x[0, 0]) == 1.5


def test_an_array_is_written_to_where_it_can_be(placed: Make) -> None:
    x = placed(VALUES)
    other = written(x, x == -2.0, 4.0)
    assert on_host(other).tolist() == [[1.5, 4.0, 0.25], [0.0, 3.0, -0.5]]
    assert (other is x) == is_writable(x)
    assert on_host(written(other, slice(1, 2), 0.0)).tolist() == [[1.5, 4.0, 0.25], [0.0, 0.0, 0.0]]


def test_sizes_places_and_finiteness(made: Make) -> None:
    x = made(VALUES)
    assert largest(x) == 3.0
    assert largest(x[:0]) == 0.0
    assert rms(x) == pytest.approx(math.sqrt((VALUES**2).mean()), rel=1e-15)
    assert rms(1e300 * x) == pytest.approx(1e300 * math.sqrt((VALUES**2).mean()), rel=1e-14)
    assert places(x == -2.0).tolist() == [[0, 1]]
    assert all_finite(x)
    assert not all_finite(written(x, (1, 2), math.inf))


def test_numpy_s_contents_go_to_where_another_array_is(made: Make) -> None:
    x = made(VALUES)
    sent = like(np.array([3, -1], np.int8), x)
    assert type(sent) is type(x)
    assert on_host(sent).tolist() == [3, -1]


class TestDtypesInside:
    @pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
    def test_numbers_of_a_narrower_dtype_are_told(self, made: Make, name: str) -> None:
        numbers = np.linspace(0.1, 1.0, 500).astype(dtype_of(name)).astype(np.float64)
        assert narrowest(made(numbers)) == name

    def test_a_single_number_of_float64_is_enough(self, made: Make) -> None:
        numbers = np.linspace(0.1, 1.0, 500).astype(np.float32).astype(np.float64)
        numbers[400] = 0.1
        assert narrowest(made(numbers)) is None
        assert narrowest(made(np.zeros(500))) is None

    def test_narrowing_keeps_complex_numbers_complex_and_integers_as_they_are(self, made: Make) -> None:
        assert dtype_name(narrowed(made(VALUES + 0j), "float32").dtype) == "complex64"
        assert dtype_name(narrowed(made(VALUES.astype(np.float32)), "float64").dtype) == "float64"
        assert dtype_name(narrowed(made(np.arange(3)), "float32").dtype) == "int64"
