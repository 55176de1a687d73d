"""Which elements root tests are about: not those that are settled, nor those that a step cannot displace."""

from __future__ import annotations

import math

from gradaudit.numerics.arrays import Array, largest, namespace, written
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.margins import LEAST_MOVE


class Tested:
    """The elements that directions are drawn for.

    Args:
        line: the displacements.

    """

    def __init__(self, line: Directional) -> None:
        self._line = line
        self._excluded: Array | None = None
        self._turn: Array | None = None
        self._waiting: Array | None = None

    def exclude(self, elements: int | Array) -> None:
        """Leave an element, or those where a mask is true, out of further tests."""
        self._excluded = written(self._none() if self._excluded is None else self._excluded, elements, True)

    def is_excluded(self, elements: Array) -> bool:
        """Whether all elements where a mask is true are left out already."""
        return self._excluded is not None and bool((self._excluded | ~elements).all())

    def begin(self) -> None:
        """Turn to all elements that are not excluded, whatever step they need."""
        self._turn = self._waiting = None

    def turn_to(self, elements: Array) -> None:
        """Turn to the elements where a mask is true, and to none else."""
        self._turn, self._waiting = elements, None

    @property
    def turned(self) -> bool:
        """Whether some elements stay where they are, though they are not excluded."""
        return self._turn is not None

    def next_turn(self) -> float | None:
        """Turn to the elements that no step so far has moved, and to none else.

        Returns:
            Their typical magnitude; zero where they are those whose turn it was, and None where there are none.

        """
        if self._waiting is None:
            return None
        again = self._turn is not None and bool((self._waiting == self._turn).all())
        self._turn, self._waiting = self._waiting, None
        return 0.0 if again else self._line.magnitude(self._turn)

    @property
    def complete(self) -> bool:
        """Whether every step so far has moved all elements that it was for."""
        return self._waiting is None

    def only(self, along: Array, drawn: slice) -> Array:
        """Return displacements of a range of elements, zero for those that are not tested."""
        if self._excluded is not None:
            along = written(along, self._excluded[drawn], 0.0)
        return along if self._turn is None else written(along, ~self._turn[drawn], 0.0)

    def moved(self, start: int, stop: int, lengths: Array) -> float:
        """Let elements wait for a wider step that are lost in their own rounding when they are displaced.

        Args:
            start: the first element that is displaced.
            stop: the one after the last.
            lengths: the range of each one's displacement.

        Returns:
            The largest distance between neighbours of the others' dtype, in units of those ranges; infinite for none.

        """
        grid = self._line.grid()[start:stop] / lengths
        tested = namespace(grid).ones_like(grid, dtype=namespace(grid).bool)
        tested = tested if self._excluded is None else tested & ~self._excluded[start:stop]
        tested = tested if self._turn is None else tested & self._turn[start:stop]
        lost = tested & (grid * LEAST_MOVE > 1.0)
        if lost.any():
            waiting = self._none() if self._waiting is None else self._waiting
            self._waiting = written(waiting, slice(start, stop), waiting[start:stop] | lost)
            if not (tested & ~lost).any():
                return math.inf
        return largest(namespace(grid).where(tested & ~lost, grid, 0.0))

    def _none(self) -> Array:
        xp = namespace(self._line.claims)
        return xp.zeros_like(self._line.claims, dtype=xp.bool)
