"""Blocks: parts of an input that only the like part of the outputs depends on, such as the rows of a softmax.

The residual of a block tells of the block's elements alone, however much rounding the other outputs hold. Which blocks
an op has is not declared: shapes suggest it, and forwards with a random half of the blocks moved, and the other, show
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, like, namespace
from gradaudit.numerics.margins import ATTEMPTS
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
    """Return the finest blocks of an input that do not mix; None where there are none."""
    shape = tuple(claim.inputs[name].shape)
    shapes = tuple(tuple(output.shape) for output in claim.upstream)
    for parted, _ in zip(_candidates(shape, shapes), range(ATTEMPTS), strict=False):
        if _is_closed(claim, name, parted, start, room, rng):
            return parted
    return None


def coarser(partition: Partition, axes: dict[str, Axes]) -> Iterator[tuple[Partition, dict[str, Axes]]]:
    """Yield the partitions by one of a partition's axes alone, with the axes of its inputs."""
    for k, size in enumerate(partition.shape if len(partition.shape) > 1 else ()):
        if size > 1:
            outputs = tuple((places[k],) for places in partition.of_outputs)
            yield Partition((size,), outputs), {name: (places[k],) for name, places in axes.items()}


def _candidates(shape: Shape, outputs: tuple[Shape, ...]) -> Iterator[Parted]:
    """Yield what the shapes suggest: leading axes in common, trailing axes, one axis anywhere; finest first."""
    found: list[Parted] = []
    for many in range(1, len(shape) + 1):
        leading = tuple(range(many))
        if all(output[:many] == shape[:many] for output in outputs):
            found.append(Parted(Partition(shape[:many], (leading,) * len(outputs)), leading))
        if all(output[-many:] == shape[-many:] for output in outputs):
            trailing = tuple(range(len(shape) - many, len(shape)))
            of_outputs = tuple(tuple(range(len(output) - many, len(output))) for output in outputs)
            found.append(Parted(Partition(shape[-many:], of_outputs), trailing))
    for axis, size in enumerate(shape):
        places = [[place for place, length in enumerate(output) if length == size] for output in outputs]
        alike = product(*([(place,) for place in each] for each in places))
        found.extend(Parted(Partition((size,), of_outputs), (axis,)) for of_outputs in alike)
    seen: set[Parted] = set()
    for parted in sorted(found, key=lambda parted: -parted.partition.blocks):
        if parted.partition.blocks > 1 and parted not in seen:
            seen.add(parted)
            yield parted


def _is_closed(claim: Claim, name: str, parted: Parted, start: Values, room: Room, rng: np.random.Generator) -> bool:
    """Whether outputs of blocks that stay are the same, bit by bit, when others move: one way round, and the other."""
    blocks, seen = parted.partition.blocks, False
    # Halves part every two of few blocks; of many, some of those that mix are sure to be parted.
    order = rng.permutation(blocks)
    for digit in range((blocks - 1).bit_length() if blocks <= ATTEMPTS else 1):
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
