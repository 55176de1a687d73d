"""How much of forward's change along paths are jumps: a hard decision, as of a maximum's place, makes outputs leap.

A claim is right nearly everywhere then, and its integral leaves out each jump. An output jumps where it changes by far
more between two nodes than between those before and after, and than its rounding: one that is merely steep, or turns,
changes by as much beside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, on_host
from gradaudit.numerics.magnitude import norm_of_product, rms
from gradaudit.numerics.margins import MAX_LISTED, SAFETY, SIGNIFICANT, SMALL_SAMPLE
from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.displacement import Route, drawn_for
from gradaudit.numerics.path.settings import SHARE

STEPS = 2 * MAX_LISTED
"""Parts of a path: two jumps of one output seldom lie in neighbouring ones."""


PIECE = 1 / SIGNIFICANT
"""Part of a path on which the scatter of the loss is looked at: on a short one jumps stand out from what is smooth."""


class Jumps(NamedTuple):
    """What jumps may add to the loss, a root mean square: by outputs that leap, and by the scatter of the loss alone.

    With the part of its terms' size that moved at all.
    """

    by_outputs: float
    scattered: float
    moved: float

    def explain(self, trend: float, noise: float) -> bool:
        """Return whether they may come to a trend, and are no noise: of the outputs that move, or of the loss."""
        told = (self.by_outputs, self.moved * noise), (self.scattered, noise)
        return any(trend <= SIGNIFICANT * size and size > least for size, least in told)


def jumped(claim: PathClaim, name: str, places: NDArray[np.intp], rng: np.random.Generator) -> Jumps:
    """Return what jumps may add to the loss along paths on which some elements of an input move alone.

    Where they follow each other closely, they show on a short piece only, and there are more on the whole. Where they
    show in the loss alone, as of an output that is a sum, it is what they add if all have the same sign: there may be
    one for each element.
    """
    drawn = [drawn_for(claim, {name: (places, way)}, SHARE, rng, least=0.5) for way in _ways(claim, name, places)]
    whole, pieces = ([_walk(claim, route, length) for route in drawn] for length in (1.0, PIECE))
    far, near = (rms(np.array([walk.jumps for walk in walks])) for walks in (whole, pieces))
    losses = np.array([walk.losses for walk in pieces if len(walk.losses) == STEPS + 1])
    rounding = claim.unit * max(walk.size for walk in pieces)
    scattered = walked(losses, SIGNIFICANT * rounding) if losses.size else 0.0
    # On steps so short, inputs that are rounded to few digits climb stairs, too.
    near = near if SIGNIFICANT * claim.unit < PIECE / STEPS else 0.0
    in_sum = math.sqrt(len(places) / PIECE) * scattered
    return Jumps(max(far, SAFETY * near), in_sum, max(walk.moved for walk in whole))


def _ways(claim: PathClaim, name: str, places: NDArray[np.intp]) -> list[Any]:
    """Return which way elements go on each path: with and against their gradients, as on those that accuse them."""
    start = claim.values(claim.inputs)
    gradients = claim.gradients(claim.inputs, start) if start is not None else None
    if gradients is None:
        return [None] * SMALL_SAMPLE
    along = np.sign(on_host(gradients[name])[places])
    along[along == 0] = 1.0
    return [along, -along, *[None] * (SMALL_SAMPLE - 2)]


class _Walk(NamedTuple):
    """What outputs that jump add to the loss, the losses where forward has any, and the size of their terms at most.

    With the part of that size which those terms have that change on the way.
    """

    jumps: float
    losses: list[float]
    size: float
    moved: float


def _walk(claim: PathClaim, route: Route, length: float) -> _Walk:
    losses, sizes = [], [0.0]
    first: Array | None = None
    changes: Array = 0.0

    def vectors() -> Iterator[Array]:
        nonlocal first, changes
        for k in range(STEPS + 1):
            if (made := claim.values(route.at(length * k / STEPS))) is not None:
                first = made.vector if first is None else first
                changes = changes + (made.vector != first)
                losses.append(float(claim.given.vector @ made.vector))
                sizes.append(norm_of_product(claim.given.vector, made.vector))
                yield made.vector

    steps = (
        _Step(after - before, SIGNIFICANT * claim.unit * (abs(before) + abs(after)))
        for before, after in pairwise(vectors())
    )
    # At the ends of a path one side is not known, so that what begins to change there may be a kink.
    jumps = sum(
        float(claim.given.vector @ here.jumps(before, after))
        for (before, here), (_, after) in pairwise(pairwise(steps))
    )
    terms = norm_of_product(claim.given.vector, first) if first is not None else 0.0
    moved = norm_of_product(claim.given.vector * (changes > 0), first) / terms if first is not None and terms else 1.0
    return _Walk(jumps, losses, max(sizes), moved)


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


class _Step(NamedTuple):
    """By how much each output changes between two nodes, and what of that may be rounding."""

    change: Array
    rounding: Array

    def jumps(self, before: _Step, after: _Step) -> Array:
        """Return the change where it is a jump, zero elsewhere."""
        size = abs(self.change)
        jumping = (size > SAFETY * abs(before.change)) & (size > SAFETY * abs(after.change))
        return self.change * (jumping & (size > self.rounding))
