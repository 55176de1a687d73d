"""Blocks: parts of an input that only the like part of the outputs depends on, such as the rows of a softmax.

The residual of a block tells of the block's elements alone, however much rounding the other outputs hold. Which blocks
an op has is not declared: shapes suggest it, what single elements change of the outputs leaves few of them, and
forwards with a random half of the blocks moved, and the other, show it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, count, like, namespace, on_host
from gradaudit.numerics.margins import CONFIRMATIONS, MAX_ATTEMPTS, SMALL_SAMPLE
from gradaudit.numerics.path.claim import PathClaim, Values
from gradaudit.numerics.path.displacement import Room, Route


class Cut(NamedTuple):
    """An axis of an array cut into equal parts, of one index each or of several neighbours, as the groups of a norm."""

    axis: int
    parts: int


Axes = tuple[Cut, ...]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Partition:
    """Outputs parted into blocks by their indices along some axes.

    Attributes:
        shape: number of blocks along each of these axes.
        of_outputs: the axes of each output.

    """

    shape: Shape
    of_outputs: tuple[Axes, ...]

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Parted:
    """An input whose elements belong to blocks by their indices along ``axes``."""

    partition: Partition
    axes: Axes


def block_sums(stacked: Array, axes: Axes) -> Array:
    """Return sums over blocks, of shape (k, blocks).

    Args:
        stacked: k arrays of one shape, along a first axis.
        axes: those of the array that tell its blocks apart.

    """
    shape, kept = _cut(tuple(stacked.shape[1:]), axes)
    others = tuple(1 + axis for axis in range(len(shape)) if axis not in kept)
    stacked = stacked.reshape((stacked.shape[0], *shape))
    return (namespace(stacked).sum(stacked, axis=others) if others else stacked).reshape((stacked.shape[0], -1))


def spread(of_blocks: Array, shape: Shape, axes: Axes) -> Array:
    """Return for each element of an array, in C order, what belongs to its block."""
    xp = namespace(of_blocks)
    cut, kept = _cut(shape, axes)
    narrow = tuple(size if axis in kept else 1 for axis, size in enumerate(cut))
    return xp.broadcast_to(of_blocks.reshape(narrow), cut).reshape(-1)


def _cut(shape: Shape, axes: Axes) -> tuple[Shape, set[int]]:
    """Return the shape with axes cut into parts, and which of its axes number the blocks."""
    parts = dict(axes)
    each = [
        (size,) if parts.get(axis, size) == size else (parts[axis], size // parts[axis])
        for axis, size in enumerate(shape)
    ]
    return tuple(chain.from_iterable(each)), {sum(map(len, each[:axis])) for axis in parts}


class _Reach(NamedTuple):
    """An element, by its index, and which indices of each output's axes have outputs that change as it moves."""

    place: tuple[int, ...]
    changed: tuple[tuple[NDArray[np.intp], ...], ...]

    def keeps_to(self, shape: Shape, outputs: tuple[Shape, ...], way: Axes) -> bool:
        """Whether outputs change in the element's own part alone."""
        first, *others = way
        part = self.place[first.axis] * first.parts // shape[first.axis]
        return all(
            bool((changed[cut.axis] * cut.parts // output[cut.axis] == part).all())
            for cut, output, changed in zip(others, outputs, self.changed, strict=True)
        )


def partition_of(claim: PathClaim, name: str, start: Values, room: Room, rng: np.random.Generator) -> Parted | None:
    """Return the finest blocks of an input that do not mix; None where there are none.

    Where blocks along one axis do not mix, and those along another do not either, nor do their intersections.
    """
    shape = tuple(claim.inputs[name].shape)
    outputs = tuple(tuple(output.shape) for output in claim.upstream)

    def is_closed(ways: list[Axes], *, closely: bool = True) -> bool:
        return _is_closed(claim, name, _parted(ways), closely, start, room, rng)

    reaches = list(islice(_reaches(claim, name, start, room, rng), CONFIRMATIONS))
    likely: list[Axes] = []
    for way in _ways(shape, outputs, reaches):
        if all(_in_order(way, other) for other in likely):
            likely.append(way)
    if likely and is_closed(likely):
        return _parted(likely)
    ways: list[Axes] = []
    for way in islice(_ways(shape, outputs, reaches), 2 * MAX_ATTEMPTS):
        if all(_in_order(way, other) for other in ways) and is_closed([way], closely=False):
            ways.append(way)
    for tried in (ways, *([way] for way in ways)):
        if tried and tried != likely and is_closed(tried):
            return _parted(tried)
    return None


def coarser(partition: Partition, axes: dict[str, Axes]) -> Iterator[tuple[Partition, dict[str, Axes]]]:
    """Yield the partitions by one of a partition's axes alone, with the axes of its inputs."""
    for k, size in enumerate(partition.shape if len(partition.shape) > 1 else ()):
        if size > 1:
            outputs = tuple((places[k],) for places in partition.of_outputs)
            yield Partition((size,), outputs), {name: (places[k],) for name, places in axes.items()}


def _reaches(claim: PathClaim, name: str, start: Values, room: Room, rng: np.random.Generator) -> Iterator[_Reach]:
    """Yield what some single elements change of the outputs, as far as it shows."""
    shape, size = tuple(claim.inputs[name].shape), count(claim.inputs[name])
    for _ in range(SMALL_SAMPLE):
        place = int(rng.integers(size))
        signs = np.zeros(size)
        signs[place] = rng.choice((-1.0, 1.0))
        values = claim.values(Route(claim.inputs, {name: room.draw(rng, like(signs, room.up))}).at(1.0))
        if values is None:
            continue
        differs = on_host(1.0 * (values.vector != start.vector)) > 0
        if differs.any():
            shapes = [tuple(output.shape) for output in claim.upstream]
            each = np.split(differs, np.cumsum(list(map(math.prod, shapes)))[:-1])
            indices = (np.nonzero(part.reshape(of)) if of else () for part, of in zip(each, shapes, strict=True))
            changed = tuple(tuple(map(np.unique, axes)) for axes in indices)
            yield _Reach(tuple(map(int, np.unravel_index(place, shape))), changed)


def _ways(shape: Shape, outputs: tuple[Shape, ...], reaches: list[_Reach]) -> Iterator[Axes]:
    """Yield an axis of the input with one of each output, in as many parts as may not mix: whole axes first.

    Of several the first is the one whose places are most alike.
    """
    found = []
    for axis, size in enumerate(shape):
        for places in product(*(range(len(output)) for output in outputs)):
            sizes = size, *(output[place] for output, place in zip(outputs, places, strict=True))
            for parts in _divisors(math.gcd(*sizes)):
                way = (Cut(axis, parts), *(Cut(place, parts) for place in places))
                if all(reach.keeps_to(shape, outputs, way) for reach in reaches):
                    found.append((any(each != parts for each in sizes), way))
                    break

    def order(each: tuple[bool, Axes]) -> tuple[bool, int]:
        is_cut, (first, *others) = each
        ends = (len(output) - len(shape) for output in outputs)
        moved = sum(
            min(abs(cut.axis - first.axis), abs(cut.axis - first.axis - end))
            for cut, end in zip(others, ends, strict=True)
        )
        return is_cut, moved

    yield from (way for _, way in sorted(found, key=order))


def _divisors(number: int) -> Iterator[int]:
    """Yield a number's divisors above one, the largest first."""
    yield from (parts for parts in range(number, 1, -1) if number % parts == 0)


def _in_order(way: Axes, other: Axes) -> bool:
    """Whether two axes of the input come in the same order as those of each output."""
    return {(one > two) - (one < two) for (one, _), (two, _) in zip(way, other, strict=True)} in ({1}, {-1})


def _parted(ways: list[Axes]) -> Parted:
    axes, *of_outputs = zip(*sorted(ways), strict=True)
    return Parted(Partition(tuple(cut.parts for cut in axes), tuple(of_outputs)), axes)


def _is_closed(
    claim: PathClaim, name: str, parted: Parted, closely: bool, start: Values, room: Room, rng: np.random.Generator
) -> bool:
    """Whether outputs of blocks that stay are the same, bit by bit, when others move: one way round, and the other."""
    blocks, seen = parted.partition.blocks, False
    # Halves part every two of few blocks; of many, some of those that mix are sure to be parted.
    order = rng.permutation(blocks)
    for digit in range((blocks - 1).bit_length() if closely and blocks <= MAX_ATTEMPTS else 1):
        for moving in (order >> digit & 1 == 1, order >> digit & 1 == 0):
            changed = _changed(claim, name, parted, moving, start, room, rng)
            if changed is None or bool((changed & ~moving).any()):
                return False
            seen |= bool(changed.any())
    return seen


def _changed(
    claim: PathClaim,
    name: str,
    parted: Parted,
    moving: NDArray[np.bool_],
    start: Values,
    room: Room,
    rng: np.random.Generator,
) -> NDArray[np.bool_] | None:
    """Return the blocks whose outputs change where some blocks move; None where forward gives nothing finite."""
    shape = tuple(claim.inputs[name].shape)
    moved = spread(like(moving.astype(np.float64), room.up), shape, parted.axes)
    values = claim.values(Route(claim.inputs, {name: room.draw(rng) * moved}).at(1.0))
    if values is None:
        return None
    first, changed = 0, np.zeros(parted.partition.blocks, dtype=bool)
    for output, axes in zip(claim.upstream, parted.partition.of_outputs, strict=True):
        size = int(np.prod(output.shape))
        part = slice(first, first + size)
        differs = (values.vector[part] != start.vector[part]) * 1.0
        sums = block_sums(differs.reshape((1, *output.shape)), axes)
        changed |= np.asarray(sums.tolist()[0]) > 0
        first += size
    return changed
