"""How much of forward's change along paths are jumps: a hard decision, as of a maximum's place, makes outputs leap.

A claim is right nearly everywhere then, and its integral leaves out each jump. An output jumps where it changes by far
more between two nodes than between those before and after, and than its rounding: one that is merely steep, or turns,
changes by as much beside.
"""

from __future__ import annotations

from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array
from gradaudit.numerics.magnitude import rms
from gradaudit.numerics.margins import MAX_LISTED, SAFETY, SIGNIFICANT, SMALL_SAMPLE
from gradaudit.numerics.path.claim import Claim
from gradaudit.numerics.path.displacement import Route, drawn_for
from gradaudit.numerics.path.settings import SHARE

STEPS = 2 * MAX_LISTED
"""Parts of a path: two jumps of one output seldom lie in neighbouring ones."""


def jumped(claim: Claim, name: str, places: NDArray[np.intp], rng: np.random.Generator) -> float:
    """Return what jumps add to the loss along paths on which some elements of an input move alone: their rms."""
    drawn = (drawn_for(claim, {name: (places, None)}, SHARE, rng) for _ in range(SMALL_SAMPLE))
    return rms(np.array([_along(claim, route) for route in drawn]))


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
