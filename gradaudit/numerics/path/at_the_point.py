"""What backward claims at the very point, against what it claims a short way to either side of it.

A path holds the claim against forward all the way, and the point itself is only its beginning: a mask that takes zeros
for something else, or a tie that is counted twice, has no length. What lies between the claims on both sides, give or
take what is allowed, is as it should be: a gradient is continuous but at kinks, and there one-sided.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, as_reals, count, like, namespace, on_host
from gradaudit.numerics.magnitude import rms
from gradaudit.numerics.margins import WIDE_STEP
from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.displacement import Route


def unlike_beside(
    claim: PathClaim, allowed: Mapping[str, Array], rng: np.random.Generator, step: float = WIDE_STEP
) -> dict[str, NDArray[np.intp]]:
    """Return where claims at the point lie outside those beside it, the farthest first, by input.

    It takes three forwards and as many backwards.

    Args:
        claim: forward and backward at the point.
        allowed: by how much they may lie outside, vectors by input.
        rng: random stream.
        step: how far beside it, in units of each input's rms.

    """
    signs = {name: rng.choice((-1.0, 1.0), count(claim.inputs[name])) for name in allowed}
    scales = {name: rms(claim.inputs[name]) or 1.0 for name in allowed}
    made = []
    for side in (0.0, step, -step):
        moved = {name: like(side * scales[name] * along, as_reals(claim.inputs[name])) for name, along in signs.items()}
        inputs = Route(claim.inputs, moved).at(1.0)
        values = claim.values(inputs)
        gradients = claim.gradients(inputs, values) if values is not None else None
        if gradients is None:
            return {}
        made.append(gradients)
    here, *sides = made
    found = {}
    for name, most in allowed.items():
        one, other = (gradients[name] for gradients in sides)
        xp = namespace(one)
        outside = xp.maximum(here[name] - xp.maximum(one, other), xp.minimum(one, other) - here[name])
        off = on_host(outside - most)
        places = np.flatnonzero(off > 0.0)
        found[name] = places[np.argsort(-off[places])]
    return found
