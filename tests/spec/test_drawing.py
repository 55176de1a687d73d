"""What is drawn: the support and the statistics of each distribution, and what holds after rounding to each dtype."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from scipy import stats

from gradaudit.spec.case import Avoid, Input
from gradaudit.spec.document import DocumentModel
from gradaudit.spec.draw import UndrawableError, draw_input
from gradaudit.spec.dtypes import FLOATING_NAMES, dtype_of, is_complex, largest_value, smallest_value, spacing
from gradaudit.spec.expand import Overrides, expand
from gradaudit.spec.reading import validated
from gradaudit.spec.source import Document

REAL_NAMES = tuple(name for name in FLOATING_NAMES if not is_complex(name))
INTEGER_NAMES = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
IMPLAUSIBLE = 1e-9
"""Probability under which a statistic of right draws counts as impossible; the draws are fixed by their seed."""


def draw(made: Input, seed: int = 0) -> np.ndarray[Any, Any]:
    return draw_input(made, np.random.default_rng(seed))


def exact(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the values in float64; the parts one after the other where they are complex."""
    if array.dtype.kind == "c":
        return np.concatenate([array.real.ravel(), array.imag.ravel()]).astype(np.float64)
    return array.astype(np.float64)


def accepted(given: dict[str, Any], dtype: str) -> Input | None:
    """Return the input as a spec makes it, None where the loader refuses it."""
    data = {
        "op": "a",
        "target": {"forward": "m:f", "backward": "m:g"},
        "inputs": {"scalar": {"shape": []}, "x": given},
        "dtype": dtype,
    }
    source = Document(Path("spec.yaml"), data, values={(): (1, 1)})
    cases, problems = expand(source, validated(DocumentModel, data), Overrides())
    return None if problems else cases[0].inputs[1]


SHAPES = st.lists(st.integers(0, 5), max_size=3)
BOUNDS = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(-10, 10),
    st.floats(-1e-7, 1e-7),
    st.floats(-60000, 60000),
    st.sampled_from([0.1, 0.3, 1 / 3, 65504.0, -65504.0, 1.0009765625, 6e-8, 2049.0]),
)


@st.composite
def ranges(draw: st.DrawFn) -> list[float]:
    lo, hi = sorted((draw(BOUNDS), draw(BOUNDS)))
    return [lo, draw(st.sampled_from([hi, hi, lo, float(np.nextafter(lo, np.inf)), lo + 1e-3 * abs(lo)]))]


@settings(max_examples=200, deadline=None)
@given(
    dtype=st.sampled_from(FLOATING_NAMES),
    shape=SHAPES,
    limits=ranges(),
    points=st.lists(BOUNDS, max_size=3),
    margin=st.floats(1e-6, 2.0),
    gap=st.one_of(st.none(), st.floats(1e-6, 0.5)),
    distribution=st.sampled_from(["uniform", "uniform", "normal"]),
    layout=st.sampled_from(["contiguous", "transposed", "strided"]),
    seed=st.integers(0, 3),
)
def test_what_loads_is_drawn_as_promised_in_every_dtype(
    dtype: str,
    shape: list[int],
    limits: list[float],
    points: list[float],
    margin: float,
    gap: float | None,
    distribution: str,
    layout: str,
    seed: int,
) -> None:
    """Rounding leaves no value outside the range, within a margin or closer to another than the gap."""
    given: dict[str, Any] = {"shape": shape, "range": limits, "distribution": distribution, "layout": layout}
    if points:
        given["avoid"] = {"points": points, "margin": margin}
    if gap and distribution == "uniform" and not is_complex(dtype):
        given["gap"] = gap
    made = accepted(given, dtype)
    event(f"accepted: {made is not None}")
    assume(made is not None)
    assert made is not None
    try:
        array = draw(made, seed)
    except UndrawableError:
        assert distribution == "normal"
        return
    assert array.shape == tuple(shape)
    assert array.dtype == dtype_of(dtype)
    values = exact(array).ravel()
    assert np.all((values >= limits[0]) & (values <= limits[1]))
    for point in points:
        # A margin's end is itself rounded to a double.
        assert np.all(np.abs(values - point) >= margin - 2**-52 * (abs(point) + margin))
    if made.gap:
        assert np.all(np.diff(np.sort(values)) >= made.gap)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    ("limits", "point", "margin"), [((-0.3, 0.7), 0.1, 0.1), ((0.1, 0.1017), 5.0, 0.3), ((-2, 2), 1 / 3, 0.01)]
)
def test_edges_that_a_coarse_dtype_cannot_hold_are_not_crossed(
    dtype: str, limits: tuple[float, float], point: float, margin: float
) -> None:
    made = Input("x", (5000,), dtype, range=limits, avoid=Avoid((point,), margin))
    values = exact(draw(made))
    assert limits[0] <= values.min() <= values.max() <= limits[1]
    assert np.abs(values - point).min() >= margin


