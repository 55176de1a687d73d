"""What a model returned, and what reverse mode says the loss makes of it: verified by the loss alone.

Where the loss is a function of the outputs and of nothing else of the model, it changes with a parameter as the outputs
do, each weighted by its upstream gradient. Outputs are rounded by far less than their sum over a batch is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.displaced import Ran
from gradaudit.models.op import ModelOp
from gradaudit.numerics.magnitude import norm, rms
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

STEPS = (2.0**-15, 2.0**-19, 2.0**-23)
"""Displacements of outputs, in units of their rms, at one of which the loss must change as upstreams say."""

DIRECTIONS = 2
"""Directions that it must do so along."""

ROUNDINGS = 32.0
"""Roundings of the loss that it may be off by."""

SAME = 4.0
"""Roundings of the loss by which it may differ where it is computed again from the same outputs."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of a run with their upstream gradients.

    Attributes:
        values: of the tensors that the model returned.
        upstreams: their gradients, in float64.

    """

    values: Sequence[Array]
    upstreams: Sequence[Array]

    def slope(self, up: Ran, down: Ran, step: float, rounding: float) -> tuple[float, float, float]:
        """Return the derivative of the loss from two runs, what rounding may change it by, and by how much it is bent.

        Args:
            up: the run with parameters displaced one way.
            down: the other way.
            step: by what step each.
            rounding: what outputs are rounded by, relative to each and to their rms.

        """
        made = list(zip(self.upstreams, self.values, up.outputs, down.outputs, strict=True))
        slope = sum(float((w * (above - below)).sum()) for w, _, above, below in made)
        bent = sum(float((w * ((above - y) - (y - below))).sum()) for w, y, above, below in made)
        return slope / (2 * step), self.noise(rounding) / step, abs(bent) / (2 * step)

    def noise(self, rounding: float) -> float:
        """Return what rounding makes of their weighted sum, where each is rounded relative to itself and the rms."""
        pairs = zip(self.upstreams, self.values, strict=True)
        return rounding * math.hypot(*(norm(w * (np.abs(y) + rms(y))) for w, y in pairs))


def verified(
    op: ModelOp, arrays: Mapping[str, Array], base: Ran, structure: Any, upstreams: Sequence[Array | None]
) -> Outputs | None:
    """Return the outputs of a run where the loss alone bears their upstreams out, and depends on nothing else.

    The model must have other parameters now than in that run.

    Args:
        op: the model.
        arrays: the batch, with the targets of the loss.
        base: a run.
        structure: what the model returned then.
        upstreams: of its tensors.

    """
    known = [w for w in upstreams if w is not None]
    pairs = list(zip(known, base.outputs, strict=False))
    if not known or len(known) != len(base.outputs) or not all(w.shape == y.shape and _real(y) for w, y in pairs):
        return None
    found = Outputs(base.outputs, [np.array(w, np.float64) for w in known])
    try:
        again = _loss(op, arrays, structure, found.values)
        if not abs(again - base.loss) <= SAME * spacing("float64") * abs(base.loss):
            return None
        rng = np.random.default_rng(sum(y.size for y in found.values))
        right = (_bears_out(op, arrays, structure, found, rng, base.loss) for _ in range(DIRECTIONS))
        return found if all(right) else None
    except (OpError, _OtherStructureError):
        return None


def _bears_out(
    op: ModelOp, arrays: Mapping[str, Array], structure: Any, found: Outputs, rng: np.random.Generator, loss: float
) -> bool:
    along = [(rms(y) or 1.0) * rng.choice([-1.0, 1.0], y.shape) * rng.uniform(0.5, 1.0, y.shape) for y in found.values]
    terms = [w * d for w, d in zip(found.upstreams, along, strict=True)]
    claim, own = sum(float(each.sum()) for each in terms), sum(norm(each) ** 2 for each in terms) ** 0.5
    rounding = ROUNDINGS * spacing("float64")
    for step in STEPS:
        far, near = (_slope(op, arrays, structure, found.values, along, size) for size in (step, step / 2))
        if abs(near - claim) <= 2 * abs(far - near) + rounding * (2 * abs(loss) / step + own):
            return True
    return False


def _slope(
    op: ModelOp, arrays: Mapping[str, Array], structure: Any, at: Sequence[Array], along: Sequence[Array], step: float
) -> float:
    up, down = (
        _loss(op, arrays, structure, [y + sign * step * d for y, d in zip(at, along, strict=True)])
        for sign in (1.0, -1.0)
    )
    return (up - down) / (2 * step)


def _loss(op: ModelOp, arrays: Mapping[str, Array], structure: Any, values: Sequence[Array]) -> float:
    waiting = list(values)
    return op.loss_of(_rebuilt(op, structure, waiting), arrays)


class _OtherStructureError(Exception):
    """A model returned what cannot be built of other tensors."""


def _rebuilt(op: ModelOp, structure: Any, waiting: list[Array]) -> Any:
    """Return what a model returned with other values in its tensors."""
    if op.tape.is_tensor(structure):
        return op.tape.tensor(waiting.pop(0), tracked=False)
    if type(structure) in (tuple, list):
        return type(structure)(_rebuilt(op, each, waiting) for each in structure)
    if type(structure) is dict:
        return {name: _rebuilt(op, each, waiting) for name, each in structure.items()}
    if structure is None:
        return None
    raise _OtherStructureError


def _real(array: Array) -> bool:
    return array.dtype == np.float64
