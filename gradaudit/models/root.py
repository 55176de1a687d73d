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
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.agreement import agreement
from gradaudit.models.displaced import Direction, Displaced, Ran, loss_in, outputs_of
from gradaudit.models.subject import FlowSubject, reversed_at
from gradaudit.models.upstreams import Outputs, verified
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

SHORTEST, SHORT = 2.0**-26, 2.0**-21
"""Displacements in units of a parameter's magnitude where outputs are differenced: the first that resolves all."""

LONGER = (2.0**3, 2.0**7, 2.0**11)
"""How many times as far those are moved that it does not resolve, one after the other."""

STEPS_OF_LOSS = (2.0**-15, 2.0**-12, 2.0**-9, 2.0**-7)
"""Displacements where the loss is differenced, likewise."""

SHORTENED = (2.0, 2.0**4)
"""How many times shorter a step is at least and at most when what contradicts is looked at again: if units that crossed
a kink made that, fewer of them do."""

SAME_ERROR = 0.1
"""Share of what a claim is off by up to which it is the same at two steps."""

ATTEMPTS = 4
"""Steps, one after the other, at each of which a contradiction must stand."""

FARTHEST = 2.0**7
"""How many times as far elements with small gradients are moved along a second direction, so as to resolve these."""

NEARER = 2.0**-4
"""How far all others are moved along that, in steps."""

ROUNDINGS = 32.0
"""Roundings of the loss that it may be off by, and of a gradient in its own dtype that it may be."""

CLEAR = 1e-3
"""Relative error at one index that the first step is to resolve."""

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
            told = _resolved(root, [*root.claims])
            seen = {name: max(error, same[name]) for name, error in told.seen.items() if name in same}
            other = [(name,) for name, error in told.seen.items() if name not in same and error <= ENOUGH]
            told = _Told(seen, (*told.wrong, *other))
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
    for step in root.longer_steps(root.first_step([*seen])):
        left = [name for name, error in told.items() if error > ENOUGH and root.typical[name] > 0.0]
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
    # What is wide already is the subject's own, which a model that writes to its parameters must not reach.
    apart = all(wide[name] is not subject.arrays[name] for name in op.trained.keys() & wide.keys())
    twin = reversed_at(op, wide, subject.names, lent=apart) if narrow else subject
    base = Ran(loss_in(op, twin.base), outputs_of(op, twin.base))
    if not abs(base.loss - (native := loss_in(op, subject.base))) <= SAME * abs(native):
        return None
    found = {name: made for name in names if (made := twin.gradients[name]) is not None and made.size}
    claims = {
        name: np.asarray(made, np.float64)
        for name, made in found.items()
        if made.dtype.kind in "fV" and made.shape == wide[name].shape and np.isfinite(made).all()
    }
    model = Displaced(op, subject.arrays, wide, claims)
    root = _Root(subject, model, claims, base.loss, None, narrow)
    model.run({name: root.direction(name, 1.0) for name in claims}, ELSEWHERE)
    root.outputs = verified(op, wide, base, twin.base.output, twin.upstreams)
    return root


