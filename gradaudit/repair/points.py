"""Where edits are judged: at one point first, and what holds there at others, of other cases, seeds, shapes, params."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod
from types import FunctionType
from typing import Any

import numpy as np

from gradaudit.repair.draws import ERRORS, Draw, drawn, other_draws
from gradaudit.source.place import plain_function
from gradaudit.spec.case import Case
from gradaudit.spec.double_precision import in_double_precision
from gradaudit.spec.draw import draw_inputs, draw_upstream
from gradaudit.spec.other_shapes import other_shapes, small_shapes
from gradaudit.targets import opened
from gradaudit.targets.parameters import completed

FEW_PLACES = 16
"""Elements of an input that are looked at where an edit is only confirmed."""

MOST_LOOKED_AT = 160
"""Elements of an input that are looked at where an edit is searched for."""

MOST_SEARCHED = 150
"""Elements that all inputs of the point of the search may have together; more cost time."""

MOST_OTHERS = 6
MOST_SHAPES = 2
"""Further cases, and further shapes, that edits are held against during the search."""


Wrong = Mapping[str, Sequence[tuple[int, ...]]]
"""Indices at which gradients are wrong, by input."""


@dataclass(frozen=True)
class Points:
    """The draws of a search, its own first, and how many further ones there are of each kind."""

    draws: tuple[Draw, ...]
    cases: int
    seeds: int
    shapes: int


def points(
    cases: Sequence[Case],
    failing: Case,
    wrong: Wrong,
    backward: FunctionType,
    stack: ExitStack,
    *,
    anyway: bool = False,
) -> Points | None:
    """Return where to search and where to hold what is found against; None where nothing is wrong in double precision.

    Args:
        cases: all cases of the op.
        failing: one of them whose gradient is wrong.
        wrong: where, by input.
        backward: the function that gradients are written in.
        stack: what the ops are kept open by.
        anyway: whether to return points even where nothing is wrong at them.

    """

    def made(case: Case, most: int) -> Draw | None:
        try:
            known = wrong if case.inputs == failing.inputs and case.seed == failing.seed else None
            draw = drawn(case, stack.enter_context(opened(case)), most, known)
            return draw.alone(backward) if draw else None
        except ERRORS:
            return None

    own = made(failing, MOST_LOOKED_AT)
    refuses = own is None or np.isnan(own.gradient()).all()
    varied = [case for case in _shapes_to_try(failing) if _is_taken(case, answers=not refuses)]
    shaped = [one for case in varied[: MOST_SHAPES + 1] if (one := made(case, MOST_LOOKED_AT))]
    start = _start([own, *shaped])
    if start is None and anyway:
        start = own
    if start is None:
        return None
    others = [case for case in {case.name: case for case in cases}.values() if case.name != failing.name]
    seeds = [one for case in other_draws(failing, 2) if (one := made(case, FEW_PLACES))]
    beside = [one for case in sorted(others, key=_size)[:MOST_OTHERS] if (one := made(case, FEW_PLACES))]
    params = [one for case in _other_params(failing, start.op) if (one := made(case, FEW_PLACES))]
    shapes = [one for one in (own, *shaped) if one is not None and one is not start]
    kept = [one for one in (*seeds, *beside, *params, *shapes) if _tells(one)]
    return Points((start, *kept), len(beside), len(seeds), len(shapes))


def _shapes_to_try(case: Case) -> Iterator[Case]:
    yield from reversed(list(small_shapes(case)))
    if _size(case) <= 4 * MOST_SEARCHED:
        yield from other_shapes(case)


def _is_taken(case: Case, *, answers: bool) -> bool:
    """Whether forward takes a case, and backward as well where that is asked."""
    try:
        with opened(case) as op:
            case = completed(in_double_precision(case), op)
            inputs = draw_inputs(case)
            outputs = op.forward(inputs)
            counted = op.differentiable_outputs(outputs)
            upstream = tuple(draw_upstream(case, k, outputs[k].shape, outputs[k].dtype) for k in counted)
            return not answers or bool(op.backward(upstream, inputs, outputs))
    except ERRORS:
        return False


def _size(case: Case) -> int:
    return sum(prod(made.shape) for made in case.inputs)


def _tells(draw: Draw) -> bool:
    return bool(np.isfinite(draw.slack).any())


def _start(found: Sequence[Draw | None]) -> Draw | None:
    """Return the point to search at: one where something is wrong, no sizes coincide, and that is small."""
    wrong = [one for one in found if one and not one.right(one.gradient()).all()]
    return min(wrong, key=_unfitness, default=None)


def _unfitness(draw: Draw) -> tuple[bool, bool, int]:
    shapes = [made.shape for made in draw.case.inputs]
    sizes = [size for shape in shapes for size in shape if size > 1]
    within = any(len(set(shape)) < len(shape) for shape in ([size for size in s if size > 1] for s in shapes))
    total = sum(prod(shape) for shape in shapes)
    return total > MOST_SEARCHED, within or (bool(sizes) and min(sizes) < 2), total


def _other_params(case: Case, op: Any) -> Iterator[Case]:
    """Yield a case with each floating param of forward, given or by default, somewhat larger: 1 is many things."""
    function = plain_function(getattr(op, "forward_function", None))
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]
    defaults = {one.name: one.default for one in parameters if isinstance(one.default, float)}
    taken = _parameters(getattr(op, "backward_function", None))
    for name, value in {**defaults, **case.params}.items():
        if isinstance(value, float) and (name in case.params or name in taken):
            yield replace(case, params={**case.params, name: value * 1.25})


def _parameters(function: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return frozenset()
