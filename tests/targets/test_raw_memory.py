"""Extensions that take the address of an array and no strides: what a Mojo or C module for Python easily does."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradaudit

Array = NDArray[Any]
X = np.linspace(-2.0, 2.0, 12).reshape(3, 4)


def block(array: Array) -> Array:
    """Return the memory at an array's address as if its rows lay one behind the other."""
    pointer = ctypes.cast(array.ctypes.data, ctypes.POINTER(ctypes.c_double))
    return np.ctypeslib.as_array(pointer, (array.size,)).reshape(array.shape)


def reads_memory(upstream: Array, x: Array) -> Array:
    return 2 * block(x) * block(upstream)


def asks_for_blocks(upstream: Array, x: Array) -> Array:
    return 2 * block(np.ascontiguousarray(x)) * block(np.ascontiguousarray(upstream))


def refuses(upstream: Array, x: Array) -> Array:
    if not upstream.flags.c_contiguous:
        raise ValueError("upstream is not contiguous")
    return reads_memory(upstream, x)


@pytest.mark.parametrize(
    ("backward", "verdict"), [(reads_memory, "fail"), (asks_for_blocks, "pass"), (refuses, "fail")]
)
def test_a_backward_that_minds_no_strides_is_found(backward: Callable[..., Array], verdict: str) -> None:
    audit = gradaudit.check(gradaudit.op(lambda x: x**2, backward), {"x": X})
    codes = {finding.code for result in audit.results for finding in result.findings}
    assert audit.verdict == verdict
    assert ("layout-dependent" in codes) is (verdict == "fail")


def test_an_input_that_is_a_view_is_read_as_it_is_or_the_difference_found() -> None:
    view = np.asfortranarray(X)
    wrong = gradaudit.check(gradaudit.op(lambda x: x**2, reads_memory), {"x": view})
    right = gradaudit.check(gradaudit.op(lambda x: x**2, asks_for_blocks), {"x": view})
    assert (wrong.verdict, right.verdict) == ("fail", "pass")
