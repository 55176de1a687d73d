"""Faults planted into right gradients: whatever their number, size and place, a search never passes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import array, audit, only

from gradaudit.results import Result, Verdict

Function = Callable[..., Any]

OPS: dict[str, tuple[Function, Function]] = {
    "sine": (np.sin, lambda u, x: u * np.cos(x)),
    "cube": (lambda x: x * x * x, lambda u, x: 3 * u * x * x),
    "running sum": (lambda x: np.cumsum(x) / 10, lambda u, x: np.cumsum(u[::-1])[::-1] / 10),
    "sum of squares": (lambda x: (x * x).sum(), lambda u, x: 2 * u * x),
}

NUMBERS = (1, 2, 3, 17, 100, 1000)


def audited(op: str, fault: Function, size: int = 4_000, seed: int = 0, dtype: str = "float64") -> Result:
    """Audit an op whose gradient a fault returns changed."""
    forward, right = OPS[op]

    def backward(u: Any, x: Any) -> Any:
        return np.asarray(fault(right(u, x)), dtype=x.dtype)

    x = array("x", (size,), 0.5, 1.5, dtype=dtype)
    return only(audit(forward, backward, x, seed=seed, dtype=dtype, method="search"))


def scaling(places: Any, factor: Any) -> Function:
    def fault(gradient: Any) -> Any:
        gradient = gradient.copy()
        gradient[places] *= factor
        return gradient

    return fault


@pytest.mark.parametrize("factor", [1.001, 1.01, 1.5, 2.0, 0.0, -1.0])
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(("op", "seed"), [("sine", 0), ("running sum", 1)])
def test_wrong_factors_at_some_indices_fail(op: str, seed: int, number: int, factor: float) -> None:
    places = np.random.default_rng(seed).choice(4_000, number, replace=False)
    result = audited(op, scaling(places, factor), seed=seed)
    assert result.verdict is Verdict.FAIL, result.message
    assert {found.index[0] for found in result.mismatches} <= set(places.tolist())
    if number <= 17:
        assert result.wrong == number


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    op=st.sampled_from(sorted(OPS)),
    number=st.sampled_from(NUMBERS),
    sizes=st.tuples(st.floats(1.001, 2.0), st.floats(1.001, 2.0)),
    signs=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_no_planted_fault_ever_passes(op: str, number: int, sizes: tuple[float, float], signs: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.choice(3_000, number, replace=False)
    factors = rng.uniform(*sorted(sizes), number)
    if signs:  # errors in both directions cancel in sums that are not random
        factors = np.where(rng.random(number) < 0.5, factors, 2 - factors)
    result = audited(op, scaling(places, factors), 3_000, seed)
    assert result.verdict is not Verdict.PASS
    assert {found.index[0] for found in result.mismatches} <= set(places.tolist())


@pytest.mark.parametrize("size", [2_000, 30_000])
def test_a_thousand_slightly_wrong_indices_fail(size: int) -> None:
    places = np.random.default_rng(size).choice(size, 1000, replace=False)
    result = audited("cube", scaling(places, 1.001), size)
    assert result.verdict is Verdict.FAIL
    assert result.wrong > 0


@pytest.mark.parametrize("error", [1e-6, 1e-5, 1e-4])
def test_many_errors_that_are_small_do_not_pass_by_raising_what_is_allowed(error: float) -> None:
    result = audited("cube", scaling(np.s_[::100], 1 + error), 10_000)
    assert result.verdict is not Verdict.PASS or result.resolution >= error


CANCELLING: dict[str, Function] = {
    "two neighbours exchanged": lambda g: np.concatenate([g[1::-1], g[2:]]),
    "shifted by one": lambda g: np.roll(g, 1),
    "reversed": lambda g: g[::-1],
    "as much too large here as too small there": lambda g: (
        g + 0.01 * (np.arange(len(g)) == 3) * g - 0.01 * g[3] * (np.arange(len(g)) == 4)
    ),
    "alternating": lambda g: g * (1 + 0.01 * (-1.0) ** np.arange(len(g))),
    "mean taken off": lambda g: g - g.mean(),
    "a constant added": lambda g: g + 1e-5,
    "all replaced by the mean": lambda g: np.full_like(g, g.mean()),
    "first half forgotten": lambda g: np.where(np.arange(len(g)) < len(g) // 2, 0, g),
    "last entry forgotten": lambda g: np.where(np.arange(len(g)) == len(g) - 1, 0, g),
    "all zero": np.zeros_like,
    "all of the wrong sign": np.negative,
    "one of the wrong sign": lambda g: np.where(np.arange(len(g)) == 1_234, -g, g),
    "accumulated twice": lambda g: 2 * g,
}


@pytest.mark.parametrize("name", CANCELLING)
@pytest.mark.parametrize("op", ["sine", "cube", "sum of squares"])
def test_faults_that_cancel_in_a_sum_fail(op: str, name: str) -> None:
    for seed in range(2):
        result = audited(op, CANCELLING[name], seed=seed)
        assert result.verdict is Verdict.FAIL, (seed, result.message)
        assert result.wrong > 0


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("claim", [1e2, 1e6, 1e10, 1e14, 1e20, 1e37, -1e30])
def test_one_claim_of_another_magnitude_never_passes(claim: float, dtype: str) -> None:
    """A division by almost zero: a tolerance relative to the claim must not make room for it."""

    def fault(gradient: Any) -> Any:
        return np.where(np.arange(gradient.size) == 3, claim, gradient)

    result = audited("sine", fault, dtype=dtype)
    assert result.verdict is not Verdict.PASS
    assert {found.index for found in result.mismatches} <= {(3,)}


@pytest.mark.parametrize("claim", [1e100, 1e200, 1e308, -1e308])
@pytest.mark.parametrize("places", [[3], [3, 4, 5], slice(None)], ids=["one", "three", "all"])
def test_claims_beyond_everything_fail(claim: float, places: Any) -> None:
    def fault(gradient: Any) -> Any:
        gradient[places] = claim
        return gradient

    result = audited("sine", fault)
    assert result.verdict is Verdict.FAIL
    assert result.wrong > 0


@pytest.mark.parametrize("factor", [1e-30, 1e-12, 1e-6, 1e6, 1e12])
@pytest.mark.parametrize("op", ["sine", "cube"])
def test_gradients_of_mixed_magnitude_hide_nothing(op: str, factor: float) -> None:
    """One index in seven has a gradient of another magnitude; one of the others is off by 1%."""
    forward, right = OPS[op]

    def weights(x: Any) -> Any:
        return np.where(np.arange(x.size) % 7 == 3, factor, 1.0)

    for seed in range(2):
        for place, spoilt in ((700, 1.01), (701, 1.01), (700, 1.0)):

            def backward(u: Any, x: Any, place: int = place, spoilt: float = spoilt) -> Any:
                return weights(x) * scaling(place, spoilt)(right(u, x))

            x = array("x", (4_000,), 0.5, 1.5)
            result = only(audit(lambda x: weights(x) * forward(x), backward, x, seed=seed))
            if spoilt == 1.0:
                assert result.wrong == 0
            elif factor <= 1.0:  # else the noise of the large ones may cover it
                assert (result.verdict, [found.index for found in result.mismatches]) == (Verdict.FAIL, [(place,)])
            else:
                assert result.verdict is not Verdict.PASS or result.resolution > 1e-2 / factor
