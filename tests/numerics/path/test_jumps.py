"""What jumps add to a loss along paths: told from what is smooth, from kinks and from rounding."""

import math

import numpy as np
import pytest

from gradaudit.numerics.arrays import Array
from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.jumps import STEPS, jumped, walked

TIMES = np.arange(STEPS + 1) / STEPS
RNG = np.random.default_rng(0)
SMOOTH = 5.0 * np.sin(0.5 * TIMES + RNG.uniform(0, 6, (4, 1)))


def test_jumps_beside_what_is_smooth_are_measured() -> None:
    jumps = RNG.normal(size=(4, STEPS, 10))
    losses = SMOOTH + np.pad(jumps.sum(2), ((0, 0), (1, 0))).cumsum(1)
    assert walked(losses, 1e-3) == pytest.approx(math.sqrt(10 * STEPS), rel=0.2)


def test_one_jump_is_seen() -> None:
    losses = SMOOTH + 3.0 * (TIMES > 0.4)
    assert walked(losses, 1e-3) == pytest.approx(3.0, rel=0.1)


@pytest.mark.parametrize(
    "losses",
    [
        SMOOTH,
        np.exp(3.0 * TIMES) + SMOOTH,
        np.abs(TIMES - RNG.uniform(0, 1, (40, 4, 1))).sum(0),
        SMOOTH + RNG.normal(size=(4, STEPS + 1)),
    ],
    ids=["smooth", "steep", "kinks", "rounding"],
)
def test_what_does_not_jump_is_none(losses: np.ndarray) -> None:
    assert walked(losses, 0.0) == 0.0


def test_what_scatters_no_more_than_rounding_is_no_jump() -> None:
    losses = RNG.normal(size=(4, STEPS + 1)).cumsum(1)
    assert walked(losses, 0.1) > 0.0
    assert walked(losses, 100.0) == 0.0


def _difference(scale: float) -> PathClaim:
    """Return a norm of two elements: their difference by its size, which is all but a sign where the scale is small."""

    def forward(inputs: dict[str, Array]) -> tuple[Array, ...]:
        apart = inputs["x"][:1] - inputs["x"][1:]
        return (apart / np.sqrt(apart**2 + scale**2),)

    def backward(upstream: tuple[Array, ...], inputs: dict[str, Array], outputs: tuple[Array, ...]) -> dict[str, Array]:
        apart = inputs["x"][:1] - inputs["x"][1:]
        slope = upstream[0] * scale**2 / (apart**2 + scale**2) ** 1.5
        return {"x": np.concatenate([slope, -slope])}

    return PathClaim(forward, backward, {"x": np.array([1.2, 0.6])}, (np.ones(1),), domains={"x": (-2.0, 2.0)})


@pytest.mark.parametrize("seed", range(6))
def test_jumps_are_seen_that_only_elements_meet_that_move_against_each_other(seed: int) -> None:
    """A path that follows the signs of the gradient, or goes against them, does."""
    both = np.arange(2)
    assert jumped(_difference(1e-4), "x", both, np.random.default_rng(seed)).by_outputs > 0.5
    assert jumped(_difference(1.0), "x", both, np.random.default_rng(seed)).by_outputs == 0.0
