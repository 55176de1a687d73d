"""What a spec allows beyond the cases that it writes down: which axes have one size, and which values may be drawn.

Axes have one size where they have the same in every case of the spec. Where few cases say so it may be a coincidence:
then forward is asked whether it takes another size at one of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from gradaudit.explore.constants import Constants
from gradaudit.explore.shapes import OtherShape, Takes, drawn_anew, is_redrawn, other_shapes
from gradaudit.spec.case import Case, Input
from gradaudit.spec.dtypes import is_floating
from gradaudit.spec.op_targets import LibraryTarget
from gradaudit.spec.structured import is_square

Position = tuple[str, int]
"""An axis of an input, by name and number."""

CERTAIN = 3
"""Different sizes that two axes share, one in each case, until it is no coincidence."""

MOST_TOGETHER = 4
"""Axes of one size among which a coincidence is looked for."""

APART = 3
"""What is added to a size to tell it apart from others."""


@dataclass(frozen=True)
class Allowed:
    """What may be drawn in the place of a case.

    Attributes:
        case: the case.
        axes: axes of one size each, that may be another.
        params: for each of these, the params that have to be that size too.
        below: for inputs of whole numbers that stand for places along an axis, which of ``axes`` it is.
        unbounded: the inputs whose range nobody wrote down.
        constants: the numbers in the op's source.
        choices: values that other params may have.
        shapes: those that forward takes besides, though no case of the spec shows them.

    """

    case: Case
    axes: tuple[tuple[Position, ...], ...]
    params: tuple[tuple[str, ...], ...]
    below: Mapping[str, int]
    unbounded: frozenset[str]
    constants: Constants
    choices: Mapping[str, tuple[Any, ...]]
    shapes: tuple[OtherShape, ...] = ()


def allowed(
    cases: Sequence[Case],
    takes: Takes,
    constants: Constants,
    choices: Mapping[str, tuple[Any, ...]],
    unbounded: Callable[[Case], frozenset[str]],
) -> tuple[Allowed, ...]:
    """Return what may be drawn in the place of each of an op's cases.

    Args:
        cases: those of one op that are expected to pass.
        takes: whether forward takes a case.
        constants: the numbers in the op's source.
        choices: values that the params may have.
        unbounded: which inputs of a case have a range that nobody wrote down.

    """
    families: dict[Any, list[Case]] = defaultdict(list)
    for case in cases:
        families[tuple((made.name, len(made.shape)) for made in case.inputs)].append(case)
    found: dict[int, Allowed] = {}
    for family in families.values():
        axes, params = _sizes(family, takes)
        shapes = other_shapes(family[0], takes)
        for case in family:
            own, own_params = _of_case(case, axes, params)
            below = {made.name: k for made in case.inputs if (k := _counts(made, case, own)) is not None}
            tied = {name for names in own_params for name in names}
            free = {name: values for name, values in choices.items() if name not in tied}
            found[id(case)] = Allowed(case, own, own_params, below, unbounded(case), constants, free, shapes)
    return tuple(found[id(case)] for case in cases)


def _of_case(
    case: Case, axes: Sequence[tuple[Position, ...]], params: Sequence[tuple[str, ...]]
) -> tuple[tuple[tuple[Position, ...], ...], tuple[tuple[str, ...], ...]]:
    """Return those sizes that explicit values of this case leave open."""
    fixed = {made.name for made in case.inputs if made.values is not None and not is_redrawn(made)}
    kept = [k for k, group in enumerate(axes) if not any(name in fixed for name, _ in group)]
    return tuple(axes[k] for k in kept), tuple(params[k] for k in kept)


def _sizes(family: Sequence[Case], takes: Takes) -> tuple[list[tuple[Position, ...]], list[tuple[str, ...]]]:
    """Return axes of one size each, and the params that go with them."""
    positions = [(made.name, axis) for made in family[0].inputs for axis in range(len(made.shape))]
    of = [{(made.name, axis): size for made in case.inputs for axis, size in enumerate(made.shape)} for case in family]
    groups: dict[tuple[int, ...], list[Position]] = defaultdict(list)
    for position in positions:
        groups[tuple(sizes[position] for sizes in of)].append(position)
    axes: list[tuple[Position, ...]] = []
    params: list[tuple[str, ...]] = []
    for sizes, group in groups.items():
        if max(sizes) <= 1:  # it is there to be broadcast
            continue
        asked = next((case for case, size in zip(family, sizes, strict=True) if size > 1), family[0])
        for part in _apart(asked, group, takes) if len(set(sizes)) < CERTAIN else [tuple(group)]:
            with_it = _params_of(asked, part, takes)
            if with_it is not None:
                axes.append(part)
                params.append(with_it)
    return axes, params


def _apart(case: Case, group: Sequence[Position], takes: Takes) -> Iterator[tuple[Position, ...]]:
    """Yield the parts of some axes of one size that may have sizes of their own."""
    left = list(group)
    square = {made.name for made in case.inputs if is_square(made)}
    if not isinstance(case.target, LibraryTarget) and len(group) <= MOST_TOGETHER:  # C takes whatever it is given
        for count in range(1, len(group)):
            for part in combinations(group, count):
                free = set(part) <= set(left) and len(part) < len(left) and not any(n in square for n, _ in part)
                if free and takes(resized(case, {part: _size_at(case, part[0]) + APART})):
                    left = [position for position in left if position not in part]
                    yield part
    yield tuple(left)


def _params_of(case: Case, part: tuple[Position, ...], takes: Takes) -> tuple[str, ...] | None:
    """Return the params that change with a size; None where forward takes no other size that is tried."""
    size = _size_at(case, part[0])
    equal = tuple(name for name, value in case.params.items() if type(value) is int and value == size)
    if isinstance(case.target, LibraryTarget):
        named = {word for shape in case.target.outputs.values() for word in shape if isinstance(word, str)}
        return tuple(name for name in equal if name in named)
    for other in (size + APART, 2 * size, size + 1, 1):
        if takes(resized(case, {part: other})):
            return ()
        if equal and takes(resized(case, {part: other}, dict.fromkeys(equal, other))):
            return equal
    return None


def _size_at(case: Case, position: Position) -> int:
    return next(made.shape[position[1]] for made in case.inputs if made.name == position[0])


def _counts(made: Input, case: Case, axes: Sequence[tuple[Position, ...]]) -> int | None:
    """Return which axis whole numbers from 0 stand for places along, as labels and rows of a table do.

    Zeros and ones are masks.
    """
    if is_floating(made.dtype) or made.dtype == "bool" or made.distribution not in ("integers", "uniform"):
        return None
    most = int(np.max(made.values)) if made.values is not None else int(made.range[1] if made.range else 0)
    sizes = [_size_at(case, group[0]) for group in axes]
    own = {k for k, group in enumerate(axes) if any(name == made.name for name, _ in group)}
    candidates = [k for k, size in enumerate(sizes) if k not in own and size > most] or [
        k for k, size in enumerate(sizes) if size > most
    ]
    return min(candidates, key=lambda k: sizes[k], default=None) if most > 1 else None


def resized(case: Case, sizes: Mapping[tuple[Position, ...], int], params: Mapping[str, int] | None = None) -> Case:
    """Return a case with other sizes at some axes; explicit values there are drawn anew as whole numbers."""
    new = {position: size for part, size in sizes.items() for position in part}

    def made_anew(made: Input) -> Input:
        shape = tuple(new.get((made.name, axis), size) for axis, size in enumerate(made.shape))
        return made if shape == made.shape else replace(drawn_anew(made), shape=shape, columns=())

    upstream = case.upstream if not isinstance(case.upstream, (list, np.ndarray)) else "random"
    inputs = tuple(map(made_anew, case.inputs))
    return replace(case, inputs=inputs, params={**case.params, **(params or {})}, upstream=upstream)
