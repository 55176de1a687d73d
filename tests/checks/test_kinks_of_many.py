"""Kinks of hundreds of elements: activations that are zero in a maximum, a clip at both ends, ties among integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pairs import array, audit, codes, only

from gradaudit.results import Verdict


def windows(x: Any) -> Any:
    n, m = x.shape
    return x.reshape(n // 2, 2, m // 2, 2).transpose(0, 2, 1, 3).reshape(n // 2, m // 2, 4)


def unwindowed(w: Any, shape: tuple[int, int]) -> Any:
    n, m = shape
    return w.reshape(n // 2, m // 2, 2, 2).transpose(0, 2, 1, 3).reshape(n, m)


def pooled(x: Any) -> Any:
    return windows(x).max(-1)


def to_the_first(u: Any, x: Any) -> Any:
    w = windows(x)
    gradient = np.zeros_like(w)
    np.put_along_axis(gradient, w.argmax(-1)[..., None], u[..., None], -1)
    return unwindowed(gradient, x.shape)


def to_the_last(u: Any, x: Any) -> Any:
    return to_the_first(u[::-1, ::-1], x[::-1, ::-1])[::-1, ::-1].copy()


def activations(size: int) -> Any:
    return array("x", (size, size), 0, 2, distribution="integers")


@pytest.mark.parametrize("size", [24, 60])
@pytest.mark.parametrize("backward", [to_the_first, to_the_last])
def test_a_maximum_that_gives_its_upstream_to_one_of_many_ties_passes(backward: Any, size: int) -> None:
    result = only(audit(pooled, backward, activations(size)))
    assert (result.verdict, result.size) == (Verdict.PASS, size * size)
    assert result.evaluations < 1500


@pytest.mark.parametrize(
    ("off", "verdict"), [({}, Verdict.PASS), ({0: 0.5, 1: -0.5}, Verdict.FAIL), ({2: 1e-3}, Verdict.FAIL)]
)
def test_a_share_for_each_of_many_ties_is_looked_at_one_by_one(off: dict[int, float], verdict: Verdict) -> None:
    """Two errors that cancel show at neither tie's sum; each lies beyond the slopes of its own index."""

    def shared(u: Any, x: Any) -> Any:
        ties = x == x.max()
        gradient = ties / ties.sum()
        for place, error in off.items():
            gradient[np.flatnonzero(ties)[place]] += error
        return u * gradient

    result = only(audit(np.max, shared, array("x", (600,), 0, 1, distribution="integers"), method="search"))
    assert result.verdict is verdict
    assert result.checked == 600 or verdict is Verdict.FAIL


def test_one_window_that_is_off_fails_among_them() -> None:
    def wrong(u: Any, x: Any) -> Any:
        gradient = to_the_first(u, x)
        gradient[10:12, 20:22] *= 1.01
        return gradient

    assert only(audit(pooled, wrong, activations(24))).verdict is Verdict.FAIL


@pytest.mark.parametrize("at_the_ends", [0.0, 1.0])
def test_a_clip_at_both_ends_passes_whichever_side_its_gradient_is_of(at_the_ends: float) -> None:
    def backward(u: Any, x: Any) -> Any:
        return u * np.where(np.abs(x) < 1, 1.0, np.where(np.abs(x) == 1, at_the_ends, 0.0))

    x = array("x", (40, 30), -2, 2, distribution="integers")
    assert only(audit(lambda x: np.clip(x, -1, 1), backward, x)).verdict is Verdict.PASS


@pytest.mark.parametrize("shape", [(4, 4), (24, 24)])
def test_a_slope_beyond_both_sides_of_a_kink_fails_and_is_no_approximation(shape: tuple[int, int]) -> None:
    def leaky_at_zero(u: Any, x: Any) -> Any:
        return u * np.where(x > 0, 1.0, np.where(x == 0, -0.1, 0.0))

    audited = audit(lambda x: np.maximum(x, 0), leaky_at_zero, array("x", shape, 0, 2, distribution="integers"))
    assert only(audited).verdict is Verdict.FAIL
    assert "approximate-forward" not in codes(audited)


def test_an_index_at_a_kink_takes_a_dozen_forwards() -> None:
    half = lambda u, x: u * np.where(x > 0, 1.0, np.where(x == 0, 0.5, 0.0))  # noqa: E731
    x = array("x", (10, 10), 0, 2, distribution="integers")
    result = only(audit(lambda x: np.maximum(x, 0), half, x, method="exhaustive"))
    assert result.verdict is Verdict.PASS
    assert result.evaluations <= 12 * result.size