@pytest.mark.parametrize("dtype", REAL_NAMES)
def test_a_gap_holds_where_there_is_hardly_room_for_it(dtype: str) -> None:
    count = 20
    for gap in (0.1, 1 / 3, 0.25):
        width = (count - 1) * (gap + 5 * spacing(dtype) * 8)
        made = accepted({"shape": [count], "range": [-1.0, width - 1.0], "gap": gap}, dtype)
        assert made is not None
        for seed in range(20):
            values = np.sort(exact(draw(made, seed)))
            assert np.diff(values).min() >= gap
            assert -1.0 <= values[0] <= values[-1] <= width - 1.0


@pytest.mark.parametrize(
    ("count", "dtype", "limits", "gap", "seed"),
    [
        (26, "float64", (0.0, 8.333333333333387), 1 / 3, 806),
        (21, "float64", (-1.0, 1.0000000000000067), 0.1, 2102),
        (26, "float16", (-1.0662368876662418, -0.7902057136509287), 0.01, 582),
        (17, "bfloat16", (-1.0698634815079662, -0.7761305460257222), 0.01, 1122),
        (19, "float16", (0.0, 1.729027705491684e-06), 9.346312786104918e-08, 3),
        (23, "float16", (0.0, 4.869328392351874e-06), 2.1453259314418064e-07, 15),
    ],
    ids=["roundings in double", "many roundings in double", "ends", "coarse ends", "subnormals", "more subnormals"],
)
def test_a_gap_that_rounding_could_spoil_is_refused_and_holds_where_there_is_room(
    count: int, dtype: str, limits: tuple[float, float], gap: float, seed: int
) -> None:
    lo, hi = limits
    for most in (hi, 2 * hi - lo):
        made = accepted({"shape": [count], "range": [lo, most], "gap": gap}, dtype)
        if made is not None:
            values = np.sort(exact(draw(made, seed)))
            assert np.diff(values).min() >= gap
            assert lo <= values[0] <= values[-1] <= most
    assert made is not None


@pytest.mark.parametrize(
    ("limits", "avoid"),
    [
        ((0.5, 1.8), Avoid((0.57,), 0.05)),
        ((-2.7, 0.4), Avoid((-1.73, -1.69), 0.01)),
        ((0.2, 3.1), Avoid((0.95, 1.02), 0.05)),
    ],
)
def test_the_largest_random_number_stays_in_the_range(limits: tuple[float, float], avoid: Avoid) -> None:
    """Sums of widths round; what is closest to 1 must not come out behind the end."""

    class AlwaysLargest(np.random.Generator):
        def random(self, size: Any = None) -> Any:  # type: ignore[override]
            return np.full(size, 1 - 2**-53)

    made = Input("x", (1,), "float64", range=limits, avoid=avoid)
    assert draw_input(made, AlwaysLargest(np.random.PCG64(0))) == limits[1]


def test_a_gap_leaves_the_order_to_chance() -> None:
    made = Input("x", (50,), "float64", range=(0.0, 1.0), gap=0.015)
    first = [np.argmin(draw(made, seed)) for seed in range(400)]
    assert stats.chisquare(np.bincount(first, minlength=50)).pvalue > IMPLAUSIBLE
    assert abs(np.mean([draw(made, seed).mean() for seed in range(400)]) - 0.5) < 0.01


