"""Other shapes of a case: what holds where all sizes differ is no coincidence of sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod

from gradaudit.spec.case import Case, Input

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
                shape = (*made.shape[:axis], size + 3, *made.shape[axis + 1 :])
                yield replace(case, inputs=tuple(replace(i, shape=shape) if i is made else i for i in case.inputs))


def small_shapes(case: Case) -> Iterator[Case]:
    """Yield a case with small sizes, no two of them alike where they were not, the smallest last."""
    sizes = _sizes(case)
    if all(prod(made.shape) <= SMALL for made in case.inputs):
        return
    for largest in (7, 5, 4, 3):
        mapping = {size: min(size, largest + (len(sizes) - 1 - k) % 3) for k, size in enumerate(sizes)}
        yield _resized(case, mapping)


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
        return replace(made, shape=tuple(sizes.get(size, size) for size in made.shape))

    upstream = case.upstream if isinstance(case.upstream, str) else "random"
    return replace(case, inputs=tuple(map(resized, case.inputs)), upstream=upstream)
