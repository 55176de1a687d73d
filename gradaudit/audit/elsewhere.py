"""Other points of an op whose gradient is wrong: what is said of the mismatch has to hold there as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.beside import inside
from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.checks.subject import Subject
from gradaudit.diagnosis.cause import NothingToldError, SpentError
from gradaudit.diagnosis.evidence import Claim
from gradaudit.numerics.arrays import dtype_name, on_host
from gradaudit.numerics.margins import MAX_ROUNDINGS, STEP, WIDE_STEP
from gradaudit.spec.case import Case, Input
from gradaudit.spec.double_precision import in_double_precision
from gradaudit.spec.draw import UndrawableError, draw_inputs, draw_upstream
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, spacing
from gradaudit.spec.other_shapes import distinct_shapes, other_shapes, shapes_of
from gradaudit.targets.op import LostOpError, OpError

Array = NDArray[Any]
Mask = NDArray[np.bool_]
Upstream = tuple[Array, ...]

MOST_FORWARDS = 36
"""Forwards that all causes of a case may cost together."""

MOST_PLACES = 256
"""Elements that are displaced, at most: of more, some would cross a kink."""

DRAWS = 4
"""Draws of the same shapes that are asked: where few elements have a gradient, one says little."""

SHAPES = 2
"""Other shapes that are asked: one in which sizes differ that coincide, and one in which all are others."""

TRIED = 3
"""Shapes of each kind that forward may refuse."""

CLOSER = 2.0**-5
"""How much smaller a step is that has to show the same error."""

SAME = 0.05
"""Relative difference of what the two steps show up to which it is an error, and no kink and no noise."""

CLOSE = 1e-5
"""Difference up to which a gradient is that of forward along a displacement, relative to the sizes of its parts."""

ERRORS = (OpError, LostOpError, UndrawableError, MemoryError)


@dataclass(frozen=True)
class From:
    """The points of an op as seen from one gradient: made when they are asked for, and kept."""

    points: Points
    name: str

    def __iter__(self) -> Iterator[There]:
        """Yield the points."""
        return self.points.of(self.name)


class Points:
    """Points of the op of a subject other than its own, made when they are first asked for.

    Attributes:
        forwards: calls of forward that are left.
        kept: how many of them are for others than the one who asks.

    """

    def __init__(self, subject: Subject, *, double: bool, here_only: bool = False) -> None:
        """Note where points are to be looked for.

        Args:
            subject: the op, fed and called once.
            double: whether forward is the same function in double precision.
            here_only: whether forward is the function of backward at the subject's own point alone.

        """
        self._subject = subject
        self._double = double
        self._made: list[Point] = []
        self._more = iter(()) if here_only else self._points()
        self.forwards = MOST_FORWARDS
        self.kept = 0

    def of(self, name: str) -> Iterator[There]:
        """Yield the points, as seen from the gradient with respect to one input."""
        for k in range(DRAWS + SHAPES):
            while len(self._made) <= k:
                made = next(self._more, None)
                if made is None:
                    return
                self._made.append(made)
            if name in self._made[k].gradients:
                yield self._made[k].seen_from(name)

    def _points(self) -> Iterator[Point]:
        case = in_double_precision(self._subject.case) if self._double else self._subject.case
        given = replace(case, inputs=tuple(map(_moved, case.inputs)))
        draws = (replace(given, seed=case.seed + 1 + k) for k in range(DRAWS))
        yield from self._called(next(draws), same_shape=True)
        for seed, shapes in enumerate((distinct_shapes(given), other_shapes(given)), start=case.seed + 1 + DRAWS):
            others = (replace(shaped, seed=seed) for shaped in shapes if shapes_of(shaped) != shapes_of(given))
            taken = (made for shaped in islice(others, TRIED) for made in self._called(shaped, same_shape=False))
            yield from islice(taken, 1)
        for drawn in draws:
            yield from self._called(drawn, same_shape=True)

    def _called(self, case: Case, *, same_shape: bool) -> Iterator[Point]:
        """Yield the point of a case, nothing where forward or backward cannot be called there."""
        op = self._subject.op
        with suppress(*ERRORS):
            inputs = draw_inputs(case)
            outputs = self.forward(inputs)
            counted = [on_host(outputs[k]) for k in self._subject.counted]
            upstream = tuple(
                draw_upstream(case, k, out.shape, out.dtype)
                for k, out in zip(self._subject.counted, counted, strict=True)
            )
            if not all(np.isfinite(out).all() for out in counted):
                return
            asked = {made.name for made in case.inputs if made.differentiable}
            answer = op.backward(upstream, _copies(inputs), outputs)
            gradients = {name: np.array(on_host(made)) for name, made in answer.items() if made is not None}
            usable = {
                name: widened(made)
                for name, made in gradients.items()
                if name in asked and made.shape == inputs[name].shape
            }
            conjugated = {}
            if any(np.iscomplexobj(each) for each in upstream):
                again = op.backward(tuple(map(np.conj, upstream)), _copies(inputs), outputs)
                conjugated = {name: np.conj(on_host(again[name])) for name in usable if again.get(name) is not None}
            yield Point(self, case, inputs, counted, upstream, usable, conjugated, same_shape)

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Any, ...]:
        """Call forward.

        Raises:
            SpentError: where that was done often enough.

        """
        self.spend()
        outputs = self._subject.op.forward(_copies(inputs))
        return tuple(None if out is None else np.array(out) if isinstance(out, np.ndarray) else out for out in outputs)

    def answer(self, inputs: Mapping[str, Array], upstream: Sequence[Array]) -> Mapping[str, Array]:
        """Call forward, and return what backward answers after it, in double precision; nothing where that fails."""
        try:
            outputs = self.forward(inputs)
            answer = self._subject.op.backward(tuple(upstream), _copies(inputs), outputs)
            return {name: widened(np.array(on_host(made))) for name, made in answer.items() if made is not None}
        except ERRORS:
            return {}

    def spend(self) -> None:
        """Note a call of forward.

        Raises:
            SpentError: where there were enough.

        """
        if self.forwards <= self.kept:
            raise SpentError
        self.forwards -= 1

    def counted(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Return the outputs that count, in double precision."""
        outputs = self.forward(inputs)
        return [widened(on_host(outputs[k])) for k in self._subject.counted]