def test_a_gap_counts_within_and_across_avoided_points() -> None:
    made = Input("x", (18,), "float32", range=(-1.0, 1.0), gap=0.1, avoid=Avoid((0.0,), 0.01))
    for seed in range(50):
        values = np.sort(exact(draw(made, seed)))
        assert np.diff(values).min() >= 0.1
        assert np.abs(values).min() >= 0.01


@pytest.mark.parametrize("dtype", REAL_NAMES)
@pytest.mark.parametrize(("lo", "hi"), [(-1.0, 1.0), (2.0, 5.0), (-300.0, -299.0)])
def test_uniform_is_uniform(dtype: str, lo: float, hi: float) -> None:
    values = exact(draw(Input("x", (100, 100), dtype, range=(lo, hi)))).ravel()
    # Rounding moves the distribution function by at most the chance of half a spacing.
    blur = spacing(dtype) * max(abs(lo), abs(hi)) / (hi - lo)
    assert stats.kstest(values, stats.uniform(lo, hi - lo).cdf).statistic < stats.kstwo(values.size).isf(1e-9) + blur


def test_uniform_reaches_both_ends_of_a_coarse_range() -> None:
    values = exact(draw(Input("x", (5000,), "bfloat16", range=(1.0, 1.0625))))
    assert set(values) == {1 + k / 128 for k in range(9)}


def test_a_range_of_one_number_gives_that_number() -> None:
    for distribution in ("uniform", "normal"):
        made = Input("x", (3, 2), "float16", range=(0.75, 0.75), distribution=distribution)  # type: ignore[arg-type]
        assert np.all(draw(made) == 0.75)


def test_uniform_fills_what_is_left_outside_avoided_points_evenly() -> None:
    made = Input("x", (40_000,), "float64", range=(-1.0, 2.0), avoid=Avoid((0.0, 1.0, 5.0), 0.25))
    values = draw(made)
    parts = [(-1.0, -0.25), (0.25, 0.75), (1.25, 2.0)]
    counts = [int(np.sum((values >= a) & (values <= b))) for a, b in parts]
    assert sum(counts) == values.size
    widths = np.array([b - a for a, b in parts])
    assert stats.chisquare(counts, widths / widths.sum() * values.size).pvalue > IMPLAUSIBLE
    for a, b in parts:
        inside = values[(values >= a) & (values <= b)]
        assert stats.kstest(inside, stats.uniform(a, b - a).cdf).pvalue > IMPLAUSIBLE


@pytest.mark.parametrize(("lo", "hi"), [(-1.0, 1.0), (3.0, 11.0)])
def test_normal_is_centred_with_a_quarter_of_the_width_and_truncated_to_the_range(lo: float, hi: float) -> None:
    values = draw(Input("x", (100_000,), "float64", range=(lo, hi), distribution="normal"))
    expected = stats.truncnorm(-2, 2, loc=(lo + hi) / 2, scale=(hi - lo) / 4)
    assert stats.kstest(values, expected.cdf).pvalue > IMPLAUSIBLE
    assert lo <= values.min() <= values.max() <= hi


def test_normal_that_can_almost_never_be_drawn_says_so() -> None:
    made = Input("x", (100,), "float64", range=(0.0, 1.0), distribution="normal", avoid=Avoid((0.5,), 0.49999))
    with pytest.raises(UndrawableError, match="input x"):
        draw(made)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("distribution", ["uniform", "normal"])
def test_complex_inputs_have_two_independent_parts_in_the_range(dtype: str, distribution: Any) -> None:
    made = Input("x", (20_000,), dtype, range=(0.5, 1.5), distribution=distribution, avoid=Avoid((1.0,), 0.1))
    array = draw(made)
    for part in (array.real, array.imag):
        assert 0.5 <= part.min() <= part.max() <= 1.5
        assert np.abs(part.astype(np.float64) - 1.0).min() >= 0.1
        assert part.mean() == pytest.approx(1.0, abs=0.02)
    assert abs(np.corrcoef(array.real, array.imag)[0, 1]) < 6 / math.sqrt(array.size)


