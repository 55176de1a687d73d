"""Upstreams whose true gradient vanishes: told wherever they are given, and others left in peace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only
from softmax_pair import softmax, softmax_backward

from gradaudit.results import Verdict

Function = Callable[..., Any]


def layer_norm(x: Any) -> Any:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)


def layer_norm_backward(u: Any, x: Any) -> Any:
    y = layer_norm(x)
    spread = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    return (u - u.mean(axis=-1, keepdims=True) - y * (u * y).mean(axis=-1, keepdims=True)) / spread


SUM_TO_ZERO: dict[str, tuple[Function, Function]] = {
    "softmax": (softmax, softmax_backward),
    "layer norm": (layer_norm, layer_norm_backward),
    "batch norm": (lambda x: layer_norm(x.T).T, lambda u, x: layer_norm_backward(u.T, x.T).T),
    "centring": (lambda x: x - x.mean(), lambda u, x: u - u.mean()),
}
OTHERS: dict[str, tuple[Function, Function]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda u, x: u * (x > 0)),
    "log-softmax": (
        lambda x: np.log(softmax(x)),
        lambda u, x: u - softmax(x) * u.sum(axis=-1, keepdims=True),
    ),
    "sum": (lambda x: x.sum(), lambda u, x: np.full_like(x, u)),
}
each_size = pytest.mark.parametrize("shape", [(6, 4), (50, 60)], ids=["exhaustive", "search"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@each_size
@pytest.mark.parametrize("upstream", ["ones", "explicit"])
@pytest.mark.parametrize("name", SUM_TO_ZERO)
def test_ones_into_what_sums_to_zero_mean_nothing(name: str, upstream: str, shape: tuple[int, ...], dtype: str) -> None:
    given = "ones" if upstream == "ones" else np.full(shape, 2.0).tolist()
    made = audit(*SUM_TO_ZERO[name], array("x", shape, dtype=dtype), dtype=dtype, upstream=given)
    assert codes(made) == {"degenerate-upstream"}
    assert only(made).verdict is Verdict.INCONCLUSIVE


@each_size
def test_a_wrong_factor_does_not_pass_where_it_is_hidden(shape: tuple[int, ...]) -> None:
    made = audit(softmax, lambda u, x: 2 * softmax_backward(u, x), array("x", shape), upstream="ones")
    assert only(made).verdict is Verdict.INCONCLUSIVE
    assert "use a random upstream" in only(made).message


@each_size
@pytest.mark.parametrize("name", [*SUM_TO_ZERO, *OTHERS])
def test_a_random_upstream_is_not_degenerate(name: str, shape: tuple[int, ...]) -> None:
    made = audit(*(SUM_TO_ZERO | OTHERS)[name], array("x", shape))
    assert (only(made).verdict, codes(made)) == (Verdict.PASS, set())


@each_size
@pytest.mark.parametrize("name", OTHERS)
def test_ones_into_other_ops_are_in_order(name: str, shape: tuple[int, ...]) -> None:
    made = audit(*OTHERS[name], array("x", shape), upstream="ones")
    assert (only(made).verdict, codes(made)) == (Verdict.PASS, set())
