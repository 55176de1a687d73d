"""Points beside a point: inputs that are displaced by about some part of each element, and forward there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gradaudit.numerics.arrays import (
    Array,
    cast,
    copied,
    count,
    dtype_name,
    has_complex_dtype,
    like,
    namespace,
    written,
)
from gradaudit.numerics.magnitude import scale_of
from gradaudit.numerics.margins import FAR, MAX_ROUNDINGS, NEAR, QUARTER
from gradaudit.spec.dtypes import is_floating, spacing

if TYPE_CHECKING:
    from gradaudit.checks.gradient.evaluation_point import EvaluationPoint


Move = Callable[[Array, float, np.random.Generator], Array]
"""Returns a displaced copy of an array."""


def displaced(x: Array, displacement: float, rng: np.random.Generator) -> Array:
    """Return a copy; a floating array's is displaced by this part of each element, or by half as much again or less."""
    if not is_floating(dtype_name(x.dtype)):
        return copied(x)
    return cast(x * (1.0 + displacement * like(rng.uniform(0.5, 1.5, tuple(x.shape)), x)), dtype_name(x.dtype))


def outputs_beside(point: EvaluationPoint, displacement: float, *names: str, move: Move = displaced) -> Array:
    """Return forward's outputs where some inputs, all if none is named, are displaced by about this part of them.

    They stay inside of what is declared, else of their own values.
    """
    here = {name: copied(x) for name, x in point.inputs.items() if name in names or not names}
    rng = np.random.default_rng(0)
    try:
        for name, x in here.items():
            point.inputs[name] = written(point.inputs[name], ..., _beside(point, name, x, displacement, move, rng))
        return point.evaluate()
    finally:
        for name, x in here.items():
            point.inputs[name] = written(point.inputs[name], ..., x)


def _beside(
    point: EvaluationPoint, name: str, x: Array, displacement: float, move: Move, rng: np.random.Generator
) -> Array:
    ranges = {made.name: made.range for made in point.subject.case.inputs}
    return inside(move(x, displacement, rng), x, ranges.get(name))


def climbs_stairs(point: EvaluationPoint, name: str) -> bool:
    """Whether forward stands still close to the point and changes further away, where nothing is claimed of it either.

    So does what is rounded away beside an offset. A quarter of the outputs that depend on the input climb a stair
    within an eighth of its size, which those of a function with a few steps do not. Whole numbers are counts: in double
    precision an offset seldom leaves these. It takes one forward; where the input matters, up to eight and two
    backwards.
    """
    most = MAX_ROUNDINGS * point.spacing * point.size
    seen = [point.outputs]

    def shifted(x: Array, displacement: float, rng: np.random.Generator) -> Array:
        lengths = namespace(x).clip(abs(x), scale_of(x, point.size), None)
        return cast(x + displacement * lengths * like(rng.uniform(0.5, 1.5, tuple(x.shape)), x), dtype_name(x.dtype))

    def changed_by(part: float) -> Array:
        seen.append(outputs_beside(point, part, name, move=shifted))
        return abs(seen[-1] - point.outputs) > most

    def changed_within(part: float) -> Array:
        return changed_by(part) | changed_by(-part)

    dependent = changed_by(1.0)
    if not bool(dependent.any()):
        return False
    far = changed_within(2.0 * FAR)
    moved, dependent = int(far.sum()), far | dependent | changed_by(-1.0)
    if point.spacing <= spacing("float64") and _are_counts(seen):
        return False
    if moved <= QUARTER * int(dependent.sum()) or moved <= 2 * int(changed_within(FAR * NEAR).sum()):
        return False
    return not any(_is_claimed_beside(point, name, side * 2.0 * FAR, shifted) for side in (1.0, -1.0))


def _are_counts(outputs: Sequence[Array]) -> bool:
    """Whether outputs at some places are whole numbers, next to each other where they change least."""
    xp, first = namespace(outputs[0]), outputs[0]
    changes = [abs(there - first) for there in outputs[1:]]
    least = min((float(each[each > 0].min()) for each in changes if bool((each > 0).any())), default=0.0)
    return least == 1.0 and all(bool((xp.floor(there) == there).all()) for there in outputs)


def _is_claimed_beside(point: EvaluationPoint, name: str, displacement: float, move: Move) -> bool:
    """Whether backward gives an input any gradient where it is displaced."""
    there = {other: copied(x) for other, x in point.inputs.items()}
    there[name] = _beside(point, name, there[name], displacement, move, np.random.default_rng(0))
    claims = point.claims(point.subject.upstream, there, point.outputs_at(there))
    return name in claims and bool(claims[name].any())


def inside(beside: Array, x: Array, declared: tuple[float, float] | None) -> Array:
    """Return numbers beside those of an array, turned round where they would leave the range that these lie in.

    It is the one declared, else from the least of them to the largest, of equal ones from zero: more is not known of
    what forward takes.
    """
    if not count(x) or has_complex_dtype(x) or not is_floating(dtype_name(x.dtype)):
        return beside
    least, most = low, high = float(x.min()), float(x.max())
    if declared and declared[0] <= least and most <= declared[1]:
        low, high = declared
    elif least == most:
        low, high = min(least, 0.0), max(most, 0.0)
    outside = (beside < low) | (beside > high)
    if not low < high or not outside.any():
        return beside
    xp, width = namespace(x), high - low
    folded = low + abs(xp.remainder(cast(beside, "float64") - low + width, 2 * width) - width)
    turned = cast(xp.clip(folded, low, high), dtype_name(beside.dtype))
    return xp.where(outside, turned, beside)
