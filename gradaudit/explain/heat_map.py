"""Where the wrong indices of a gradient lie, as a picture: its leading axes stacked, its last one across."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gradaudit.results import Result

MAX_ROWS = 24
"""Most rows of a map: it should be seen whole."""

MAX_COLUMNS = 60
"""Most columns of a map: with the rows' indices beside them they fit into 80."""


@dataclass(frozen=True)
class HeatMap:
    """Differences relative to their tolerances, the largest of each block of elements.

    Attributes:
        shape: the gradient's.
        block: rows and columns of the stacked gradient that a cell stands for.
        cells: ``difference / tolerance``; 0 where nothing was reported, infinite where the tolerance is zero or the
            difference is not a number.
        complete: whether nothing reported means nothing wrong; else only some places were looked at.

    """

    shape: tuple[int, ...]
    block: tuple[int, int]
    cells: tuple[tuple[float, ...], ...]
    complete: bool

    def row_indices(self, row: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the first and the last index of the leading axes that a row of cells stands for."""
        leading = self.shape[:-1]
        first = row * self.block[0]
        last = min(first + self.block[0], math.prod(leading)) - 1
        return _unravelled(first, leading), _unravelled(last, leading)

    def cell_of(self, index: tuple[int, ...]) -> tuple[int, int]:
        """Return the row and the column of the cell that an index of the gradient lies in."""
        leading = int(np.ravel_multi_index(index[:-1], self.shape[:-1]))
        return leading // self.block[0], index[-1] // self.block[1]


def _unravelled(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(k) for k in np.unravel_index(position, shape))


def heat_map(result: Result, shape: tuple[int, ...]) -> HeatMap | None:
    """Return the map of a result's mismatches; None where it has none, or its gradient is not at least 2-D."""
    if len(shape) < 2 or not result.mismatches:
        return None
    rows, columns = math.prod(shape[:-1]), shape[-1]
    block = (-(-rows // MAX_ROWS), -(-columns // MAX_COLUMNS))
    cells = np.zeros((-(-rows // block[0]), -(-columns // block[1])))
    for mismatch in result.mismatches:
        row = int(np.ravel_multi_index(mismatch.index[:-1], shape[:-1])) // block[0]
        column = mismatch.index[-1] // block[1]
        ratio = mismatch.difference / mismatch.tolerance if mismatch.tolerance > 0 else math.inf
        cells[row, column] = max(cells[row, column], math.inf if math.isnan(ratio) else ratio)
    reported = max(result.wrong, len(result.mismatches))
    complete = result.checked == result.size and reported == len(result.mismatches)
    return HeatMap(shape, block, tuple(tuple(float(cell) for cell in line) for line in cells), complete)
