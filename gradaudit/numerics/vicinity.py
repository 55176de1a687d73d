"""Forward around one point: for one displaced input after the other, or for many of them at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import IN_CACHE, LARGE, bits_of, has_bits
from gradaudit.numerics.margins import CONFIRMATIONS, MAX_TABLE, SMALL_SAMPLE

Array = NDArray[Any]
Floats = NDArray[np.float64]
Index = tuple[int, ...]

Places = NDArray[np.intp] | None
"""The elements that hold another value at each of several points, in C order; None where whole inputs do."""


class Together(NamedTuple):
    """Forward for several contents of the input, stacked along a first axis.

    Attributes:
        evaluate: returns the outputs of each, as for one; none at all where forward takes no more than one.
        promised: whether the op says that it can; else it is tried, where what it takes and gives stays in cache.

    """

    evaluate: Callable[[Array], Sequence[Floats]]
    promised: bool


MAX_HELD = SMALL_SAMPLE * LARGE
"""Numbers that the inputs, or the outputs, of so many points may come to: what is computed of them stays in cache."""

AT_ONCE = IN_CACHE // SMALL_SAMPLE
"""The same of one call that is tried: with all that forward makes on its way it stays in cache."""


class Vicinity:
    """Forward around a point, by way of one input.

    Where it takes several points at a time it has to answer for them as it does for each alone, bit by bit. That is
    seen to at two of them: of what is tried each time, as the largest of all points may lie among these; of what is
    promised whenever they are more than before. A forward that does not is asked for one at a time.

    Args:
        forward: returns the outputs for the present contents of ``x``; an array of its own.
        x: the input to displace, of any shape and layout; changed in place and restored bit by bit.
        size: numbers in the outputs.
        together: the same for several contents of ``x``; None where forward takes one point at a time.

    Attributes:
        base: what ``x`` holds, in C order.
        most: points that are evaluated before what is asked of them is looked at.
        ended: what ended an evaluation before its time; None for nothing.
        trusted: points that it answered together for as for each alone, at most.
        at_odds: whether forward, against its promise, answered otherwise for several points than for each alone.

    """

    def __init__(self, forward: Callable[[], Floats], x: Array, size: int, together: Together | None = None) -> None:
        self._forward = forward
        self._x = x
        self._size = size
        self.base = x.copy()
        self._is_small = x.nbytes < LARGE
        self._bits = bits_of(x) if self._is_small else self.base
        self.most = max(1, min(MAX_TABLE, MAX_HELD // max(x.size, size, 1)))
        tried = together is not None and not together.promised
        self._at_once = min(self.most, AT_ONCE // max(x.size, size, 1) if tried else self.most)
        self._together = together if self._at_once > CONFIRMATIONS else None
        self.trusted = 0
        self._room = np.empty((0, size))
        self.ended: Exception | None = None
        self.at_odds = False

    def outputs_at(self, places: Places, values: Any) -> list[Floats]:
        """Return forward's outputs where inputs, or one element of them at a time, hold other values; to be changed."""
        return list(self._evaluated(places, values, whole=True, tried=False))

    def changes_along(self, outputs: Floats, places: NDArray[np.intp], values: Any, *, whole: bool = True) -> Floats:
        """Return how forward's outputs change where one element at a time holds another value: one a row.

        Args:
            outputs: those at the point itself.
            places: of the elements, in C order.
            values: what each holds.
            whole: whether all are needed; else those that there are where calls run out, or anything else, after that,
                in memory that is used again.

        """
        if len(places) > len(self._room):
            self._room = np.empty((len(places), self._size))
        made, known = np.empty((len(places), self._size)) if whole else self._room, 0
        at_once = self._at_once if self._together else self.most
        for first in range(0, len(places), at_once):
            part = slice(first, first + at_once)
            found = self._evaluated(places[part], values[part], whole=whole, tried=True)
            for there in [found] if isinstance(found, np.ndarray) else found:
                beyond = known + there.size // max(1, self._size)
                np.subtract(there, outputs, out=made[known:beyond])
                known = beyond
            if self.ended:
                break
        return made[:known]

    def _evaluated(self, places: Places, values: Sequence[Any], *, whole: bool, tried: bool) -> Iterable[Floats]:
        if self._together is None or not (self._together.promised or tried) or len(values) < 2:
            return self._one_by_one(places, values, whole=whole)
        points = np.repeat(self.base[np.newaxis], len(values), axis=0)
        if places is None:
            points[...] = values
        else:
            points.reshape(len(values), -1)[np.arange(len(values)), places] = values
        outputs = self._together.evaluate(points)
        known = self._together.promised and len(values) <= self.trusted
        if len(outputs) and (known or self._confirmed(places, values, outputs)):
            self.trusted = max(self.trusted, len(values))
            return outputs
        self.at_odds, self._together = self._together.promised and len(outputs) > 0, None
        return self._one_by_one(places, values, whole=whole)

    def _confirmed(self, places: Places, values: Sequence[Any], outputs: Sequence[Floats]) -> bool:
        """Whether forward answers for the first and the last of several points as it did for all together."""
        ends = None if places is None else places[[0, -1]]
        alone = self._one_by_one(ends, [values[0], values[-1]], whole=True)
        pairs = zip(alone, (outputs[0], outputs[-1]), strict=True)
        return all(np.array_equal(one, together, equal_nan=True) for one, together in pairs)

    def verify_restored(self) -> None:
        """Make sure that ``x`` is what it was, bit by bit; nobody else does for single elements of a large one."""
        if not has_bits(self._x, self._bits):
            self._x[...] = self.base

    def _one_by_one(self, places: Places, values: Sequence[Any], *, whole: bool) -> Iterator[Floats]:
        indices: Any = repeat(...)
        if places is not None and self._x.ndim:
            indices = zip(*np.unravel_index(places, self._x.shape), strict=True)
        begun = False
        try:
            for index, value in zip(indices, values, strict=False):
                made = self._at(index, value)
                yield made
                begun = True
        except Exception as ended:
            if whole or not begun:
                raise
            self.ended = ended
        finally:
            if self._is_small:
                self.verify_restored()

    def _at(self, index: Any, value: Any) -> Floats:
        try:
            self._x[index] = value
            return self._forward()
        finally:
            self._x[index] = self.base[index]
