"""How everything in a model moves when its parameters and inputs do, all at once: a derivative along one direction.

Places where the tape is cut are held still: of what passes there, the tape claims nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.recording import Recorded, aligned, recorded
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.dtypes import spacing

Array = NDArray[Any]

STEP = 2.0**-18
"""Displacement in units of the rms of what is displaced, in float64."""

AGREED = 1e-5
"""Relative difference of two derivatives along a direction up to which they are the same."""


@dataclass(frozen=True)
class Motion:
    """A run of a model, and how fast everything in it moves.

    Attributes:
        base: the run.
        step: the step of the central difference.
        leaves: by ``id`` of a parameter's or input's tensor, its motion.
        made: by the key of a walk, the motion of what a step made.
        still: what is held still, by position.

    """

    base: Recorded
    step: float
    leaves: Mapping[int, Array]
    made: Mapping[int, Array]
    still: Mapping[int, Array]

    def of(self, key: int) -> Array | None:
        """Return the motion of a leaf or of what a step made; None where it is not known."""
        return self.leaves.get(key, self.made.get(key))


def motion(base: Recorded, held: Collection[int]) -> Motion:
    """Return how a model moves along a random direction; it takes two runs.

    Args:
        base: a run.
        held: positions of what is held still.

    Raises:
        OpError: where the model cannot be run on other values.

    """
    op, arrays = base.op, base.arrays
    rng = np.random.default_rng(len(arrays))
    differentiable = {made.name for made in op.batch if made.differentiable and made.name in base.run.inputs}
    moving = [name for name in arrays if name in op.trained or name in differentiable]
    moving = [name for name in moving if op.tape.tracked(base.tensor(name)) and arrays[name].dtype.kind in "fc"]
    along = {name: (rms(arrays[name]) or 1.0) * rng.normal(size=arrays[name].shape) for name in moving}
    coarsest = max((spacing(arrays[name].dtype.name) for name in moving), default=spacing("float64"))
    still = {k: value for k in held if (value := base.values[k]) is not None}
    return _moved(base, along, still, {}, STEP * (coarsest / spacing("float64")) ** (1 / 3))


def motion_of_one(moving: Motion, key: int, others: Collection[int] = ()) -> Motion | None:
    """Return how a model moves with one leaf, or with what one step made, while others are held still.

    Args:
        moving: how it moves along a random direction.
        key: what a walk knows the one by.
        others: what it knows the others by.

    """
    base = moving.base
    position = {key: k for k, key in enumerate(base.keys)}
    along, value = moving.of(key), base.values[position[key]] if key in position else None
    if along is None:
        return None
    names = {id(base.tensor(name)): name for name in base.arrays if name in base.op.trained or name in base.run.inputs}
    found = {position[k]: base.values[position[k]] for k in others if k in position}
    still = {**moving.still, **{k: each for k, each in found.items() if each is not None}}
    if key in names:
        return _moved(base, {names[key]: along}, still, {}, moving.step)
    return None if value is None else _moved(base, {}, still, {position[key]: (value, along)}, moving.step)


def _moved(
    base: Recorded,
    along: Mapping[str, Array],
    still: Mapping[int, Array],
    inner: Mapping[int, tuple[Array, Array]],
    step: float,
) -> Motion:
    """Return a central difference of everything, along directions of parameters and inputs, or of what came to be."""
    op, arrays, ends = base.op, base.arrays, list[Recorded]()
    for sign in (1.0, -1.0):
        moved = {name: (arrays[name] + sign * step * d).astype(arrays[name].dtype) for name, d in along.items()}
        pushed = {k: np.asarray(value + sign * step * d) for k, (value, d) in inner.items()}
        with op.tape.replaced({**still, **pushed}) if still or pushed else op.tape.exact():
            ends.append(recorded(op, {**arrays, **moved}))
    up, down = (dict(aligned(base.creations, end.creations)) for end in ends)
    made: dict[int, Array] = {}
    for k, key in enumerate(base.keys):
        if k in up and k in down:
            one, other = ends[0].values[up[k]], ends[1].values[down[k]]
            if one is not None and other is not None and one.shape == other.shape and one.dtype.kind in "fc":
                made[key] = (one - other) / (2 * step)
    return Motion(base, step, {id(base.tensor(name)): d for name, d in along.items()}, made, still)
