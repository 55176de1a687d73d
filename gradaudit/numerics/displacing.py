"""Inputs displaced along a direction and put back: in place, or exchanged for others where nothing can be written to.

All inputs together are one vector of real numbers, in C order, a complex number counting as two.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from gradaudit.numerics.arrays import (
    Array,
    as_reals,
    at_a_time,
    cast,
    copied,
    count,
    dtype_name,
    fused,
    has_complex_dtype,
    is_contiguous,
    is_writable,
    namespace,
    same_bits,
    written,
)


@dataclass(frozen=True)
class Direction:
    """How the elements from ``start`` to ``stop`` are displaced at step 1; what was drawn may be of more elements.

    Attributes:
        drawn: displacements of the elements from ``first`` on.
        first: the element that they begin with.
        start: the first element that is displaced.
        stop: the one after the last.

    """

    drawn: Array
    first: int
    start: int
    stop: int

    @classmethod
    def of(cls, drawn: Array, first: int = 0) -> Direction:
        """Return the direction that displaces every element which a displacement is given for."""
        return cls(drawn, first, first, first + count(drawn))

    @property
    def size(self) -> int:
        """Elements that are displaced."""
        return self.stop - self.start

    def halves(self) -> tuple[Direction, Direction]:
        """Return the direction for the first half of its elements, and for the others."""
        middle = self.start + self.size // 2
        first, stop = (self.drawn, self.first, self.start, middle), (self.drawn, self.first, middle, self.stop)
        return Direction(*first), Direction(*stop)


class Displacing(Protocol):
    """Inputs that can be displaced."""

    def drawn_for(self, start: int, stop: int) -> slice:
        """Return the range of elements that a direction for some of them should be drawn of."""
        ...

    def displace(self, direction: Direction, step: float) -> float:
        """Displace the inputs; return what is claimed of where they really went, after rounding to their dtypes."""
        ...

    def restore(self) -> bool:
        """Put every input back; return whether each is what it was, bit by bit."""
        ...


def displacing(inputs: MutableMapping[str, Array], bases: Mapping[str, Array], claims: Array) -> Displacing:
    """Return what displaces some inputs.

    Args:
        inputs: by name; arrays that cannot be written to are exchanged in it.
        bases: the undisplaced ones of those to displace, which nobody else writes to.
        claims: the claimed gradients of these as one vector.

    """
    kind = InPlace if all(is_writable(base) for base in bases.values()) else Exchanging
    return kind(inputs, bases, claims)


def spans(arrays: Mapping[str, Array]) -> dict[str, slice]:
    """Return the range of the one vector that each array's numbers are."""
    sizes = (count(x) * (2 if has_complex_dtype(x) else 1) for x in arrays.values())
    return dict(zip(arrays, (slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))), strict=True))


@dataclass(frozen=True)
class Piece:
    """A range of one input's numbers: which input, where in it, and where in the one vector and in a direction."""

    x: Array
    base: Array
    inside: slice
    whole: slice
    drawn: slice


class InPlace:
    """Inputs that are written to. Memory: what the displaced elements take, or one input that is not flat."""

    def __init__(self, inputs: Mapping[str, Array], bases: Mapping[str, Array], claims: Array) -> None:
        self._inputs = inputs
        self._bases = bases
        self._claims = claims
        self._spans = spans(bases)
        self._cut = (0, 0, 0)
        self._kept: list[Piece] = []

    def drawn_for(self, start: int, stop: int) -> slice:
        """Return the range of the elements themselves."""
        return slice(start, stop)

    def displace(self, direction: Direction, step: float) -> float:
        """Write to the elements that the direction is for."""
        claimed = 0.0
        for piece in self._pieces(direction):
            moved = _write(piece, direction.drawn, step)
            claimed += float(self._claims[piece.whole] @ moved)
        return claimed

    def restore(self) -> bool:
        """Write the bases back; forward may have kept an input and write to it meanwhile."""
        same = True
        for name, base in self._bases.items():
            x = self._inputs[name]
            x[...] = base
            same &= same_bits(x, base)
        return same

    def _pieces(self, direction: Direction) -> list[Piece]:
        """Return the ranges of the inputs that a direction covers, kept for the next displacement."""
        cut = (direction.first, direction.start, direction.stop)
        if self._cut == cut:
            return self._kept
        pieces = []
        for name, span in self._spans.items():
            x, base = self._inputs[name], as_reals(self._bases[name])
            low, high = max(direction.start, span.start), min(direction.stop, span.stop)
            most = at_a_time(x) if _is_flat(x) else max(1, high - low)
            for begin in range(low, high, most):
                whole = slice(begin, min(begin + most, high))
                pieces.append(Piece(x, base, _less(whole, span.start), whole, _less(whole, direction.first)))
        self._cut, self._kept = cut, pieces
        return pieces


