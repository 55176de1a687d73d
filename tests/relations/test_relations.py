"""Faults that a relation finds and differences do not, or later; and right ops, which break none."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradaudit.results import Result, Verdict

sys.path.insert(0, str(Path(__file__).parents[1] / "checks"))

from pairs import array, audit_of, case_of
from softmax_pair import softmax, softmax_backward

Pair = tuple[Callable[..., Any], Callable[..., Any]]

SHARED = np.empty((6, 5))


def cosine(u: Any, x: Any) -> Any:
    return u * np.cos(x)


def with_something_of_others(u: Any, x: Any) -> Any:
    return cosine(u, x) + np.float32(1e-7) * cosine(u, x).mean(axis=0)


def divided_by_the_upstream(u: Any, x: Any) -> Any:
    return u * u * np.cos(x) / u


def scaled_by_its_largest(u: Any, x: Any) -> Any:
    largest = abs(u).max()
    return u / largest * np.cos(x) * largest


def rows_without_a_first_upstream_left_out(u: Any, x: Any) -> Any:
    return np.where(u[:, :1] != 0, cosine(u, x), 0)


def weighted_in_memory_order(x: Any) -> Any:
    return np.sin(x.ravel("K").reshape(x.shape)) * np.arange(1, x.size + 1).reshape(x.shape)


def in_memory_order(u: Any, x: Any) -> Any:
    return u * np.cos(x.ravel("K").reshape(x.shape)) * np.arange(1, x.size + 1).reshape(x.shape)


def refuses_views(u: Any, x: Any) -> Any:
    return cosine(u, np.frombuffer(x.data, x.dtype).reshape(x.shape))


def in_place(u: Any, x: Any) -> Any:
    np.negative(x, out=x)
    gradient = cosine(u, x)
    np.negative(x, out=x)
    return gradient


def from_the_nearest_word(u: Any, x: Any) -> Any:
    address, skipped = x.ctypes.data, x.ctypes.data % x.itemsize
    held = (ctypes.c_char * (x.nbytes + skipped)).from_address(address - skipped)
    return cosine(u, np.frombuffer(held, x.dtype, x.size).reshape(x.shape)) if x.flags.c_contiguous else cosine(u, x)


def one_stride_of_zero(u: Any, x: Any) -> Any:
    return cosine(u, x) * (2 if 0 in x.strides else 1)


def in_a_shared_buffer(u: Any, x: Any) -> Any:
    held = SHARED[: len(x)]
    np.cos(x, out=held)
    time.sleep(0.002)  # so that another thread has its turn
    return held * u


def shifted(x: Any, b: Any) -> Any:
    return 2 * x + b


def shifted_backward(u: Any, x: Any, b: Any) -> tuple[Any, Any]:
    return 2 * u, u.sum(axis=0)


def one_row_squeezed(u: Any, x: Any, b: Any) -> tuple[Any, Any]:
    return 2 * u, np.broadcast_to(u.squeeze().sum(axis=0), b.shape).copy()


def two_rows_at_least(u: Any, x: Any, b: Any) -> tuple[Any, Any]:
    return 2 * u, np.stack([*u]).reshape(2, -1, b.size).sum(axis=(0, 1)) if len(u) % 2 == 0 else u[:0].sum()


def normalised(x: Any) -> Any:
    wide = x.astype(np.float32)
    return ((wide - wide.mean(axis=0)) / np.sqrt(wide.var(axis=0) + 1e-5)).astype(np.float16).astype(x.dtype)


def normalised_backward(u: Any, x: Any) -> Any:
    wide, u = x.astype(np.float32), u.astype(np.float32)
    deviation = np.sqrt(wide.var(axis=0) + 1e-5)
    normal = (wide - wide.mean(axis=0)) / deviation
    return ((u - u.mean(axis=0) - normal * (u * normal).mean(axis=0)) / deviation).astype(x.dtype)


def last_row_off(u: Any, x: Any) -> Any:
    gradient = normalised_backward(u, x)
    gradient[-1] *= 1.1
    return gradient


def in_half(**settings: Any) -> dict[str, Any]:
    return {"inputs": (array("x", (6, 5), dtype="float16"),), "dtype": "float16", **settings}


X, B = array("x", (6, 5)), array("b", (5,))

WRONG: dict[str, tuple[Pair, dict[str, Any], str, str]] = {
    "leak": (
        (np.sin, with_something_of_others),
        {"inputs": (array("x", (6, 5), dtype="float32"),), "dtype": "float32"},
        "row-dependent",
        "rows",
    ),
    "division": ((np.sin, divided_by_the_upstream), {}, "nonlinear-upstream", "parts"),
    "no largest": ((np.sin, scaled_by_its_largest), {}, "nonlinear-upstream", "parts"),
    "passed over": ((np.sin, rows_without_a_first_upstream_left_out), {}, "nonlinear-upstream", "parts"),
    "memory": ((weighted_in_memory_order, in_memory_order), {}, "layout-dependent", "copies"),
    "views": ((np.sin, refuses_views), {}, "layout-dependent", "copies"),
    "read-only": ((np.sin, in_place), {}, "layout-dependent", "copies"),
    "not aligned": ((np.sin, from_the_nearest_word), {}, "layout-dependent", "copies"),
    "stretched": ((np.sin, one_stride_of_zero), {}, "layout-dependent", "copies"),
    "threads": ((np.sin, in_a_shared_buffer), {}, "race", "threads"),
    "squeezed": ((shifted, one_row_squeezed), {"inputs": (X, B)}, "row-dependent", "one row"),
    "raises": ((shifted, two_rows_at_least), {"inputs": (X, B)}, "row-dependent", "one row"),
    "order": ((normalised, last_row_off), in_half(budget=100), "row-dependent", "order"),
}
"""A pair of functions, how it is audited, and the finding and the relation that show it."""


def ends(pair: Pair, settings: dict[str, Any], *, relations: bool) -> list[Result]:
    settings = dict(settings)
    case = case_of(*pair, *settings.pop("inputs", (X,)), **settings)
    return list(audit_of(replace(case, relations=relations)).results)


@pytest.mark.parametrize("name", WRONG)
def test_a_fault_is_found_by_its_relation_alone(name: str) -> None:
    pair, settings, code, relation = WRONG[name]
    assert all(one.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE) for one in ends(pair, settings, relations=False))
    found = [finding for one in ends(pair, settings, relations=True) for finding in one.findings if finding.fails]
    assert {(finding.code, finding.evidence["relation"]) for finding in found} == {(code, relation)}


def picked(table: Any, index: Any) -> Any:
    return table[index]


def picked_backward(u: Any, table: Any, index: Any) -> Any:
    gradient = np.zeros_like(table)
    np.add.at(gradient, index, u)
    return gradient


def batch_norm(x: Any) -> Any:
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def otherwise_for_views(x: Any) -> Any:
    mean = x.mean(axis=0) if x.flags.c_contiguous else sum(x[::-1] / len(x))
    return (x - mean) / np.sqrt(x.var(axis=0) + 1e-5)


def batch_norm_backward(u: Any, x: Any) -> Any:
    deviation = np.sqrt(x.var(axis=0) + 1e-5)
    normal = (x - x.mean(axis=0)) / deviation
    return (u - u.mean(axis=0) - normal * (u * normal).mean(axis=0)) / deviation


def linear(x: Any, w: Any) -> Any:
    return x @ w


def linear_backward(u: Any, x: Any, w: Any) -> tuple[Any, Any]:
    return u @ w.T, x.T @ u


def first_largest(x: Any) -> Any:
    return x.max(axis=0)


def first_largest_backward(u: Any, x: Any) -> Any:
    gradient = np.zeros_like(x)
    gradient[x.argmax(axis=0), np.arange(x.shape[1])] = u
    return gradient


def divided_by_largest(x: Any) -> Any:
    return x / abs(x).max()


def divided_by_largest_backward(u: Any, x: Any) -> Any:
    most, place = abs(x).max(), abs(x).argmax()
    gradient = u / most
    gradient[place] -= (u * x).sum() / most**2 * np.sign(x[place])
    return gradient


def same_largest_backward(u: Any, x: Any) -> Any:
    gradient = np.zeros_like(x)
    gradient[x.argmax()] = u.sum()
    return gradient


def distance(x: Any, y: Any) -> Any:
    return ((x - y) ** 2).mean()


def distance_backward(u: Any, x: Any, y: Any) -> tuple[Any, Any]:
    gradient = u * (x - y) * (2 / x.size)
    return gradient, -gradient


NOTHING = array("x", (2,), values=[2.3e-308, 2.3e-308])
ZEROS = array("y", (2,), values=[0.0, 0.0])
ALL = array("index", (4,), values=[0, 1, 2, 3], dtype="int64", differentiable=False)
TINY = array("x", (2, 2), values=np.full((2, 2), 1.2e-38))
EQUAL = array("x", (4, 3), values=np.ones((4, 3)))
ZERO = array("x", (4, 4), values=np.zeros((4, 4)))
SQUARE = array("w", (4, 4))
MASK = array("mask", (6, 5), values=np.eye(6, 5), differentiable=False)
INDEX = array("index", (4,), values=[0, 3, 3, 1], dtype="int64", differentiable=False)

RIGHT: dict[str, tuple[Pair, tuple[Any, ...]]] = {
    "softmax": ((softmax, softmax_backward), (X,)),
    "batch norm": ((batch_norm, batch_norm_backward), (X,)),
    "batch norm that sums a view otherwise": ((otherwise_for_views, batch_norm_backward), (X,)),
    "batch norm of one value": ((batch_norm, batch_norm_backward), (EQUAL,)),
    "linear": ((linear, linear_backward), (X, array("w", (5, 4)))),
    "square": ((linear, linear_backward), (array("x", (4, 4)), SQUARE)),
    "square of zeros": ((linear, linear_backward), (ZERO, SQUARE)),
    "mask": ((lambda x, mask: x * x * mask, lambda u, x, mask: 2 * u * x * mask), (X, MASK)),
    "rows that are picked": ((picked, picked_backward), (array("table", (4, 3)), INDEX)),
    "sums": ((lambda x: x.cumsum(axis=0), lambda u, x: u[::-1].cumsum(axis=0)[::-1]), (X,)),
    "mean": ((lambda x: (x * x).mean(), lambda u, x: 2 * u * x / x.size), (X,)),
    "maximum": ((first_largest, first_largest_backward), (array("x", (4, 3), gap=0.05),)),
    "products that underflow": ((linear, linear_backward), (TINY, replace(TINY, name="w"))),
    "columns that have a largest row": (
        (lambda x: x.max(axis=0), first_largest_backward),
        (array("x", (2, 2), gap=0.05),),
    ),
    "rows divided by the largest of all": (
        (divided_by_largest, divided_by_largest_backward),
        (array("x", (4,), gap=0.05),),
    ),
    "rows that are all the same": ((lambda x: x * 0 + x.max(), same_largest_backward), (array("x", (4,), gap=0.05),)),
    "rows picked in their order": ((picked, picked_backward), (array("table", (4, 3)), ALL)),
    "a number that does not count": (
        (distance, distance_backward),
        (NOTHING, ZEROS),
    ),
    "values far from zero": ((softmax, softmax_backward), (array("x", (2, 25), 798, 801),)),
    "scalar": ((np.sin, cosine), (array("x", ()),)),
    "empty": ((np.sin, cosine), (array("x", (0, 3)),)),
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", RIGHT)
def test_right_ops_break_no_relation(name: str, dtype: str) -> None:
    pair, inputs = RIGHT[name]
    made = tuple(one if one.dtype == "int64" else replace(one, dtype=dtype) for one in inputs)
    found = ends(pair, {"inputs": made, "dtype": dtype}, relations=True)
    assert not [finding for one in found for finding in one.findings if "relation" in finding.evidence]
    without = ends(pair, {"inputs": made, "dtype": dtype}, relations=False)
    assert [one.verdict for one in found] == [one.verdict for one in without]


def test_right_rows_that_round_to_half_inside_break_none() -> None:
    pair = normalised, normalised_backward
    for budget in (None, 100):
        (result,) = ends(pair, in_half(budget=budget), relations=True)
        assert result.verdict in (Verdict.PASS, Verdict.INCONCLUSIVE)


@pytest.mark.parametrize("seed", [3, 8])
def test_rows_that_are_saturated_break_none(seed: int) -> None:
    """All that is left of their gradient is the rounding of terms that cancel."""
    values = [[317.0, 287.0, 224.0, 782.0], [531.0, 486.0, 532.0, 549.0], [458.0, 15.0, 503.0, 468.0]]
    keys = {"inputs": (array("x", (3, 4), values=values, dtype="float32"),), "dtype": "float32", "seed": seed}
    (result,) = ends((softmax, softmax_backward), keys, relations=True)
    assert result.findings == () or {finding.code for finding in result.findings} == {"below-noise"}


def test_what_draws_numbers_is_not_called_from_threads() -> None:
    def drawing(x: Any) -> Any:
        np.random.random()
        return np.sin(x)

    (result,) = ends((drawing, in_a_shared_buffer), {}, relations=True)
    assert result.verdict is Verdict.PASS
