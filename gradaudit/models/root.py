"""All gradients of a model in a few runs: along random directions, the loss must change as they say.

Every parameter is moved at once, each element by a random part of its own parameter's magnitude, so that one wrong
element is missed by no direction, and any set of them by hardly one. What differences of the loss can tell depends on
how much of its change a parameter makes: those that are below the noise of the others are moved by themselves, and
farther, since a gradient that has all but vanished on its way asks for longer steps. So a model of any depth takes as
many runs as there are such steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.subject import FlowSubject
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

STEPS = (2.0**-15, 2.0**-12, 2.0**-9, 2.0**-7)
"""Displacements in units of a parameter's magnitude, one after the other."""

FARTHEST = 2.0**7
"""How many times as far elements with small gradients are moved along a second direction, so as to resolve these."""

ROUNDINGS = 32.0
"""Roundings of the loss that it may be off by, and of a gradient in its own dtype that it may be."""

CLEAR = 1e-3
"""Relative error at one index below which a longer step is not asked for."""

ENOUGH = 0.05
"""Relative error at one index that must have been seen for a gradient to be right."""

SAME = 1e-3
"""Relative difference of the loss in double precision up to which it is the loss of the same model."""


@dataclass(frozen=True)
class RootTested:
    """What root tests say of gradients.

    Attributes:
        right: by name, the smallest relative error at one index that would have been seen, where it is small enough.
        unresolved: the same where it is not, though nothing contradicts the gradient.
        runs: how often the model was run.

    """

    right: Mapping[str, float]
    unresolved: Mapping[str, float]
    runs: int


def missed(error: float) -> float:
    """Return a bound on the chance that all directions missed errors of which one alone would have been seen.

    Args:
        error: the smallest relative error at an index that would have been seen.

    """
    return float(min(1.0, error / ENOUGH) ** 2)


def root_test(subject: FlowSubject, names: Sequence[str]) -> RootTested:
    """Return of which gradients differences of the loss say that they are right.

    Args:
        subject: the model.
        names: of those in question. Those that are returned as neither right nor unresolved are contradicted, or cannot
            be told of here: the model cannot be run in double precision, or draws anew at each run.

    """
    before = subject.op.calls.forwards
    root = _Root(subject, names)
    right: dict[str, float] = {}
    unresolved: dict[str, float] = {}
    left = [name for name in names if name in root.claims]
    try:
        if not root.is_same():
            return RootTested({}, {}, subject.op.calls.forwards - before)
        for step in STEPS:
            seen = root.resolutions(left, step)
            if seen is None:
                return RootTested(right, {}, subject.op.calls.forwards - before)
            unresolved |= {name: min(error, unresolved.get(name, error)) for name, error in seen.items()}
            right |= {name: error for name, error in seen.items() if error <= CLEAR}
            left = [name for name in left if name not in right]
            if not left:
                break
    except OpError:
        return RootTested({}, {}, subject.op.calls.forwards - before)
    right |= {name: unresolved[name] for name in left if unresolved[name] <= ENOUGH}
    open_ones = {name: unresolved[name] for name in left if name not in right}
    return RootTested(right, open_ones, subject.op.calls.forwards - before)


class _Root:
    """The loss of a model in double precision, and the gradients that are claimed of it."""

    def __init__(self, subject: FlowSubject, names: Sequence[str]) -> None:
        self.subject = subject
        self.arrays = subject.wide
        found = {name: made for name in names if (made := subject.gradients[name]) is not None and made.size}
        self.claims = {
            name: np.asarray(made, np.float64)
            for name, made in found.items()
            if made.dtype.kind in "fV" and made.shape == self.arrays[name].shape and np.isfinite(made).all()
        }
        self.scales = {name: rms(self.arrays[name]) or 1.0 for name in self.claims}
        self.roundoff = {name: ROUNDINGS * spacing(subject.gradients[name].dtype.name) for name in self.claims}  # type: ignore[union-attr]
        self.drawn = 0
        self.loss = float("nan")

    def is_same(self) -> bool:
        """Whether the loss is the same at every run, and the same function as in the model's own precision."""
        native = float(self.subject.op.tape.array(self.subject.base.loss).reshape(()))
        self.loss = self._loss({})
        wide = all(each.dtype == self.subject.arrays[name].dtype for name, each in self.arrays.items())
        return self.loss == (native if wide else self._loss({})) and abs(self.loss - native) <= SAME * abs(native)

    def resolutions(self, names: Sequence[str], step: float) -> dict[str, float] | None:
        """Return the smallest error at an index of each that would have been seen; None where claims are not borne out.

        Args:
            names: of the parameters that are moved together.
            step: how far.

        """
        if not names:
            return {}
        allowed = [0.0, 0.0]
        for k, (farthest, size) in enumerate(((1.0, step), (FARTHEST, step / 8))):
            along = {name: self._direction(name, farthest) for name in names}
            near, far = self._slope(along, size / 2), self._slope(along, size)
            rounding = ROUNDINGS * spacing("float64") * abs(self.loss) / size
            own = sum(self._own_rounding(name, d) for name, d in along.items()) ** 0.5
            claim = sum(float((self.claims[name] * d).sum()) for name, d in along.items())
            allowed[k] = 2 * abs(far - near) + rounding + own
            if not abs(near - claim) <= allowed[k]:
                return None
        return {name: allowed[0] / (0.25 * self.scales[name] * (rms(self.claims[name]) or 1e-300)) for name in names}

    def _own_rounding(self, name: str, d: Array) -> float:
        """Return the square of what roundings of a gradient may make of a claim."""
        claim = self.claims[name]
        return float((((np.abs(claim) + rms(claim)) * d * self.roundoff[name]) ** 2).sum())

    def _direction(self, name: str, farthest: float) -> Array:
        """Return a random displacement: farther, up to so many times, where the gradient is smaller than its rms."""
        self.drawn += 1
        rng = generator(self.subject.case, f"root {name} {self.drawn}")
        claim = np.abs(self.claims[name])
        signs = rng.choice([-1.0, 1.0], claim.shape) * rng.uniform(0.5, 1.5, claim.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            farther = np.nan_to_num(np.clip(rms(claim) / claim, 1.0, farthest), nan=1.0)
        return np.asarray(self.scales[name] * signs * farther)

    def _slope(self, along: Mapping[str, Array], step: float) -> float:
        up, down = (self._loss({name: sign * step * d for name, d in along.items()}) for sign in (1.0, -1.0))
        return (up - down) / (2 * step)

    def _loss(self, moved: Mapping[str, Array]) -> float:
        arrays = {**self.arrays, **{name: self.arrays[name] + d for name, d in moved.items()}}
        return float(self.subject.op.forward(arrays)[0])
