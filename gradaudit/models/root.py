"""All gradients of a model in a few runs: along random directions, the loss must change as they say.

Every parameter is moved at once, each element by a random part of its own parameter's magnitude, so that one wrong
element is missed by no direction, and any set of them by hardly one. Two directions of two runs each are all that a
right model takes where its tape keeps the gradients of the model's outputs: their differences, weighted by these, have
none of the rounding of the loss, so that steps are so small that hardly a unit crosses a kink. That the loss is a
function of the outputs alone, and what its gradient is, are verified without the model. Elsewhere the loss itself is
differenced, at longer steps.

What is contradicted at several steps is halved, parameter by parameter, as long as runs last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.agreement import agreement
from gradaudit.models.displaced import Direction, Displaced, Ran, loss_in, outputs_of
from gradaudit.models.subject import FlowSubject, differentiated
from gradaudit.models.upstreams import Outputs, verified
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

STEPS_OF_OUTPUTS = (2.0**-26, 2.0**-21, 2.0**-16, 2.0**-11)
"""Displacements in units of a parameter's magnitude where outputs are differenced, one after the other."""

STEPS_OF_LOSS = (2.0**-15, 2.0**-12, 2.0**-9, 2.0**-7)
"""The same where the loss is."""

SHORTER = (2.0**-3, 2.0**-6)
"""Parts of a step at which what contradicts is looked at again: fewer units cross a kink, down to none."""

FARTHEST = 2.0**7
"""How many times as far elements with small gradients are moved along a second direction, so as to resolve these."""

ROUNDINGS = 32.0
"""Roundings of the loss that it may be off by, and of a gradient in its own dtype that it may be."""

CLEAR = 1e-3
"""Relative error at one index below which a longer step is not asked for."""

ENOUGH = 0.05
"""Relative error at one index that must have been seen for a gradient to be right."""

ELSEWHERE = 2.0**-10
"""How far parameters are displaced while the loss is asked whether it depends on them but by the outputs."""

SAME = 1e-3
"""Relative difference of the loss in double precision up to which it is the loss of the same model."""

HALVINGS = 256
"""Runs after which contradicted gradients are not halved any more: so many find sixteen wrong ones of a hundred."""


