"""Gradients that are made of a part of the upstream say which; a missing conjugate is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradaudit
from gradaudit.results import Finding

RNG = np.random.default_rng(3)
X, W = RNG.uniform(-1, 1, (5, 3)), RNG.uniform(-1, 1, (3, 4))


def mixed(x: Any, w: Any) -> Any:
    return np.tanh(np.cumsum(x @ w, axis=0))


def mixed_backward(upstream: Any, x: Any, w: Any) -> Any:
    g = upstream * (1 - mixed(x, w) ** 2)
    g = np.cumsum(g[::-1], axis=0)[::-1]
    return g @ w.T, x.T @ g


def causes(backward: Any, inputs: dict[str, Any], forward: Any = mixed) -> list[Finding]:
    results = gradaudit.check(gradaudit.op(forward, backward), inputs).results
    return [found for result in results for found in result.findings if "explained" in found.evidence]


def only(rows: slice, axis: int) -> Any:
    def backward(upstream: Any, x: Any, w: Any) -> Any:
        kept = np.zeros_like(upstream)
        place = (rows, slice(None)) if axis == 0 else (slice(None), rows)
        kept[place] = upstream[place]
        return mixed_backward(kept, x, w)

    return backward


@pytest.mark.parametrize(
    ("rows", "axis", "said"),
    [
        (slice(4, 5), 0, "reads only upstream[4, :]"),
        (slice(1, 3), 1, "reads only upstream[:, 1:3]"),
        (slice(0, 3), 0, "reads only upstream[0:3, :]"),
    ],
)
def test_the_part_is_named(rows: slice, axis: int, said: str) -> None:
    found = causes(only(rows, axis), {"x": X, "w": W})
    assert [each.code for each in found] == ["upstream-part", "upstream-part" if axis == 0 else "wrong-subset"]
    assert said in found[0].message


def test_one_row_for_all() -> None:
    found = causes(lambda u, x, w: mixed_backward(np.broadcast_to(u[0], u.shape), x, w), {"x": X, "w": W})
    assert "uses upstream[0, :] for every slice along axis 0" in found[0].message


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_a_diagonal_is_not_the_jacobian() -> None:
    (found,) = causes(lambda u, x: u * softmax(x) * (1 - softmax(x)), {"x": X}, softmax)
    assert found.code == "diagonal-only"
    assert "3 elements of the upstream" in found.message


def test_another_mistake_is_no_part_of_the_upstream() -> None:
    found = causes(lambda u, x, w: (mixed_backward(u, x, w)[0] * X**2, mixed_backward(u, x, w)[1]), {"x": X, "w": W})
    assert not {"upstream-part", "diagonal-only"} & {each.code for each in found}


def test_a_missing_conjugate() -> None:
    z, w = (RNG.uniform(-1, 1, (3, 4)) + 1j * RNG.uniform(-1, 1, (3, 4)) for _ in range(2))
    found = causes(lambda u, z, w: (u * w, u * z), {"z": z, "w": w}, lambda z, w: z * w)
    assert {each.code for each in found} == {"conjugate-missing"}
