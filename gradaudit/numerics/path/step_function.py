"""Forwards that are constant but for one or two steps: a sign, a threshold, a rounding to three values.

Their derivative is zero wherever there is one. A backward that returns anything else means the derivative of another
function, and so few steps say too little of it to hold the claim against them: only which way it goes.
"""

from __future__ import annotations

import numpy as np

from gradaudit.numerics.arrays import on_host
from gradaudit.numerics.margins import CONFIRMATIONS, MAX_LISTED, SLOPE_RTOL
from gradaudit.numerics.path.claim import PathClaim, Values
from gradaudit.numerics.path.displacement import Route, drawn_for
from gradaudit.numerics.path.long_path import ROUNDOFF, SHARE, Accused, bisected


def is_flat(claim: PathClaim, accused: Accused, start: Values) -> bool:
    """Whether the numerical gradient is zero wherever the claim is accused: the mismatch is the claim itself."""
    gradients = claim.gradients(claim.inputs, start)
    if gradients is None:
        return False
    return all(
        bool((np.abs(on_host(gradients[name])[places] - off) <= SLOPE_RTOL * np.abs(off)).all())
        for name, (places, off) in accused.items()
    )


def step_of(claim: PathClaim, accused: Accused, start: Values, rng: np.random.Generator) -> float:
    """Return the largest step of the loss along paths of single accused elements.

    0 where forward does more than step, or steps the other way than is claimed.
    """
    largest = 0.0
    for name, (places, claimed) in accused.items():
        for place, slope in zip(places, claimed, strict=True):
            route = drawn_for(claim, {name: (np.array([place]), None)}, SHARE, rng)
            steps = _steps(claim, route, start)
            if steps is None or sum(steps) * slope * float(route.moved[name][place]) < 0.0:
                return 0.0
            largest = max(largest, *map(abs, steps), 0.0)
    return largest


def _steps(claim: PathClaim, route: Route, start: Values) -> list[float] | None:
    """Return the steps of the loss along a route; None if they are not few, or if forward changes between them."""
    roundoff = ROUNDOFF * float(abs(start.vector * claim.given.vector).max())
    found: list[float] = []
    before = start
    for k in range(MAX_LISTED):
        after = claim.values(route.at((k + 1) / MAX_LISTED))
        if after is None:
            return None
        change = claim.change(after, before)
        if abs(change) > roundoff:
            jump, _ = bisected(claim, route, start, (k / MAX_LISTED, (k + 1) / MAX_LISTED))
            found.append(change)
            # A value of its own at the very step, as sign has at zero, leaves half of it on either side.
            # Three steps are the first that tell a claim from its half.
            if len(found) > CONFIRMATIONS or jump <= 0.49 * abs(change):
                return None
        before = after
    return found
