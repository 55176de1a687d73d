"""Accusations by central differences are withdrawn where forward is an approximation, and stand where backward is."""

from __future__ import annotations

import numpy as np
import pytest
from approximate_forwards import RIGHT, STRAIGHT_THROUGH, WRONG, Approximate, Array

from gradaudit.numerics.path.arbiter import Ruling, arbitrate
from gradaudit.numerics.path.claim import PathClaim

STEP = 2.0**-16


def _differenced(op: Approximate, upstream: Array, x: Array, step: float = STEP) -> Array:
    slopes = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[index] = step
        slopes[index] = ((op.forward(x + moved) - op.forward(x - moved)) * upstream).sum() / (2 * step)
    return slopes


def _accused(op: Approximate, seed: int, special: float | None = None) -> tuple[PathClaim, dict, Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(op.low, op.high, (2, 8))
    if special is not None:
        x.flat[0] = special
    upstream = rng.choice([-1.0, 1.0], op.forward(x).shape) * rng.choice([1, 1.25, 1.5, 1.75], op.forward(x).shape)
    claim = PathClaim(
        lambda inputs: (op.forward(inputs["x"]),),
        lambda upstream, inputs, outputs: {"x": op.backward(upstream[0], inputs["x"])},
        {"x": x},
        (upstream,),
        domains={"x": (op.low, op.high)},
    )
    slopes, other = (_differenced(op, upstream, x, step) for step in (STEP, STEP / 2))
    claimed = op.backward(upstream, x)
    bad = abs(claimed - slopes) > 1e-6 * abs(claimed) + 3 * abs(slopes - other) + 1e-9
    places = np.flatnonzero(bad)
    return claim, {"x": (places, (claimed - slopes).ravel()[places])}


def _ruling(op: Approximate, seed: int, special: float | None = None) -> Ruling | None:
    claim, accused = _accused(op, seed, special)
    return arbitrate(claim, accused, np.random.default_rng(seed + 3)) if accused["x"][0].size else None


def _seeds(name: str) -> range:
    """Return which points are looked at: fewer where forward itself takes long."""
    return range(1 if name.startswith("bisection") else 3)


@pytest.mark.parametrize("name", RIGHT)
def test_right_gradients_of_approximations_are_let_off(name: str) -> None:
    rulings = [ruling for seed in _seeds(name) if (ruling := _ruling(RIGHT[name], seed)) is not None]
    let_off = [ruling for ruling in rulings if ruling.by]
    assert rulings
    assert len(let_off) >= 2 * len(rulings) / 3
    codes = {ruling.code for ruling in let_off}
    assert codes == {"straight-through" if name in STRAIGHT_THROUGH else "approximate-forward"}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_gradients_are_never_let_off(name: str) -> None:
    special = 0.55 if name.startswith(("5%", "flipped from")) else None
    rulings = [ruling for seed in range(3) if (ruling := _ruling(WRONG[name], seed, special)) is not None]
    assert rulings
    assert not any(ruling.by for ruling in rulings)


def test_the_supported_tolerance_is_the_size_of_forwards_error() -> None:
    ruling = _ruling(RIGHT["ripple"], 0)
    assert ruling is not None
    assert 1e-8 < ruling.supported < 2e-6
    assert 1e-7 < ruling.forward_error < 1e-6
    coarse = _ruling(RIGHT["bfloat16 inside"], 0)
    assert coarse is not None
    assert 2.0**-11 < coarse.supported < 2.0**-6


def test_a_plainly_wrong_factor_is_settled_in_few_calls() -> None:
    claim, accused = _accused(WRONG["factor 1.01"], 1, None)
    assert arbitrate(claim, accused, np.random.default_rng(4)).by is None
    assert claim.forwards <= 200
    assert claim.backwards <= 200


def test_one_wrong_element_among_right_ones_stands() -> None:
    """The worst element of a staircase is let off; the accusation as a whole is not, where another's claim is wrong."""
    step = RIGHT["round to eighths"]
    x = np.random.default_rng(0).uniform(-2, 2, (2, 8))

    def backward(upstream: Array, x: Array) -> Array:
        claimed = upstream.copy()
        claimed[0, 3] *= 0.5
        return claimed

    upstream = np.ones((2, 8))
    claim = PathClaim(
        lambda inputs: (step.forward(inputs["x"]),),
        lambda upstream, inputs, outputs: {"x": backward(upstream[0], inputs["x"])},
        {"x": x},
        (upstream,),
        domains={"x": (-2.0, 2.0)},
    )
    accused = {"x": (np.arange(16), backward(upstream, x).ravel())}
    assert arbitrate(claim, accused, np.random.default_rng(1)).by is None


def test_where_the_domain_cannot_be_left_or_evaluated_the_accusation_stands() -> None:
    claim = PathClaim(
        lambda inputs: (np.where(inputs["x"] == 1.0, 1.0, np.nan),),
        lambda upstream, inputs, outputs: {"x": upstream[0]},
        {"x": np.ones(4)},
        (np.ones(4),),
    )
    ruling = arbitrate(claim, {"x": (np.arange(4), np.ones(4))}, np.random.default_rng(0))
    assert ruling.by is None
    assert "along any path" in ruling.reason


def test_torch_arrays_are_ruled_on_as_numpys() -> None:
    torch = pytest.importorskip("torch")
    x = torch.linspace(-1.9, 1.8, 16, dtype=torch.float64).reshape(2, 8)
    claim = PathClaim(
        lambda inputs: (torch.tanh(inputs["x"].bfloat16().double()),),
        lambda upstream, inputs, outputs: {"x": upstream[0] * (1 - torch.tanh(inputs["x"]) ** 2)},
        {"x": x},
        (torch.ones(2, 8, dtype=torch.float64),),
        domains={"x": (-2.0, 2.0)},
    )
    flat = (1 - torch.tanh(x) ** 2).numpy().ravel()
    ruling = arbitrate(claim, {"x": (np.arange(16), flat)}, np.random.default_rng(0))
    assert ruling.by is not None
    assert ruling.code == "approximate-forward"
