"""How much of forward's change along paths are jumps: a hard decision, as of a maximum's place, makes outputs leap.

A claim is right nearly everywhere then, and its integral leaves out each jump. An output jumps where it changes by far
more between two nodes than between those before and after, and than its rounding: one that is merely steep, or turns,
changes by as much beside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, as_reals, count, like
from gradaudit.numerics.margins import MAX_LISTED, SAFETY, SIGNIFICANT, SMALL_SAMPLE
from gradaudit.numerics.path.claim import Claim
from gradaudit.numerics.path.displacement import Room, Route

STEPS = 2 * MAX_LISTED
"""Parts of a path: two jumps of one output seldom lie in neighbouring ones."""


def jumped(
    claim: Claim, name: str, places: NDArray[np.intp], share: float, unit: float, rng: np.random.Generator
) -> float:
    """Return what jumps add to the loss along paths on which some elements move alone, a root mean square.

    Args:
        claim: forward; backward is not called.
        name: of the input.
        places: positions of the elements in it.
        share: length of the longest displacement, as a part of the domain's width.
        unit: unit roundoff of what forward computes in.
        rng: random stream for the paths.

    """
    room = Room.of(claim.inputs[name], claim.domains[name], share)
    base = as_reals(claim.inputs[name])
    sums = []
    for _ in range(SMALL_SAMPLE):
        signs = np.zeros(count(base))
        signs[places] = rng.choice((-1.0, 1.0), len(places))
        sums.append(_along(claim, Route(claim.inputs, {name: room.draw(rng, like(signs, base))}), unit))
    return math.sqrt(sum(each * each for each in sums) / len(sums))


def _along(claim: Claim, route: Route, unit: float) -> float:
    """Return what outputs that jump on the way add to the loss; nothing of what lies beyond forward's domain."""
    values = (claim.values(route.at(k / STEPS)) for k in range(STEPS + 1))
    steps = (_Step.between(*nodes, unit) for nodes in pairwise(made.vector for made in values if made is not None))
    pairs = pairwise(chain((None,), steps, (None,)))
    return sum(
        float(claim.given.vector @ here.jumps(*beside))
        for (before, here), (_, after) in pairwise(pairs)
        if here is not None and (beside := [step for step in (before, after) if step is not None])
    )


@dataclass(frozen=True)
class _Step:
    """By how much each output changes between two nodes, and what of that may be rounding."""

    change: Array
    rounding: Array

    @classmethod
    def between(cls, before: Array, after: Array, unit: float) -> _Step:
        return cls(after - before, SIGNIFICANT * unit * (abs(before) + abs(after)))

    def jumps(self, *beside: _Step) -> Array:
        """Return the change where it is a jump, zero elsewhere."""
        size = abs(self.change)
        jumping = size > self.rounding
        for step in beside:
            jumping = jumping & (size > SAFETY * abs(step.change))
        return self.change * jumping