def _copies(inputs: Mapping[str, Array]) -> dict[str, Array]:
    return {name: array.copy("K") for name, array in inputs.items()}


SHRUNK = 2.0**-4
"""By how much numbers that were given are drawn nearer to zero, at most: what forward takes should be left so."""


def _moved(made: Input) -> Input:
    """Return an input whose given numbers are somewhat smaller ones, but for those that would be the smallest."""
    if made.values is None or not made.differentiable or not made.shape:
        return made
    values = np.asarray(made.values)
    if values.dtype.kind not in "fc":
        values = values.astype(np.float64)
    smaller = 1.0 - SHRUNK * np.random.default_rng(values.size).random(values.shape)
    return replace(made, values=inside(values * smaller.astype(values.real.dtype), values, made.range))


@dataclass(frozen=True)
class Point:
    """One point, and what backward answers there."""

    points: Points
    case: Case
    inputs: Mapping[str, Array]
    outputs: Sequence[Array]
    upstream: Upstream
    gradients: Mapping[str, Array]
    conjugated: Mapping[str, Array]
    same_shape: bool
    _seen: dict[str, There] = field(default_factory=dict)
    _answers: dict[int, Mapping[str, Array]] = field(default_factory=dict)

    def seen_from(self, name: str) -> There:
        """Return the point as seen from the gradient with respect to one input."""
        return self._seen.setdefault(name, There(self, name))

    def answers(self, times: int) -> Mapping[str, Array]:
        """Return what backward answers for a multiple of the upstream, forward just called; each multiple once.

        Raises:
            SpentError: where forward was called often enough.

        """
        if times not in self._answers:
            self._answers[times] = self.points.answer(
                self.inputs, [np.asarray(times * part, part.dtype) for part in self.upstream]
            )
        return self._answers[times]


class There:
    """A point as seen from one gradient; what forward said is remembered."""

    def __init__(self, point: Point, name: str) -> None:
        self.point = point
        self.name = name
        self.same_shape = point.same_shape
        self._slopes: dict[bytes, Measured] = {}

    @cached_property
    def claim(self) -> Claim:
        """What backward claims there."""
        point, gradient = self.point, self.point.gradients[self.name]
        size = gradient.size
        rng = np.random.default_rng(size)
        flat = np.arange(size) if size <= MOST_PLACES else np.sort(rng.choice(size, MOST_PLACES, replace=False))
        places = np.stack(np.unravel_index(flat, gradient.shape), axis=1) if gradient.ndim else np.zeros((1, 0), int)
        return Claim(
            name=self.name,
            analytical=gradient,
            places=np.asarray(places, np.intp),
            inputs={name: widened(array) for name, array in point.inputs.items()},
            upstream=tuple(map(widened, point.upstream)),
            outputs=tuple(map(widened, point.outputs)),
            params=point.case.params,
            conjugated=point.conjugated.get(self.name),
            answers=lambda times: point.answers(times).get(self.name),
        )

    def slope(self, mask: Mask) -> Measured:
        """Return how the outputs change along a displacement of the places in a mask."""
        key = mask.tobytes()
        if key not in self._slopes:
            self._slopes[key] = Measured(self, mask, self._along(mask))
        return self._slopes[key]

    def _along(self, mask: Mask) -> Array:
        """Return a displacement of each place, nothing outside of the mask."""
        own = self.claim.at_places(self.claim.inputs[self.name])
        known = np.abs(own[np.isfinite(own)])
        typical = float(np.sqrt(np.mean(np.square(known)))) if known.size else 0.0
        rng = np.random.default_rng([len(mask), int(mask.sum())])

        def drawn() -> Array:
            return np.asarray(rng.uniform(0.5, 1.5, len(mask)) * rng.choice((-1.0, 1.0), len(mask)))

        unit = drawn() + 1j * drawn() if own.dtype.kind == "c" else drawn()
        return np.asarray(np.where(mask, unit * np.maximum(np.abs(own), typical or 1.0), 0.0))

    @property
    def rounding(self) -> float:
        """The coarsest rounding of what forward is given and gives."""
        arrays = (*self.point.inputs.values(), *self.point.outputs)
        return max(spacing(dtype_name(array.dtype)) for array in arrays if array.dtype.kind in "fcV")

    @property
    def tolerance(self) -> float:
        """Relative error that backward may have."""
        return max(CLOSE, (self.point.case.tolerance or DEFAULT_TOLERANCES[self.point.case.dtype]).rtol)

    def change(self, along: Array, step: float) -> Change:
        """Difference forward over a displacement and its opposite."""
        ends, went = [], []
        for sign in (1.0, -1.0):
            moved = dict(self.point.inputs)
            given = moved[self.name] = moved[self.name].copy("K")
            index = tuple(self.claim.places.T)
            there = self.claim.at_places(self.claim.inputs[self.name]) + sign * step * along
            given[index] = there.reshape(given[index].shape).astype(given.dtype)
            went.append(self.claim.at_places(widened(given)))
            try:
                ends.append(self.point.points.counted(moved))
            except ERRORS as error:
                raise NothingToldError from error
        if any(a.shape != u.shape for a, u in zip(ends[0], self.point.upstream, strict=True)):
            raise NothingToldError
        outputs = [(a - b) / (2 * step) for a, b in zip(*ends, strict=True)]
        return Change((went[0] - went[1]) / (2 * step), outputs, step)


