"""Other shapes of a case: what holds where all sizes differ is no coincidence of sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any

from gradaudit.spec.case import Case, Input
from gradaudit.spec.structured import is_square

SMALL = 60
"""Elements of an input up to which a case is searched at its own sizes."""


def other_shapes(case: Case) -> Iterator[Case]:
    """Yield a case with all of its sizes changed, equal ones alike, and then with single ones that may just coincide.

    Sizes of one stay: they are there to be broadcast. Whether forward takes a shape is left to be seen.
    """
    sizes = _sizes(case)
    for more in (1, 2):
        yield _resized(case, {size: _size(k, size, more) for k, size in enumerate(sizes)})
    for made in case.inputs:
        for axis, size in enumerate(made.shape):
            if size in sizes and _count(case, size) > 1 and made.values is None:
                other = _reshaped(made, {axis: size + APART})
                yield replace(case, inputs=tuple(other if i is made else i for i in case.inputs))


def distinct_shapes(case: Case) -> Iterator[Case]:
    """Yield a case with sizes that coincide in it told apart.

    Axes of several inputs are changed together where they lie at the same place, counted from the end, as broadcasting
    does, then from the start, as batches are; then single ones.
    """
    for size in _sizes(case):
        if _count(case, size) > 1:
            ndim = max(len(made.shape) for made in case.inputs)
            for axis in (*range(-1, -1 - ndim, -1), *range(ndim)):
                made = _with_axis(case, axis, size)
                if shapes_of(made) != shapes_of(case) and _count(made, size):
                    yield made


def _with_axis(case: Case, axis: int, size: int) -> Case:
    """Return a case with the size at one axis of all inputs changed, where it is the one given."""

    def resized(made: Input) -> Input:
        if made.values is not None or not -len(made.shape) <= axis < len(made.shape) or made.shape[axis] != size:
            return made
        return _reshaped(made, {axis % len(made.shape): size + APART})

    return replace(case, inputs=tuple(map(resized, case.inputs)), upstream=_any_upstream(case))


APART = 3
"""What is added to a size to tell it apart from others."""


def shapes_of(case: Case) -> list[tuple[int, ...]]:
    """Return the shapes of a case's inputs."""
    return [made.shape for made in case.inputs]


def _any_upstream(case: Case) -> Any:
    return case.upstream if isinstance(case.upstream, str) else "random"


def small_shapes(case: Case) -> Iterator[Case]:
    """Yield a case with small sizes, no two of them alike where they were not, the smallest last."""
    sizes = _sizes(case)
    if all(prod(made.shape) <= SMALL for made in case.inputs):
        return
    for largest in (7, 5, 4, 3):
        mapping = {size: min(size, largest + (len(sizes) - 1 - k) % 3) for k, size in enumerate(sizes)}
        yield _resized(case, mapping)


def tiny(case: Case, least: int) -> Case:
    """Return a case with its sizes, in their order, the least one and those that follow; none becomes larger."""
    return _resized(case, {size: min(size, least + k) for k, size in enumerate(_sizes(case))})


def _sizes(case: Case) -> list[int]:
    sizes = {size for made in case.inputs if made.values is None for size in made.shape}
    return sorted(sizes - {0, 1})


def _count(case: Case, size: int) -> int:
    return sum(made.shape.count(size) for made in case.inputs)


def _size(rank: int, size: int, more: int) -> int:
    """Return another size, another one for each rank: sizes grow in their order."""
    return size + more * (rank + 1)


def _resized(case: Case, sizes: Mapping[int, int]) -> Case:
    def resized(made: Input) -> Input:
        if made.values is not None:
            return made
        return _reshaped(made, {axis: sizes.get(size, size) for axis, size in enumerate(made.shape)})

    return replace(case, inputs=tuple(map(resized, case.inputs)), upstream=_any_upstream(case))


def _reshaped(made: Input, sizes: Mapping[int, int]) -> Input:
    """Return an input with other sizes at some axes: square matrices stay square, and columns with ranges as many."""
    shape = [sizes.get(axis, size) for axis, size in enumerate(made.shape)]
    if is_square(made):
        shape[-2:] = 2 * [next((size for size in shape[-2:] if size != made.shape[-1]), made.shape[-1])]
    if made.columns:
        shape[-1] = made.shape[-1]
    return replace(made, shape=tuple(shape))