@pytest.mark.parametrize("dtype", [*INTEGER_NAMES, *FLOATING_NAMES])
def test_integers_are_whole_uniform_and_include_both_ends(dtype: str) -> None:
    array = draw(Input("i", (70, 100), dtype, range=(0.0, 6.0), distribution="integers"))
    assert array.dtype == dtype_of(dtype)
    values, counts = np.unique(array.astype(np.complex128), return_counts=True)
    np.testing.assert_array_equal(values, np.arange(7))
    assert stats.chisquare(counts).pvalue > IMPLAUSIBLE


def test_negative_integers_are_no_less_likely() -> None:
    array = draw(Input("i", (9000,), "int64", range=(-4.0, 4.0), distribution="integers"))
    assert stats.chisquare(np.bincount(array + 4, minlength=9)).pvalue > IMPLAUSIBLE


@pytest.mark.parametrize("dtype", INTEGER_NAMES)
def test_integers_span_the_whole_dtype(dtype: str) -> None:
    made = accepted(
        {
            "shape": [4000],
            "dtype": dtype,
            "distribution": "integers",
            "range": [float(smallest_value(dtype)), float(largest_value(dtype))],
        },
        "float64",
    )
    assert made is not None
    values = draw(made).astype(np.float64)
    lo, hi = float(smallest_value(dtype)), float(largest_value(dtype))
    assert stats.kstest(values, stats.uniform(lo, hi - lo + 1).cdf).statistic < 0.06
    assert np.all((values >= lo) & (values <= hi))


@pytest.mark.parametrize("dtype", FLOATING_NAMES)
def test_integers_may_be_as_large_as_the_dtype_counts(dtype: str) -> None:
    most = int(2 / spacing(dtype))
    for lo, hi in ((most - 3, most), (-most, 3 - most)):
        given = {"shape": [200], "dtype": dtype, "distribution": "integers", "range": [float(lo), float(hi)]}
        made = accepted(given, "float64")
        assert made is not None
        assert set(draw(made).astype(np.complex128).real) == set(range(lo, hi + 1))


def test_a_permutation_may_be_as_long_as_the_dtype_counts() -> None:
    made = accepted({"shape": [128], "dtype": "int8", "distribution": "permutation"}, "float64")
    assert made is not None
    assert sorted(draw(made).tolist()) == list(range(128))


@pytest.mark.parametrize("dtype", ["bool", "int8", *FLOATING_NAMES])
def test_bernoulli_tosses_a_fair_coin(dtype: str) -> None:
    array = draw(Input("m", (100, 100), dtype, range=(0.0, 1.0), distribution="bernoulli"))
    assert array.dtype == dtype_of(dtype)
    ones = int(np.sum(array == 1))
    assert ones + int(np.sum(array == 0)) == array.size
    assert stats.binomtest(ones, array.size).pvalue > IMPLAUSIBLE


def test_bernoulli_takes_the_ends_of_its_range_and_nothing_between() -> None:
    array = draw(Input("m", (100,), "float32", range=(0.0, 1.25), distribution="bernoulli"))
    assert set(array.tolist()) == {0.0, 1.25}


@pytest.mark.parametrize("dtype", ["bool", "int64", *FLOATING_NAMES])
def test_one_hot_has_a_single_one_along_the_last_axis_at_each_place_as_often(dtype: str) -> None:
    array = draw(Input("t", (50, 80, 5), dtype, distribution="one_hot")).astype(np.complex128)
    assert set(np.unique(array)) == {0, 1}
    np.testing.assert_array_equal(array.sum(axis=-1), 1)
    assert stats.chisquare(array.real.sum(axis=(0, 1))).pvalue > IMPLAUSIBLE