@dataclass(frozen=True)
class RootTested:
    """What root tests say of gradients.

    Attributes:
        right: by name, the smallest relative error at one index that would have been seen, where it is small enough.
        unresolved: the same where it is not, though nothing contradicts the gradient.
        contradicted: groups of names one of which at least is wrong, each as small as runs allowed.
        runs: how often the model was run.

    """

    right: Mapping[str, float]
    unresolved: Mapping[str, float]
    runs: int
    contradicted: Sequence[tuple[str, ...]] = ()


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
        names: of those in question. Those that are returned in no way cannot be told of here: the model cannot be run
            in double precision, or draws anew at each run.

    """
    before = subject.op.calls.forwards
    told = _Told()
    try:
        root = _root(subject, names)
        if root is not None:
            same = agreement(subject, root.claims) if root.narrow else dict.fromkeys(root.claims, 0.0)
            told = _resolved(root, [*same])
            told = replace(told, seen={name: max(error, same[name]) for name, error in told.seen.items()})
    except OpError:
        told = _Told()
    right = {name: error for name, error in told.seen.items() if error <= ENOUGH}
    unresolved = {name: error for name, error in told.seen.items() if error > ENOUGH}
    return RootTested(right, unresolved, subject.op.calls.forwards - before, told.wrong)


@dataclass(frozen=True)
class _Told:
    """What is known: by name the smallest error that would have been seen, and groups of which one is wrong."""

    seen: Mapping[str, float] = field(default_factory=dict)
    wrong: tuple[tuple[str, ...], ...] = ()


def _resolved(root: _Root, names: Sequence[str]) -> _Told:
    """Return what directions say of some gradients, those that they contradict halved, until each is by itself."""
    seen: dict[str, float] = {}
    wrong: list[tuple[str, ...]] = []
    first, waiting = root.runs, [tuple(names)] if names else []
    while waiting:
        group = waiting.pop()
        if root.runs - first > HALVINGS:
            wrong.append(group)
            continue
        found = root.look(group)
        if found is None and not root.repeats():
            return _Told()
        if found is not None:
            seen |= found
        elif len(group) == 1:
            wrong.append(group)
        else:
            half = len(group) // 2
            waiting += [group[half:], group[:half]]
    return _Told(_at_longer_steps(root, seen), tuple(wrong))


def _at_longer_steps(root: _Root, seen: Mapping[str, float]) -> Mapping[str, float]:
    """Return errors that would have been seen, those that are not small enough looked for at longer steps."""
    told = dict(seen)
    for step in root.steps[1:]:
        left = [name for name, error in told.items() if error > CLEAR and root.typical[name] > 0.0]
        found = root.resolutions(left, step) if left else None
        if found is None:  # beyond a kink, nothing can be told
            break
        told |= {name: min(error, told[name]) for name, error in found.items()}
    return told


def _root(subject: FlowSubject, names: Sequence[str]) -> _Root | None:
    """Return a model in double precision; None where it is another function there.

    It takes a run, and another one and reverse mode where the model is in a narrower dtype.

    Raises:
        OpError: where it cannot be run so.

    """
    op, wide = subject.op, subject.wide
    narrow = any(each.dtype != subject.arrays[name].dtype for name, each in wide.items())
    twin = differentiated(op, wide, subject.names) if narrow else subject
    base = Ran(loss_in(op, twin.base), outputs_of(op, twin.base))
    if not abs(base.loss - (native := loss_in(op, subject.base))) <= SAME * abs(native):
        return None
    found = {name: made for name in names if (made := twin.gradients[name]) is not None and made.size}
    claims = {
        name: np.array(made, np.float64)
        for name, made in found.items()
        if made.dtype.kind in "fV" and made.shape == wide[name].shape and np.isfinite(made).all()
    }
    model = Displaced(op, subject.arrays, wide, claims)
    root = _Root(subject, model, claims, base.loss, None, narrow)
    model.run({name: root.direction(name, 1.0) for name in claims}, ELSEWHERE)
    root.outputs = verified(op, wide, base, twin.base.output, twin.upstreams)
    return root


@dataclass
class _Root:
    """A model in double precision, and the gradients that are claimed of it."""

    subject: FlowSubject
    model: Displaced
    claims: Mapping[str, Array]
    loss: float
    outputs: Outputs | None
    narrow: bool
    drawn: int = 0

    def __post_init__(self) -> None:
        self.typical = {name: rms(claim) for name, claim in self.claims.items()}
        self.scales = {name: rms(self.subject.arrays[name]) or 1.0 for name in self.claims}
        self.spacing = spacing("float64")

    @property
    def runs(self) -> int:
        return self.subject.op.calls.forwards

    @property
    def steps(self) -> Sequence[float]:
        return STEPS_OF_LOSS if self.outputs is None else STEPS_OF_OUTPUTS

    def repeats(self) -> bool:
        """Whether the loss is the same at every run, up to the order of its sums."""
        return abs(self.model.run({}, 0.0).loss - self.loss) <= ROUNDINGS * self.spacing * abs(self.loss)

    def look(self, names: Sequence[str]) -> dict[str, float] | None:
        """Return the smallest errors that the first step shows, or a shorter one; None where all contradict."""
        for part in (1.0, *SHORTER):
            if (found := self.resolutions(names, part * self.steps[0])) is not None:
                return found
        return None

    def resolutions(self, names: Sequence[str], step: float) -> dict[str, float] | None:
        """Return the smallest error at an index of each that would have been seen; None where claims are not borne out.

        Args:
            names: of the parameters that are moved together.
            step: how far.

        """
        allowed = [0.0, 0.0]
        for k, (farthest, size) in enumerate(((1.0, step), (FARTHEST, step / 8))):
            along = {name: self.direction(name, farthest) for name in names}
            slope, noise = self._slope(along, size)
            own = sum(d.rounding(ROUNDINGS * self.spacing) ** 2 for d in along.values()) ** 0.5
            claim = sum(d.slope() for d in along.values())
            allowed[k] = noise + own
            if not abs(slope - claim) <= allowed[k]:
                return None
        return {name: allowed[0] / (0.25 * self.scales[name] * (self.typical[name] or 1e-300)) for name in names}

    def direction(self, name: str, farthest: float) -> Direction:
        """Return a random displacement: farther, up to so many times, where the gradient is smaller than its rms."""
        self.drawn += 1
        rng = generator(self.subject.case, f"root {name} {self.drawn}")
        scale, typical = 1.5 * self.scales[name], self.typical[name]
        return Direction.drawn(rng, self.claims[name], scale=scale, typical=typical, farthest=farthest)

    def _slope(self, along: Mapping[str, Direction], step: float) -> tuple[float, float]:
        """Return the derivative of the loss along directions, and what it may be off by."""
        up, down = self.model.run(along, step), self.model.run(along, -step)
        if self.outputs is not None:
            return self.outputs.slope(up, down, step, ROUNDINGS * self.spacing)
        far = (up.loss - down.loss) / (2 * step)
        up, down = self.model.run(along, step / 2), self.model.run(along, -step / 2)
        near = (up.loss - down.loss) / step
        return near, 2 * abs(far - near) + ROUNDINGS * self.spacing * abs(self.loss) / step