@dataclass(frozen=True)
class _Compared:
    """How far claims are off along one direction after the other, and how far they may be.

    Attributes:
        off: the differences; the last is the first that is too large, if any is.
        allowed: what each may be.
        bent: by how much the slopes on both sides differ from their mean, along the last direction.

    """

    off: Sequence[float]
    allowed: Sequence[float]
    bent: float

    @property
    def agrees(self) -> bool:
        """Whether they are within what is allowed along all directions."""
        return abs(self.off[-1]) <= self.allowed[-1]

    def stands(self, before: _Compared) -> bool:
        """Whether this one contradicts by as much as another one does, along the same direction, and no kink does."""
        off, other = self.off[-1], before.off[-1]
        if len(before.off) != len(self.off) or not 2 * self.bent < abs(off):
            return False
        return abs(off - other) <= self.allowed[-1] + before.allowed[-1] + SAME_ERROR * abs(off)


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

    def repeats(self) -> bool:
        """Whether the loss is the same at every run, up to the order of its sums."""
        return abs(self.model.run({}, 0.0).loss - self.loss) <= ROUNDINGS * self.spacing * abs(self.loss)

    def first_step(self, names: Sequence[str]) -> float:
        """Return the displacement to begin with: where outputs are differenced, the shortest that resolves all."""
        if self.outputs is None:
            return STEPS_OF_LOSS[0]
        noise = self.outputs.noise(ROUNDINGS * self.spacing)
        needed = (noise / (CLEAR * size) for name in names if (size := self._of_one(name)) > 0.0)
        return min(max(SHORTEST, *needed, 0.0), SHORT)

    def longer_steps(self, first: float) -> Sequence[float]:
        """Return the displacements after a first one."""
        return STEPS_OF_LOSS[1:] if self.outputs is None else [factor * first for factor in LONGER]

    def look(self, names: Sequence[str]) -> dict[str, float] | None:
        """Return the smallest errors that the first step shows, or a shorter one; None where all contradict alike.

        A contradiction that is the same at two steps, without a kink in between, stands. One that is gone
        at a shorter step may be hidden there: no error below it is said to have been seen. One that is another at every
        step is noise, or kinks without end: then nothing is known of any, and nothing is returned.
        """
        size, along = self.first_step(names), self.directions(names)
        tried: list[_Compared] = []
        for _ in range(ATTEMPTS):
            found = self.compared(along, size)
            if found.agrees:
                hidden = (off for before in tried if (off := abs(before.off[-1])) <= 2 * found.allowed[-1])
                return self.errors(names, max(found.allowed[0], *hidden, 0.0))
            if tried and found.stands(tried[-1]):
                return None
            tried.append(found)
            size /= min(max(abs(found.off[-1]) / (4 * found.allowed[-1]), SHORTENED[0]), SHORTENED[1])
        return {}

    def resolutions(self, names: Sequence[str], step: float) -> dict[str, float] | None:
        """Return the smallest error at an index of each that would have been seen; None where claims are not borne out.

        Args:
            names: of the parameters that are moved together.
            step: how far.

        """
        found = self.compared(self.directions(names)[:1], step)
        return self.errors(names, found.allowed[0]) if found.agrees else None

    def errors(self, names: Sequence[str], allowed: float) -> dict[str, float]:
        """Return how large an error at an index of each would have been seen beside what was allowed."""
        return {name: allowed / (self._of_one(name) or 1e-300) for name in names}

    def _of_one(self, name: str) -> float:
        """Return what the loss changes by with one element of a parameter, with a typical gradient, moved by little."""
        return 0.25 * self.scales[name] * self.typical[name]

    def directions(self, names: Sequence[str]) -> list[dict[str, Direction]]:
        """Return two random directions, the second farther where gradients are small."""
        return [{name: self.direction(name, farthest) for name in names} for farthest in (1.0, FARTHEST)]

    def compared(self, directions: Sequence[Mapping[str, Direction]], step: float) -> _Compared:
        """Return how far claims are off along some directions, up to the first along which they are by too much."""
        off: list[float] = []
        allowed: list[float] = []
        bent = 0.0
        for along, size in zip(directions, (step, NEARER * step), strict=False):
            slope, noise, bent = self._slope(along, size)
            own = sum(d.rounding(ROUNDINGS * self.spacing) ** 2 for d in along.values()) ** 0.5
            allowed.append(noise + own)
            off.append(slope - sum(d.slope for d in along.values()))
            if not abs(off[-1]) <= allowed[-1]:
                break
        return _Compared(off, allowed, bent)

    def direction(self, name: str, farthest: float) -> Direction:
        """Return a random displacement: farther, up to so many times, where the gradient is smaller than its rms."""
        self.drawn += 1
        rng = generator(self.subject.case, f"root {name} {self.drawn}")
        scale, typical = 1.5 * self.scales[name], self.typical[name]
        return Direction.drawn(rng, self.claims[name], scale=scale, typical=typical, farthest=farthest)

    def _slope(self, along: Mapping[str, Direction], step: float) -> tuple[float, float, float]:
        """Return the derivative of the loss along directions, what it may be off by, and by how much it is bent."""
        up, down = self.model.run(along, step), self.model.run(along, -step)
        if self.outputs is not None:
            return self.outputs.slope(up, down, step, ROUNDINGS * self.spacing)
        far, bent = (up.loss - down.loss) / (2 * step), abs(up.loss + down.loss - 2 * self.loss) / (2 * step)
        up, down = self.model.run(along, step / 2), self.model.run(along, -step / 2)
        near = (up.loss - down.loss) / step
        return near, 2 * abs(far - near) + ROUNDINGS * self.spacing * abs(self.loss) / step, bent
