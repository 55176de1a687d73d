"""The parts of large arrays that some places share sums with, so that no more than those is summed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradaudit.diagnosis.evidence import Array, Claim


@dataclass(frozen=True)
class Slices:
    """What lies along some axes through each of the places.

    Attributes:
        over: the axes.
        kept: the other axes.
        through: coordinates of the slices on the kept axes, one a row.
        row: for each place the number of its slice.
        column: for each place its position within the slice.
        size: elements of a slice.

    """

    over: tuple[int, ...]
    kept: tuple[int, ...]
    through: NDArray[np.intp]
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    size: int

    def of(self, array: Array) -> Array:
        """Return the slices of an array of the gradient's shape: shape (slices, size)."""
        front = np.moveaxis(array, self.kept, range(len(self.kept)))
        return np.asarray(front[tuple(self.through.T)]).reshape(len(self.through), self.size)

    def at_places(self, slices: Array) -> Array:
        """Return what slices, or one number for each, hold at the places: shape (n,)."""
        return np.asarray(np.broadcast_to(slices, (len(self.through), self.size))[self.row, self.column])


def slices_along(claim: Claim, over: tuple[int, ...]) -> Slices:
    """Return the slices along some axes through the places."""
    shape = claim.analytical.shape
    kept = tuple(axis for axis in range(len(shape)) if axis not in over)
    through, row = np.unique(claim.places[:, list(kept)], axis=0, return_inverse=True)
    within = tuple(shape[axis] for axis in over)
    column = np.ravel_multi_index(tuple(claim.places[:, axis] for axis in over), within)
    return Slices(over, kept, through, np.asarray(row).reshape(-1), np.asarray(column), int(np.prod(within)))
