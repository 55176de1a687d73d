"""Points at which edits are judged: inputs and an upstream drawn, and what forward says of the gradient there.

Judging is quick and rough here, thousands of edits at a few points; what holds is audited in full afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import on_host
from gradaudit.repair.direct import Direct, direct_of
from gradaudit.spec.case import Case, Input
from gradaudit.spec.double_precision import in_double_precision
from gradaudit.spec.draw import UndrawableError, draw_inputs, draw_upstream
from gradaudit.targets.framework_op import FrameworkOp
from gradaudit.targets.op import LostOpError, Op, OpError
from gradaudit.targets.parameters import completed

Vector = NDArray[Any]

STEP = 2.0**-8
"""Step of differences, in units of an element or of the typical one: the truncation of a fourth-order rule is then
about as small as the rounding of float64."""

CLOSE = 1e-6
"""Relative difference up to which a gradient is right; a term that is missing or wrong is larger."""

UNSURE = 1e-3
"""Relative uncertainty of a difference above which it is no evidence: at a kink, at the end of a domain."""

MOST_PLACES = 160
"""Elements of an input that are looked at, at most: forward is called six times for each."""

ERRORS = (OpError, LostOpError, UndrawableError, MemoryError, ValueError, TypeError)


@dataclass(frozen=True)
class Draw:
    """One point, and the gradient that forward has there.

    Attributes:
        case: what was drawn.
        op: its op, opened; nothing of its backward is compiled.
        inputs, outputs, upstream: what backward is called with.
        places: the flat indices that are looked at, by input.
        numerical: the gradient at all of them, one input after the other; complex where any input is.
        slack: what an analytical gradient may be off by; infinite where nothing is known.
        direct: backward called without its framework; None where it takes none, or cannot be had.
        owners: which input each of these belongs to, by its position in ``names``.

    """

    case: Case
    op: Op
    inputs: Mapping[str, Any]
    outputs: tuple[Any, ...]
    upstream: tuple[Any, ...]
    places: Mapping[str, NDArray[np.intp]]
    numerical: Vector
    slack: NDArray[np.float64]
    owners: NDArray[np.intp]
    direct: Direct | None = None

    @property
    def names(self) -> list[str]:
        """The inputs whose gradients are looked at."""
        return list(self.places)

    def gradient(self) -> Vector:
        """Call backward as it is now; NaN for an input that gets no gradient, or none of its shape.

        What backward changes in its inputs it changes in copies.
        """
        if self.direct:
            with np.errstate(all="ignore"):
                return self.looked_at(self.direct.gradients())
        return self.looked_at(self._answer())

    def _answer(self) -> Mapping[str, Any]:
        inputs = {name: _copied(array) for name, array in self.inputs.items()}
        outputs = tuple(map(_copied, self.outputs))
        with np.errstate(all="ignore"):
            try:
                return self.op.backward(tuple(map(_copied, self.upstream)), inputs, outputs)
            except ERRORS:
                return {}

    def alone(self, backward: FunctionType) -> Draw:
        """Return the draw with backward called without its framework, where that gives the same."""

        def call() -> Mapping[str, Any]:
            answer = self._answer()
            return {name: on_host(answer[name]) for name in self.places if answer.get(name) is not None}

        if not isinstance(self.op, FrameworkOp):
            return self
        found = direct_of(backward, call)
        return replace(self, direct=found) if found and found.places.keys() == self.places.keys() else self

    def looked_at(self, answer: Mapping[str, Any]) -> Vector:
        """Return the elements of gradients that are looked at, in one vector; None is zero where nothing depends."""
        parts = []
        for k, (name, places) in enumerate(self.places.items()):
            made = answer.get(name)
            if made is None and not self.numerical[self.owners == k].any():
                parts.append(np.zeros(len(places)))
            elif made is None or tuple(made.shape) != tuple(self.inputs[name].shape):
                parts.append(np.full(len(places), np.nan))
            else:
                parts.append(np.asarray(on_host(made)).reshape(-1)[places])
        return np.concatenate(parts).astype(self.numerical.dtype, copy=False)

    def right(self, gradient: Vector) -> NDArray[np.bool_]:
        """Return at which places a gradient is right, as far as is known."""
        off = np.abs(gradient - self.numerical)
        return np.asarray(np.isinf(self.slack) | (off <= self.slack), bool)

    def right_inputs(self, gradient: Vector) -> dict[str, bool]:
        """Return which inputs have a gradient that is right everywhere."""
        right = self.right(gradient)
        return {name: bool(right[self.owners == k].all()) for k, name in enumerate(self.names)}


def _copied(array: Any) -> Any:
    return array.copy() if isinstance(array, np.ndarray) else array


def drawn(
    case: Case, op: Op, most: int = MOST_PLACES, wanted: Mapping[str, Sequence[tuple[int, ...]]] | None = None
) -> Draw | None:
    """Draw a case and difference its forward, in double precision; None where that cannot be done.

    Args:
        case: the case.
        op: its op, opened.
        most: elements of an input that are looked at.
        wanted: indices that must be among them, by input.

    """
    case = completed(in_double_precision(case), op)
    try:
        with np.errstate(all="ignore"):
            inputs = draw_inputs(case)
            outputs = tuple(np.array(on_host(out)) if hasattr(out, "dtype") else out for out in op.forward(inputs))
            counted = op.differentiable_outputs(outputs)
            upstream = tuple(draw_upstream(case, k, outputs[k].shape, outputs[k].dtype) for k in counted)
            wanted = wanted or {}
            asked = [made for made in case.inputs if made.differentiable]
            places = {made.name: _places(case, made, most, wanted.get(made.name, ())) for made in asked}
            if not places:
                return None
            base = _Base(op, inputs, counted, upstream, [outputs[k] for k in counted])
            measured = [_differences(base, name, chosen) for name, chosen in places.items()]
    except ERRORS:
        return None
    numerical = np.concatenate([values for values, _ in measured])
    slack = np.concatenate([_slack(*pair) for pair in measured])
    owners = np.repeat(np.arange(len(places)), [len(chosen) for chosen in places.values()])
    op = op.uncompiled() if isinstance(op, FrameworkOp) else op
    return Draw(case, op, inputs, outputs, upstream, places, numerical, slack, owners)


def refusal(case: Case, op: Op) -> str:
    """Return why forward cannot be called with what a case draws; nothing where it can."""
    case = completed(in_double_precision(case), op)
    try:
        op.forward(draw_inputs(case))
    except ERRORS as error:
        return str(error)
    return ""


def _places(case: Case, made: Input, most: int, wanted: Sequence[tuple[int, ...]]) -> NDArray[np.intp]:
    size = prod(made.shape)
    if size <= most:
        return np.arange(size)
    chosen = np.random.default_rng(case.seed).choice(size, most, replace=False)
    if wanted and made.shape:
        known = np.ravel_multi_index(np.array(wanted[: most // 2]).T, made.shape)
        chosen = np.concatenate([known, chosen[: most - len(known)]])
    return np.unique(chosen).astype(np.intp)


def _slack(values: Vector, errors: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values) & np.isfinite(errors)
    typical = float(np.sqrt(np.mean(np.square(np.abs(values[known]))))) if known.any() else 0.0
    size = np.abs(values) + typical
    with np.errstate(invalid="ignore"):
        return np.where(known & (errors <= UNSURE * size + 1e-9), CLOSE * size + 4 * errors + 1e-12, np.inf)


@dataclass(frozen=True)
class _Base:
    """What is differenced: an op at a point, with what it gives there for each output that counts."""

    op: Op
    inputs: Mapping[str, Any]
    counted: Sequence[int]
    upstream: Sequence[Any]
    outputs: Sequence[Any]


def _differences(base: _Base, name: str, places: NDArray[np.intp]) -> tuple[Vector, NDArray[np.float64]]:
    """Return the gradient at some places of an input, and how far two rules are apart there; infinite at a kink."""
    own = base.inputs[name]
    typical = float(np.sqrt(np.mean(np.square(np.abs(own))))) if own.size else 1.0
    parts: tuple[complex, ...] = (1.0, 1.0j) if own.dtype.kind == "c" else (1.0,)
    values, errors = [], []
    for place in places:
        step = STEP * (max(abs(own.reshape(-1)[place]), typical) or 1.0)
        value, error = 0.0 + 0.0j, 0.0
        for part in parts:
            rough, fine, bent = _two_rules(base, name, int(place), step * part)
            value += fine * part / step
            error += np.inf if bent else abs(fine - rough) / step
        values.append(value)
        errors.append(error)
    made = np.array(values)
    return (made if own.dtype.kind == "c" else made.real), np.array(errors, dtype=np.float64)


BENT = 0.75
"""Share of a second difference that is left at half the step where there is a kink: of a smooth one a quarter is."""


def _two_rules(base: _Base, name: str, place: int, step: complex) -> tuple[float, float, bool]:
    """Return the change by two fourth-order rules, with this step and with half of it, and whether there is a kink."""

    def change(factor: float) -> tuple[float, float]:
        up, down = (_outputs(base, name, place, sign * factor * step) for sign in (1.0, -1.0))
        odd = sum(np.vdot(u, a - b).real for u, a, b in zip(base.upstream, up, down, strict=True))
        triples = zip(base.upstream, up, down, base.outputs, strict=True)
        even = sum(np.vdot(u, (a - here) + (b - here)).real for u, a, b, here in triples)
        return float(odd), float(even)

    (half, near), (whole, far), (double, _) = change(0.5), change(1.0), change(2.0)
    # Per step, a kink's second difference stays what it is, so that at half the step half of it is left.
    bent = abs(near) > BENT * abs(far) / 2 and abs(near) > UNSURE * abs(step)
    return (8 * whole - double) / 12, (8 * half - whole) / 6, bent


def _outputs(base: _Base, name: str, place: int, step: complex) -> list[Any]:
    moved = {key: _copied(array) for key, array in base.inputs.items()}
    moved[name].reshape(-1)[place] += step if moved[name].dtype.kind == "c" else step.real
    made = base.op.forward(moved)
    return [np.array(on_host(made[k])) for k in base.counted]


def other_draws(case: Case, count: int) -> Iterator[Case]:
    """Yield a case with other seeds."""
    for seed in range(case.seed + 1, case.seed + 1 + count):
        yield replace(case, seed=seed)