@pytest.mark.parametrize("dtype", ["uint8", "int64", *FLOATING_NAMES])
def test_permutation_holds_every_index_once_in_any_order(dtype: str) -> None:
    array = draw(Input("p", (600, 2, 6), dtype, distribution="permutation")).astype(np.complex128)
    np.testing.assert_array_equal(np.sort(array, axis=-1), np.broadcast_to(np.arange(6), array.shape))
    for place in range(6):
        counts = np.bincount(array[..., place].real.astype(int).ravel(), minlength=6)
        assert stats.chisquare(counts).pvalue > IMPLAUSIBLE


@pytest.mark.parametrize("dtype", FLOATING_NAMES)
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (3, 2, 4, 4), (40, 40)])
def test_spd_is_symmetric_and_well_inside_positive_definite(dtype: str, shape: tuple[int, ...]) -> None:
    for seed in range(5):
        matrix = draw(Input("a", shape, dtype, distribution="spd"), seed).astype(np.complex128)
        np.testing.assert_array_equal(matrix, np.swapaxes(matrix, -1, -2).conj())
        assert np.linalg.eigvalsh(matrix).min() > 0.25


def test_spd_matrices_are_not_diagonal() -> None:
    matrix = draw(Input("a", (4, 4), "float64", distribution="spd"))
    assert np.count_nonzero(matrix) > 8


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
@pytest.mark.parametrize(
    ("distribution", "shapes"),
    [
        ("uniform", [(), (0,), (3, 0), (0, 3, 2)]),
        ("normal", [(), (0,), (0, 3)]),
        ("integers", [(), (0,), (2, 0)]),
        ("bernoulli", [(), (0,), (2, 0)]),
        ("one_hot", [(0,), (0, 3), (3, 0), (1,)]),
        ("permutation", [(0,), (0, 3), (3, 0), (1,)]),
        ("spd", [(0, 0), (0, 2, 2), (2, 0, 0)]),
    ],
)
@pytest.mark.parametrize("dtype", FLOATING_NAMES)
def test_scalars_and_empty_arrays_are_drawn_by_every_distribution(
    dtype: str, distribution: Any, shapes: list[tuple[int, ...]], layout: Any
) -> None:
    for shape in shapes:
        array = draw(Input("x", shape, dtype, range=(0.0, 1.0), distribution=distribution, layout=layout))
        assert array.shape == shape
        assert array.dtype == dtype_of(dtype)
        assert isinstance(array, np.ndarray)


def test_a_gap_between_no_elements_or_one_asks_for_nothing() -> None:
    for shape in ([0], [], [1], [3, 0]):
        made = accepted({"shape": shape, "range": [0.0, 0.1], "gap": 5.0}, "float32")
        assert made is not None
        assert draw(made).shape == tuple(shape)


@pytest.mark.parametrize("dtype", ["bool", *INTEGER_NAMES, *FLOATING_NAMES])
@pytest.mark.parametrize("values", [1, [0, 1], [[1.0], [0.0]], [], [[], []]])
def test_values_are_taken_as_they_are(dtype: str, values: Any) -> None:
    made = accepted({"values": values, "dtype": dtype}, "float64")
    assert made is not None
    array = draw(made)
    assert array.dtype == dtype_of(dtype)
    np.testing.assert_array_equal(array.astype(np.complex128), np.array(values, dtype=np.complex128))


def test_large_integers_are_kept_to_the_last_digit() -> None:
    most = 2**64 - 1
    made = accepted({"values": [0, most, 2**53 + 1, 1.0], "dtype": "uint64"}, "float64")
    assert made is not None
    assert draw(made).tolist() == [0, most, 2**53 + 1, 1]


def test_values_are_rounded_to_the_nearest_number_of_the_dtype() -> None:
    made = accepted({"values": [0.1, 2049.0, -1e-9]}, "float16")
    assert made is not None
    assert draw(made).astype(float).tolist() == [float(np.float16(0.1)), 2048.0, -0.0]


def test_an_array_belongs_to_whoever_drew_it() -> None:
    values = [[1.0, 2.0]]
    made = Input("x", (1, 2), "float64", values=values)
    draw(made)[...] = 7.0
    assert values == [[1.0, 2.0]]
    assert draw(made).tolist() == [[1.0, 2.0]]
