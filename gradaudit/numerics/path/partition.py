"""Blocks: parts of an input that only the like part of the outputs depends on, such as the rows of a softmax.

The residual of a block tells of the block's elements alone, however much rounding the other outputs hold. Which blocks
an op has is not declared: shapes suggest it, and forwards with a random half of the blocks moved, and the other, show
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, like, namespace
from gradaudit.numerics.margins import MAX_ATTEMPTS
from gradaudit.numerics.path.claim import Claim, Values
from gradaudit.numerics.path.displacement import Room, Route

Axes = tuple[int, ...]
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
    xp = namespace(stacked)
    others = tuple(1 + axis for axis in range(stacked.ndim - 1) if axis not in axes)
    return (xp.sum(stacked, axis=others) if others else stacked).reshape((stacked.shape[0], -1))


def spread(of_blocks: Array, shape: Shape, axes: Axes) -> Array:
    """Return for each element of an array, in C order, what belongs to its block."""
    xp = namespace(of_blocks)
    narrow = tuple(size if axis in axes else 1 for axis, size in enumerate(shape))
    return xp.broadcast_to(of_blocks.reshape(narrow), shape).reshape(-1)


def partition_of(claim: Claim, name: str, start: Values, room: Room, rng: np.random.Generator) -> Parted | None:
    """Return the finest blocks of an input that do not mix; None where there are none.

    Where blocks along one axis do not mix, and those along another do not either, nor do their intersections.
    """
    shape = tuple(claim.inputs[name].shape)
    outputs = tuple(tuple(output.shape) for output in claim.upstream)

    def is_closed(ways: list[Axes], *, closely: bool = True) -> bool:
        return _is_closed(claim, name, _parted(shape, ways), closely, start, room, rng)

    elements: list[Axes] = [(axis,) * (1 + len(outputs)) for axis in range(len(shape))]
    if shape and all(output == shape for output in outputs) and is_closed(elements):
        return _parted(shape, elements)
    ways: list[Axes] = []
    for way in islice(_ways(shape, outputs), 2 * MAX_ATTEMPTS):
        if all(_in_order(way, other) for other in ways) and is_closed([way], closely=False):
            ways.append(way)
    for tried in (ways, *([way] for way in ways)):
        if tried and is_closed(tried):
            return _parted(shape, tried)
    return None


def coarser(partition: Partition, axes: dict[str, Axes]) -> Iterator[tuple[Partition, dict[str, Axes]]]:
    """Yield the partitions by one of a partition's axes alone, with the axes of its inputs."""
    for k, size in enumerate(partition.shape if len(partition.shape) > 1 else ()):
        if size > 1:
            outputs = tuple((places[k],) for places in partition.of_outputs)
            yield Partition((size,), outputs), {name: (places[k],) for name, places in axes.items()}


def _ways(shape: Shape, outputs: tuple[Shape, ...]) -> Iterator[Axes]:
    """Yield an axis of the input with one of each output that is as long, by how alike their places are."""
    found: list[Axes] = []
    for axis, size in enumerate(shape):
        places = [[place for place, length in enumerate(output) if length == size] for output in outputs]
        found.extend((axis, *each) for each in product(*places) if size > 1)

    def moved(way: Axes) -> int:
        ends = (len(output) - len(shape) for output in outputs)
        return sum(
            min(abs(place - way[0]), abs(place - way[0] - end)) for place, end in zip(way[1:], ends, strict=True)
        )

    yield from sorted(found, key=moved)


def _in_order(way: Axes, other: Axes) -> bool:
    """Whether two axes of the input come in the same order as those of each output."""
    return {(one > two) - (one < two) for one, two in zip(way, other, strict=True)} in ({1}, {-1})


def _parted(shape: Shape, ways: list[Axes]) -> Parted:
    axes, *of_outputs = zip(*sorted(ways), strict=True)
    return Parted(Partition(tuple(shape[axis] for axis in axes), tuple(of_outputs)), axes)


def _is_closed(
    claim: Claim, name: str, parted: Parted, closely: bool, start: Values, room: Room, rng: np.random.Generator
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
    claim: Claim,
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