class Exchanging:
    """Inputs of which displaced ones are made anew each time, all of the same shapes so that they are compiled once."""

    def __init__(self, inputs: MutableMapping[str, Array], bases: Mapping[str, Array], claims: Array) -> None:
        self._inputs = inputs
        self._bases = bases
        self._spans = spans(bases)
        self._claims = {name: self._part(claims, name) for name in bases}

    def drawn_for(self, start: int, stop: int) -> slice:
        """Return the range of all elements."""
        return slice(0, self._size)

    def displace(self, direction: Direction, step: float) -> float:
        """Exchange all inputs."""
        claimed = 0.0
        drawn = direction.drawn
        if count(drawn) < self._size:
            whole = slice(direction.first, direction.first + count(drawn))
            drawn = written(namespace(drawn).zeros(self._size, dtype=drawn.dtype), whole, drawn)
        for name, base in self._bases.items():
            first = self._spans[name].start
            ends = direction.start - first, direction.stop - first
            x = self._inputs[name] = fused(_displaced, base)(base, self._part(drawn, name), *ends, step)
            claimed += float(fused(_claimed, base)(self._claims[name], x, base))
        return claimed

    def restore(self) -> bool:
        """Exchange all inputs for their bases, which nobody can have written to."""
        self._inputs.update(self._bases)
        return True

    @property
    def _size(self) -> int:
        return int(max(span.stop for span in self._spans.values()))

    def _part(self, vector: Array, name: str) -> Array:
        return vector if len(self._spans) == 1 else vector[self._spans[name]]


def _less(places: slice, first: int) -> slice:
    return slice(places.start - first, places.stop - first)


def _write(piece: Piece, drawn: Array, step: float) -> Array:
    """Move some elements of an input and return how far they really went."""
    moved = cast(drawn[piece.drawn], "float64") * step
    moved += piece.base[piece.inside]
    x = piece.x
    if _is_flat(x):
        x.reshape(-1)[piece.inside] = moved
    else:
        reals = copied(piece.base)
        reals[piece.inside] = moved
        x[...] = _shaped_as(x, reals)
        moved = copied(as_reals(x)[piece.inside])
    moved -= piece.base[piece.inside]
    return moved


def _displaced(x: Array, drawn: Array, start: int, stop: int, step: float) -> Array:
    """Return an input with its numbers from one place to another displaced."""
    xp, base = namespace(x), as_reals(x)
    places = xp.arange(count(base))
    moved = xp.where((start <= places) & (places < stop), base + step * cast(drawn, "float64"), base)
    return cast(_shaped_as(x, moved), dtype_name(x.dtype))


def _claimed(claims: Array, x: Array, base: Array) -> Array:
    """Return what is claimed of an input that was displaced; apart from that, so that its rounding is none here."""
    return claims @ (as_reals(x) - as_reals(base))


def _shaped_as(x: Array, reals: Array) -> Array:
    """Return numbers in double precision as elements of an input's shape."""
    return (reals.view(namespace(x).complex128) if has_complex_dtype(x) else reals).reshape(x.shape)


def _is_flat(x: Array) -> bool:
    """Whether a range of an input's numbers can be written by itself."""
    return dtype_name(x.dtype) == "float64" and is_contiguous(x)
