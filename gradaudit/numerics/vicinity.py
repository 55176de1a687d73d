"""Forward around one point: for one displaced input after the other, or for many of them at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import LARGE, bits_of, has_bits
from gradaudit.numerics.margins import MAX_LISTED, MAX_TABLE

Array = NDArray[Any]
Floats = NDArray[np.float64]
Index = tuple[int, ...]

Place = tuple[Index, Any]
"""What lies at an index of the input instead of what it holds; with the empty index, what the whole input is."""

Together = Callable[[Array], list[Floats]]
"""Forward for several contents of the input, stacked along a first axis; the outputs of each, as for one."""

Made = TypeVar("Made")

MAX_HELD = MAX_LISTED * LARGE
"""Numbers that the inputs and the outputs of so many points may come to; looks in progress hold a few times as many."""


class Vicinity:
    """Forward around a point, by way of one input.

    Where it takes several points at a time it has to answer for them as it does for each alone, bit by bit. That is
    seen to at two of them whenever they are more than before; a forward that does not is asked for one at a time.

    Args:
        forward: returns the outputs for the present contents of ``x``; an array of its own.
        x: the input to displace, of any shape and layout; changed in place and restored bit by bit.
        size: numbers in the outputs.
        together: the same for several contents of ``x``; None where forward takes one point at a time.

    Attributes:
        disturbed: whether ``x`` was ever not bit-identical after a displacement was undone.
        at_odds: whether forward answered otherwise for several points than for each alone.

    """

    def __init__(self, forward: Callable[[], Floats], x: Array, size: int, together: Together | None = None) -> None:
        self._forward = forward
        self._x = x
        self.base = x.copy()
        self._is_small = x.nbytes < LARGE
        self._bits = bits_of(x) if self._is_small else self.base
        self._most = min(MAX_TABLE, MAX_HELD // max(x.size, size, 1))
        self._together = together if self._most > 1 else None
        self._trusted = 0
        self._look: _Look | None = None
        self.disturbed = False
        self.at_odds = False

    def outputs_at(self, *places: Place) -> list[Floats]:
        """Return forward's outputs at displaced inputs; arrays that may be changed."""
        return self._evaluated(places) if self._look is None else self._look.outputs_at(places)

    def side_by_side(self, look: Callable[[Index], Made], indices: Iterable[Index]) -> Iterator[tuple[Index, Made]]:
        """Yield what a look at each index returns, not always in their order.

        Where forward takes several points at a time, so many looks are under way that what they ask for makes up one
        call. A look that asks for outputs is put off until all of these are there, and then begins again: it has to
        ask for the same as before.
        """
        if self._together is None:
            yield from ((index, look(index)) for index in indices)
            return
        pending = deque(map(_Look, indices))
        put_off: list[_Look] = []
        while pending:
            current = pending.popleft()
            try:
                made = self._begun_again(current, look)
            except _PutOffError:
                put_off.append(current)
            else:
                yield current.index, made
            if not pending or sum(len(one.wanted) for one in put_off) >= self._most:
                self._answer(put_off)
                pending.extendleft(reversed(put_off))
                put_off = []

    def _begun_again(self, current: _Look, look: Callable[[Index], Made]) -> Made:
        self._look, current.turn = current, 0
        try:
            return look(current.index)
        finally:
            self._look = None

    def _answer(self, looks: list[_Look]) -> None:
        outputs = iter(self._evaluated([place for look in looks for place in look.wanted]))
        for look in looks:
            look.answers.append([next(outputs) for _ in look.wanted])

    def _evaluated(self, places: Sequence[Place]) -> list[Floats]:
        if self._together is None or len(places) < 2:
            return self._one_by_one(places)
        points = np.repeat(self.base[np.newaxis], len(places), axis=0)
        for k, (index, value) in enumerate(places):
            points[(k, *index)] = value
        outputs = self._together(points)
        if len(places) <= self._trusted or self._confirmed(places, outputs):
            self._trusted = max(self._trusted, len(places))
            return outputs
        self._together, self.at_odds = None, True
        return self._one_by_one(places)

    def _confirmed(self, places: Sequence[Place], outputs: list[Floats]) -> bool:
        """Whether forward answers for the first and the last of several points as it did for all together."""
        first, last = self._one_by_one([places[0], places[-1]])
        pairs = ((first, outputs[0]), (last, outputs[-1]))
        return all(np.array_equal(alone, together, equal_nan=True) for alone, together in pairs)

    def verify_restored(self) -> None:
        """Make sure that ``x`` is what it was, bit by bit; nobody else does for single elements of a large one."""
        if not has_bits(self._x, self._bits):
            self.disturbed = True
            self._x[...] = self.base

    def _one_by_one(self, places: Iterable[Place]) -> list[Floats]:
        try:
            return [self._at(index, value) for index, value in places]
        finally:
            if self._is_small:
                self.verify_restored()

    def _at(self, index: Index, value: Any) -> Floats:
        try:
            self._x[index] = value
            return self._forward()
        finally:
            self._x[index] = self.base[index]


@dataclass
class _Look:
    """A look under way.

    Attributes:
        index: where.
        answers: the outputs that it has been given, in the order in which it asked.
        turn: how often it has asked since it began again.
        wanted: what it asked for when it was put off.

    """

    index: Index
    answers: list[list[Floats]] = field(default_factory=list)
    turn: int = 0
    wanted: tuple[Place, ...] = ()

    def outputs_at(self, places: tuple[Place, ...]) -> list[Floats]:
        if self.turn == len(self.answers):
            self.wanted = places
            raise _PutOffError
        self.turn += 1
        return [outputs.copy() for outputs in self.answers[self.turn - 1]]


class _PutOffError(Exception):
    """A look asks for outputs that are not there yet."""
