"""Inputs displaced along a direction and put back: in place, or exchanged for others where nothing can be written to.

All inputs together are one vector of real numbers, in C order, a complex number counting as two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise

from gradaudit.numerics.arrays import (
    Array,
    as_reals,
    cast,
    compiled,
    copied,
    count,
    dtype_name,
    has_complex_dtype,
    in_cache,
    inner,
    is_contiguous,
    is_writable,
    namespace,
)

Scales = Mapping[str, float | Array]
"""By input, the power of two that its displacements are measured in: one for all of its numbers, or one for each."""


@dataclass(frozen=True)
class Direction:
    """How the elements from ``start`` to ``stop`` are displaced at step 1; others that were drawn for stay.

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

    @property
    def displacements(self) -> Array:
        """Those of the elements that are displaced, at step 1."""
        return self.drawn[self.start - self.first : self.stop - self.first]

    def halves(self) -> tuple[Direction, Direction]:
        """Return the direction for the first half of its elements, and for the others."""
        middle = self.start + self.size // 2
        first, stop = (self.drawn, self.first, self.start, middle), (self.drawn, self.first, middle, self.stop)
        return Direction(*first), Direction(*stop)


def displacing(
    inputs: MutableMapping[str, Array], bases: Mapping[str, Array], claims: Array, scales: Scales
) -> InPlace | Exchanging:
    """Return what displaces some inputs.

    Args:
        inputs: by name; arrays that cannot be written to are exchanged in it.
        bases: the undisplaced ones of those to displace, which nobody else writes to.
        claims: the claimed gradients of these as one vector.
        scales: what the displacements of each input are measured in.

    """
    kind = InPlace if all(is_writable(base) for base in bases.values()) else Exchanging
    return kind(inputs, bases, claims, scales)


def spans(arrays: Mapping[str, Array]) -> dict[str, slice]:
    """Return the range of the one vector that each array's numbers are."""
    sizes = (count(x) * (2 if has_complex_dtype(x) else 1) for x in arrays.values())
    return dict(zip(arrays, (slice(*ends) for ends in pairwise(accumulate(sizes, initial=0))), strict=True))


@dataclass(frozen=True)
class Piece:
    """A range of one input's numbers.

    Attributes:
        numbers: where they are written to: in the input, or beside it.
        base: what they were.
        claims: what is claimed of them.
        drawn: which part of what was drawn they are moved by.
        scale: the unit of their displacements.
        put: puts what was written beside the input into it, and returns what it holds then; None where it is there.

    """

    numbers: Array
    base: Array
    claims: Array
    drawn: slice
    scale: float | Array
    put: Callable[[], Array] | None

    def write(self, drawn: Array, step: float) -> Array:
        """Move the numbers and return how far they really went."""
        here = self.numbers
        here[...] = drawn
        here *= step * self.scale
        here += self.base
        return (here if self.put is None else self.put()) - self.base


class InPlace:
    """Inputs that are written to, range by range where that can be. Memory: a copy of an input that is not flat."""

    def __init__(self, inputs: Mapping[str, Array], bases: Mapping[str, Array], claims: Array, scales: Scales) -> None:
        self._inputs = inputs
        self._bases = bases
        self._claims = claims
        self._scales = scales
        self._spans = spans(bases)
        self._cut = (0, 0, 0)
        self._kept: list[Piece] = []

    def drawn_for(self, start: int, stop: int) -> slice:
        """Return the range of elements that a direction for some of them should be drawn of: these themselves."""
        return slice(start, stop)

    def displace(self, direction: Direction, step: float) -> float:
        """Displace the inputs; return what is claimed of where they really went, after rounding to their dtypes.

        Args:
            direction: drawn for what ``drawn_for`` says, or for all elements.
            step: what to multiply it with.

        """
        claimed = 0.0
        # Large arrays are gone through from their end: what forward wrote last, and reads first, stays in cache.
        for piece in reversed(self._pieces(direction)):
            claimed += inner(piece.claims, piece.write(direction.drawn[piece.drawn], step))
        return claimed

    def restore(self) -> None:
        """Write the bases back."""
        for name, base in self._bases.items():
            self._inputs[name][...] = base

    def _pieces(self, direction: Direction) -> list[Piece]:
        """Return the ranges of the inputs that a direction covers, kept for the next displacement."""
        cut = (direction.first, direction.start, direction.stop)
        if self._cut == cut:
            return self._kept
        pieces = []
        for name, span in self._spans.items():
            x, base, scale = self._inputs[name], as_reals(self._bases[name]), self._scales[name]
            low = max(direction.start, span.start)
            claims = self._claims[low : max(low, min(direction.stop, span.stop))]
            flat = _is_flat(x)
            numbers = x.reshape(-1) if flat else copied(base)
            # What can be written range by range is, so that each stays in cache from one operation to the next.
            for part in in_cache(claims) if flat else [slice(0, count(claims))] if count(claims) else []:
                firsts = (low - span.start, low - direction.first)
                inside, drawn = (slice(first + part.start, first + part.stop) for first in firsts)
                unit = scale if isinstance(scale, float) else scale[inside]
                put = None if flat else partial(_put, x, numbers, inside)
                pieces.append(Piece(numbers[inside], base[inside], claims[part], drawn, unit, put))
        self._cut, self._kept = cut, pieces
        return pieces


class Exchanging:
    """Inputs of which displaced ones are made anew each time, all of the same shapes so that they are compiled once."""

    def __init__(
        self, inputs: MutableMapping[str, Array], bases: Mapping[str, Array], claims: Array, scales: Scales
    ) -> None:
        self._inputs = inputs
        self._bases = bases
        self._scales = scales
        self._size = count(claims)
        self._spans = spans(bases)
        self._claims = {name: self._part(claims, name) for name in bases}

    def drawn_for(self, start: int, stop: int) -> slice:
        """Return the range of all elements, which keeps shapes."""
        return slice(0, self._size)

    def displace(self, direction: Direction, step: float) -> float:
        """Displace the inputs as ``InPlace`` does: exchange all, those that the direction is not for, for the same."""
        claimed = 0.0
        for name, base in self._bases.items():
            first = self._spans[name].start
            ends = direction.start - first, direction.stop - first
            x = compiled(_displaced)(base, self._part(direction.drawn, name), *ends, step * self._scales[name])
            claimed += float(compiled(_claimed)(self._claims[name], x, base))
            self._inputs[name] = x
        return claimed

    def restore(self) -> None:
        """Exchange all inputs for their bases, which nobody can have written to."""
        self._inputs.update(self._bases)

    def _part(self, vector: Array, name: str) -> Array:
        return vector if len(self._spans) == 1 else vector[self._spans[name]]


def _put(x: Array, numbers: Array, inside: slice) -> Array:
    """Write all numbers of an input that is not flat, and return those of a range, rounded to its dtype."""
    x[...] = _shaped_as(x, numbers)
    return as_reals(x)[inside]


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
