"""How inputs lie in memory: the layout changes strides and never values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradaudit.spec.case import Input
from gradaudit.spec.draw import draw_input, draw_upstream, laid_out
from gradaudit.spec.dtypes import FLOATING_NAMES, dtype_of
from gradaudit.spec.load import load_specs

LAYOUTS = ("contiguous", "transposed", "strided")
SHAPES = st.lists(st.integers(0, 4), max_size=4).map(tuple)
DTYPES = ("bool", "int8", "uint64", *FLOATING_NAMES)


def drawn(shape: tuple[int, ...], dtype: str, layout: Any) -> np.ndarray[Any, Any]:
    kind: Any = "bernoulli" if dtype in DTYPES[:3] else "uniform"
    made = Input("x", shape, dtype, range=(0.0, 1.0), distribution=kind, layout=layout)
    return draw_input(made, np.random.default_rng(1))


@settings(max_examples=150, deadline=None)
@given(SHAPES, st.sampled_from(DTYPES), st.sampled_from(LAYOUTS))
def test_the_layout_changes_no_value(shape: tuple[int, ...], dtype: str, layout: str) -> None:
    array = drawn(shape, dtype, layout)
    assert array.shape == shape
    assert array.dtype == dtype_of(dtype)
    np.testing.assert_array_equal(array, drawn(shape, dtype, "contiguous"))


@settings(max_examples=50, deadline=None)
@given(SHAPES, st.sampled_from(DTYPES), st.sampled_from(LAYOUTS))
def test_laying_out_copies_whatever_it_is_given(shape: tuple[int, ...], dtype: str, layout: Any) -> None:
    given = drawn(shape, dtype, "contiguous")
    again = laid_out(given, layout)
    assert not np.shares_memory(given, again)
    np.testing.assert_array_equal(given, again)
    assert again.flags.writeable


@pytest.mark.parametrize("dtype", DTYPES)
def test_contiguous_is_in_the_order_of_c(dtype: str) -> None:
    assert drawn((2, 3, 4), dtype, "contiguous").flags.c_contiguous
    assert laid_out(drawn((2, 3, 4), dtype, "strided"), "contiguous").flags.c_contiguous


@pytest.mark.parametrize("dtype", DTYPES)
def test_transposed_has_its_axes_reversed_in_memory(dtype: str) -> None:
    array = drawn((2, 3, 4), dtype, "transposed")
    size = array.itemsize
    assert array.strides == (size, 2 * size, 6 * size)
    assert array.flags.f_contiguous
    assert not array.flags.c_contiguous


@pytest.mark.parametrize("dtype", DTYPES)
def test_strided_leaves_every_second_element_of_its_buffer_out(dtype: str) -> None:
    array = drawn((2, 3, 4), dtype, "strided")
    size = array.itemsize
    assert array.strides == (24 * size, 8 * size, 2 * size)
    assert not array.flags.c_contiguous
    assert not array.flags.f_contiguous


@pytest.mark.parametrize("shape", [(5,), (4, 1), (2, 3)])
def test_strided_vectors_and_columns_are_not_contiguous(shape: tuple[int, ...]) -> None:
    assert not drawn(shape, "float32", "strided").flags.contiguous


@pytest.mark.parametrize("dtype", DTYPES)
def test_code_that_ignores_strides_meets_nan_or_the_largest_value(dtype: str) -> None:
    array = drawn((2, 3), dtype, "strided")
    buffer = array.base
    assert buffer is not None
    between = np.asarray(buffer)[..., 1::2]
    if dtype_of(dtype).kind == "b":
        assert np.all(between)
    elif dtype_of(dtype).kind in "iu":
        assert np.all(between == np.iinfo(dtype_of(dtype)).max)
    else:
        assert np.all(np.isnan(between))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_scalar_is_an_array_without_axes(layout: str) -> None:
    array = drawn((), "float32", layout)
    assert isinstance(array, np.ndarray)
    assert array.shape == ()


def test_explicit_values_are_laid_out_too() -> None:
    made = Input("x", (2, 2), "float64", values=[[1.0, 2.0], [3.0, 4.0]], layout="strided")
    array = draw_input(made, np.random.default_rng(0))
    assert array.strides == (32, 16)
    assert array.tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_a_narrow_upstream_is_a_part_of_longer_rows(tmp_path: Path) -> None:
    text = (
        "op: a\ntarget: {forward: m:f, backward: m:g}\ninputs: {x: {shape: [3]}}\n"
        "upstream: {scale: 4.0, layout: narrow}\n"
    )
    (tmp_path / "a.yaml").write_text(text)
    (case,) = load_specs([tmp_path / "a.yaml"]).cases
    narrow = draw_upstream(case, 0, (2, 3), np.dtype("float64"))
    assert np.array_equal(narrow, 4.0 * draw_upstream(replace(case, upstream="random"), 0, (2, 3), narrow.dtype))
    assert narrow.strides == (5 * narrow.itemsize, narrow.itemsize)
    assert draw_upstream(case, 0, (), np.dtype("float64")).shape == ()
