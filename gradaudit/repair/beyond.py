"""Points that no spec draws: what holds where values, signs or params are others than the spec's is no accident."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gradaudit.repair.draws import ERRORS, Draw, drawn
from gradaudit.repair.program import Program
from gradaudit.source.place import plain_function
from gradaudit.spec.case import Case, Input
from gradaudit.spec.double_precision import in_double_precision
from gradaudit.spec.draw import draw_inputs
from gradaudit.spec.other_shapes import tiny
from gradaudit.targets import opened

FACTORS = {
    3.0: "three times as large",
    0.1: "ten times as small",
    -1.0: "of the other sign",
    -0.1: "ten times as small and of the other sign",
}
"""What values are multiplied with, and what they are then."""

LARGE = 1000.0
"""Factor of values where exponentials overflow."""

MOST_PLACES = 12
"""Elements of an input that are looked at."""


@dataclass(frozen=True)
class Outside:
    """A point outside of what the spec draws, in words, and what forward says of the gradient there."""

    said: str
    draw: Draw


def outside(case: Case, op: Any, stack: ExitStack) -> list[Outside]:
    """Return points with values, sizes and whole-numbered params other than the case's, as far as forward takes them.

    Args:
        case: where the search was made.
        op: its op.
        stack: what the ops are kept open by.

    """
    case = in_double_precision(case)
    return [*_scaled(case, FACTORS, stack), *_with_small_sizes(case, stack), *_with_other_params(case, op, stack)]


def large(case: Case, stack: ExitStack) -> list[Outside]:
    """Return points with values so large that exponentials overflow, as far as forward takes them."""
    return list(_scaled(in_double_precision(case), {LARGE: ""}, stack))


def missed(program: Program, points: Sequence[Outside], inputs: frozenset[str]) -> tuple[str, ...]:
    """Return at which of these points a program gives some inputs a wrong gradient, in words."""
    with program.installed():
        return tuple(point.said for point in points if not _is_right(point.draw, inputs))


def overflows(program: Program, points: Sequence[Outside]) -> int:
    """Return how many numbers of the gradients at some points are not finite."""
    with program.installed():
        return sum(int((~np.isfinite(point.draw.gradient())).sum()) for point in points)


def _is_right(draw: Draw, inputs: frozenset[str]) -> bool:
    right = draw.right_inputs(draw.gradient())
    return all(right[name] for name in inputs if name in right)


def _scaled(case: Case, factors: dict[float, str], stack: ExitStack) -> Iterator[Outside]:
    """Yield points with all values multiplied; where forward takes that of no such values, with those of one input."""
    names = [made.name for made in case.inputs if made.differentiable]
    with suppress(*ERRORS):
        arrays = draw_inputs(case)
        for factor, said in factors.items():
            for chosen in (names, *([name] for name in names if len(names) > 1)):
                inputs = tuple(
                    replace(made, values=arrays[made.name] * factor) if made.name in chosen else made
                    for made in case.inputs
                )
                about = "inputs" if chosen == names else chosen[0]
                point = _point(replace(case, inputs=inputs), f"{about} {said}", stack)
                if point:
                    yield point
                if point and chosen == names:
                    break


def _with_small_sizes(case: Case, stack: ExitStack) -> Iterator[Outside]:
    """Yield points with sizes so small that counting from the end, by halves or by thirds shows."""
    for least in SMALL:
        small = tiny(case, least)
        point = _point(small, f"sizes from {least}", stack) if small != case else None
        if point:
            yield point


SMALL = (2, 3, 4)
"""Smallest sizes that are tried; the others of a case are larger by one each."""


def _with_other_params(case: Case, op: Any, stack: ExitStack) -> Iterator[Outside]:
    """Yield points with each whole-numbered param of forward another one, where sizes have to, with those doubled."""
    function = plain_function(getattr(op, "forward_function", None))
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        parameters = ()  # type: ignore[assignment]
    defaults = {one.name: one.default for one in parameters}
    for name, value in {**defaults, **case.params}.items():
        if type(value) is not int or value < 1:
            continue
        for other in (value + 1, 2 * value):
            changed = replace(case, params={**case.params, name: other})
            tried = (changed, replace(changed, inputs=tuple(map(_doubled, case.inputs)), upstream=_any(case)))
            points = (_point(one, f"{name} = {other}", stack) for one in tried)
            if point := next(filter(None, points), None):
                yield point
                break


def _doubled(made: Input) -> Input:
    """Return an input with its sizes doubled, those of one left."""
    return replace(made, shape=tuple(size if size == 1 else 2 * size for size in made.shape))


def _any(case: Case) -> Any:
    return case.upstream if isinstance(case.upstream, str) else "random"


def _point(case: Case, said: str, stack: ExitStack) -> Outside | None:
    """Return a point where forward says something of a gradient, and backward answers; None else."""
    with suppress(*ERRORS):
        draw = drawn(case, stack.enter_context(opened(case)), MOST_PLACES)
        if draw is not None and np.isfinite(draw.slack).any():
            return Outside(said, draw)
    return None
