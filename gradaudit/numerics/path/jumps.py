"""How much of forward's change along paths are jumps: a hard decision, as of a maximum's place, makes outputs leap.

A claim is right nearly everywhere then, and its integral leaves out each jump. An output jumps where it changes by far
more between two nodes than between those before and after, and than its rounding: one that is merely steep, or turns,
changes by as much beside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array
from gradaudit.numerics.magnitude import norm_of_product, rms
from gradaudit.numerics.margins import MAX_LISTED, SAFETY, SIGNIFICANT, SMALL_SAMPLE
from gradaudit.numerics.path.claim import Claim
from gradaudit.numerics.path.displacement import Route, drawn_for
from gradaudit.numerics.path.settings import SHARE

STEPS = 2 * MAX_LISTED
"""Parts of a path: two jumps of one output seldom lie in neighbouring ones."""


PIECE = 1 / SIGNIFICANT
"""Part of a path on which the scatter of the loss is looked at: on a short one jumps stand out from what is smooth."""


def jumped(claim: Claim, name: str, places: NDArray[np.intp], rng: np.random.Generator) -> float:
    """Return what jumps may add to the loss along paths on which some elements of an input move alone: their rms.

    Where they show in the loss alone, as of an output that is a sum, it is what they add if all have the same sign:
    there may be one for each element.
    """
    drawn = [drawn_for(claim, {name: (places, None)}, SHARE, rng) for _ in range(SMALL_SAMPLE)]
    by_outputs = rms(np.array([_along(claim, route) for route in drawn]))
    return max(by_outputs, math.sqrt(len(places) / PIECE) * _scattered(claim, drawn))


def _scattered(claim: Claim, drawn: Sequence[Route]) -> float:
    """Return how far jumps carry the loss along the first piece of some paths, as far as these lie in the domain."""
    losses, roundings = [], [0.0]
    for route in drawn:
        along = []
        for k in range(STEPS + 1):
            if (made := claim.values(route.at(PIECE * k / STEPS))) is None:
                break
            along.append(float(claim.given.vector @ made.vector))
            roundings.append(claim.unit * norm_of_product(claim.given.vector, made.vector))
        else:
            losses.append(along)
    return walked(np.array(losses), SIGNIFICANT * max(roundings)) if losses else 0.0


def walked(losses: NDArray[np.float64], rounding: float) -> float:
    """Return how far jumps carry the loss along a path if their signs are random: the root of their sum of squares.

    Third differences leave little of what is smooth: over nodes four times as far apart they are 64 times as large,
    those of kinks 8 times, those of jumps twice, and those of rounding, of which they sum up 20, are the same.

    Args:
        losses: at equidistant nodes, one row a path.
        rounding: what scatters by less is rounding.

    """
    near, far = (rms(_third_differences(losses, apart)) for apart in (1, 4))
    jumps = near > math.sqrt(20) * rounding and math.sqrt(2) * near < far < 4 * near
    return math.sqrt((losses.shape[1] - 1) / 6) * near if jumps else 0.0


def _third_differences(losses: NDArray[np.float64], apart: int) -> NDArray[np.float64]:
    for _ in range(3):
        losses = losses[:, apart:] - losses[:, :-apart]
    return losses


def _along(claim: Claim, route: Route) -> float:
    """Return what outputs that jump on the way add to the loss; nothing of what lies beyond forward's domain."""
    values = (claim.values(route.at(k / STEPS)) for k in range(STEPS + 1))
    nodes = pairwise(made.vector for made in values if made is not None)
    steps = (_Step(after - before, SIGNIFICANT * claim.unit * (abs(before) + abs(after))) for before, after in nodes)
    pairs = pairwise(chain((None,), steps, (None,)))
    return sum(
        float(claim.given.vector @ here.jumps(*beside))
        for (before, here), (_, after) in pairwise(pairs)
        if here is not None and (beside := [step for step in (before, after) if step is not None])
    )


class _Step(NamedTuple):
    """By how much each output changes between two nodes, and what of that may be rounding."""

    change: Array
    rounding: Array

    def jumps(self, *beside: _Step) -> Array:
        """Return the change where it is a jump, zero elsewhere."""
        size = abs(self.change)
        jumping = size > self.rounding
        for step in beside:
            jumping = jumping & (size > SAFETY * abs(step.change))
        return self.change * jumping