@dataclass(frozen=True)
class Change:
    """A central difference of forward.

    Attributes:
        along: where the places really went, per step.
        outputs: how the outputs changed, per step.
        step: the step.

    """

    along: Array
    outputs: list[Array]
    step: float

    def loss(self, upstream: Upstream) -> float:
        """Return how the loss changed."""
        return float(sum(np.vdot(u, part).real for u, part in zip(upstream, self.outputs, strict=True)))


class Measured:
    """The change of the outputs along one displacement."""

    def __init__(self, there: There, mask: Mask, along: Array) -> None:
        self._there = there
        self._mask = mask
        self._along = along
        self._step = STEP if there.rounding <= spacing("float64") else WIDE_STEP

    @cached_property
    def _change(self) -> Change:
        return self._there.change(self._along, self._step)

    @cached_property
    def _closer(self) -> Change:
        return self._there.change(self._along, self._step * CLOSER)

    def near(self, gradient: Array, upstream: Upstream | None = None) -> bool:
        """Return whether a gradient is that of the outputs along the displacement."""
        given = self._there.claim.upstream if upstream is None else upstream
        claimed, inexact = self._claimed(gradient, self._change)
        measured, noise = self._change.loss(given), self._noise(given)
        own = self._claimed(self._there.claim.claimed, self._change)[1] / self._there.tolerance
        if not np.isfinite(claimed - measured) or noise > max(abs(claimed), abs(measured), own):
            raise NothingToldError
        return abs(claimed - measured) <= inexact + self._there.tolerance * abs(measured) + noise

    def off(self, gradient: Array, upstream: Upstream | None = None) -> bool:
        """Return whether a gradient is surely not that of the outputs along the displacement."""
        if self.near(gradient, upstream):
            return False
        given = self._there.claim.upstream if upstream is None else upstream
        excess = self._claimed(gradient, self._change)[0] - self._change.loss(given)
        noise = self._noise(given)
        closer = self._claimed(gradient, self._closer)[0] - self._closer.loss(given)
        if not abs(closer - excess) <= SAME * abs(excess) + noise / CLOSER:
            raise NothingToldError
        return True

    def factor(self, gradient: Array) -> tuple[complex, float]:
        """Return the number that a gradient must be multiplied with, and what it may be off by."""
        given = self._there.claim.upstream
        claimed, inexact = self._claimed(gradient, self._change)
        measured = self._change.loss(given)
        off = inexact + self._there.tolerance * abs(measured) + self._noise(given)
        if not abs(claimed) > 4 * off or np.iscomplexobj(gradient):
            raise NothingToldError
        return measured / claimed, off / abs(claimed)

    def _claimed(self, gradient: Array, change: Change) -> tuple[float, float]:
        """Return what a gradient claims of the displacement, and what that may be off by."""
        parts = np.where(self._mask, gradient, 0.0) * np.conj(change.along)
        return float(parts.real.sum()), self._there.tolerance * float(np.sqrt(np.square(np.abs(parts)).sum()))

    def _noise(self, upstream: Upstream) -> float:
        """Return what rounding of the outputs may make of the change of the loss."""
        pairs = zip(upstream, self._there.claim.outputs, strict=True)
        signal = np.sqrt(sum(float(np.square(np.abs(u * out)).sum()) for u, out in pairs))
        return float(MAX_ROUNDINGS * self._there.rounding * signal / self._step)
