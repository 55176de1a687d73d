"""Many elements at once: what backward claims of a displacement of the inputs, against what forward does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import (
    Array,
    as_reals,
    copied,
    count,
    dtype_name,
    has_complex_dtype,
    in_cache,
    is_contiguous,
    joined,
    namespace,
    on_host,
    same_bits,
)
from gradaudit.numerics.magnitude import norm_of_product

Floats = NDArray[np.float64]

ENOUGH = 2**16
"""Elements whose median is that of all."""


@dataclass(frozen=True)
class Piece:
    """A range of one input's numbers: what is claimed of them, and which part of a displacement they are moved by.

    ``base`` holds all numbers of the input, as they were, and ``inside`` says which of them these are.
    """

    x: Array
    base: Array
    claims: Array
    inside: slice
    part: slice


class Directional:
    """The claim ``<g, d>`` and the measurement ``<u, f(x + d) - f(x - d)>`` for displacements of several inputs.

    All inputs together are one vector of real numbers, in C order, a complex number counting as two; for complex
    inputs the claim is ``Re(conj(g) d)``. Memory beside what it is given: a copy of the inputs.

    Args:
        forward: returns the outputs for the present contents of the inputs, as ``joined`` does: they are done with
            before the inputs change or forward is called again.
        inputs: the arrays to displace, of any shape and layout; changed in place and restored bit by bit.
        claimed: the gradient of each, in double precision.
        upstream: as ``lifted`` returns it.
        outputs: ``forward()`` at the undisplaced point.

    Attributes:
        size: real numbers in all inputs.
        claims: the claimed gradients as one vector.
        evaluations: calls of forward so far.
        touched: share of forward's noise that lay in outputs which the last displacement of a part of the elements
            changed; 1 after a displacement of all.
        disturbed: whether an input was ever not bit-identical after a displacement was undone.

    """

    def __init__(
        self,
        forward: Callable[[], Array],
        inputs: Sequence[Array],
        claimed: Sequence[Array],
        upstream: Array,
        outputs: Array,
    ) -> None:
        self._forward = forward
        self._inputs = inputs
        self._bases = [copied(x) for x in inputs]
        self.claims = joined(tuple(claimed))
        self._ends = np.cumsum([count(x) * (2 if has_complex_dtype(x) else 1) for x in inputs])
        self._upstream = upstream
        self._outputs = outputs
        self._signal = norm_of_product(upstream, outputs)
        self.size = int(self._ends[-1])
        self._cut = (0, 0)
        self._kept: list[Piece] = []
        self.evaluations = 0
        self.touched = 1.0
        self.disturbed = False

    def signal(self) -> float:
        """Return ``||u * f(x)||``, which forward's relative noise is multiplied with."""
        return self._signal

    @cached_property
    def scale(self) -> float:
        """The power of two that steps are measured in: the inputs' typical magnitude, at least one."""
        typical = max(float(np.median(np.abs(_some(base)))) for base in self._bases if count(base))
        return 2.0 ** round(math.log2(max(1.0, typical))) if math.isfinite(typical) else 1.0

    def excess(self, start: int, direction: Array, step: float) -> float:
        """Return how much more backward claims than forward does when elements from ``start`` on are displaced.

        The displacement that really happens, after rounding to the inputs' dtypes, is what the claim is made for.

        Args:
            start: the first element to displace.
            direction: the displacement at step 1, of as many elements as there are to displace.
            step: what to multiply it with.

        Returns:
            ``(<g, d> - <u, f(x + d) - f(x - d)> / 2)`` over the step: the sum of the gradient's errors weighted with
            the direction; NaN where forward is not finite.

        """
        xp = namespace(self._outputs)
        changed = xp.zeros_like(self._outputs, dtype=xp.bool) if count(direction) < self.size else None
        try:
            ahead, behind = [self._off(start, direction, side * step, changed) for side in (1.0, -1.0)]
        finally:
            self._restore()
        self.touched = 1.0 if changed is None else self._share(changed)
        return (ahead - behind) / (2 * step)

    def excess_one_sided(self, start: int, direction: Array, step: float) -> float:
        """Return ``(<g, d> - <u, f(x + d) - f(x)>)`` over the step, which tells the two sides of a kink apart."""
        return float(self.walk(start, direction, step, [1])[0]) / step

    def walk(self, start: int, direction: Array, step: float, points: Sequence[int]) -> Floats:
        """Return ``<g, k d> - <u, f(x + k d) - f(x)>`` for each k, with the elements from ``start`` on displaced.

        The claim takes out what the rounding of the displaced elements does to forward: that is no noise of it.
        """
        try:
            return np.array([self._off(start, direction, k * step) for k in points])
        finally:
            self._restore()

    def alike(self, index: int) -> Array:
        """Return where an input holds the same value as it does at this index."""
        xp = namespace(self.claims)
        mask = xp.zeros_like(self.claims, dtype=xp.bool)
        for first, base in zip((0, *self._ends), self._bases, strict=False):
            values = as_reals(base)
            if first <= index < first + count(values):
                mask[first : first + count(values)] = values == values[index - first]
        return mask

    def _share(self, changed: Array) -> float:
        part = norm_of_product(self._upstream[changed], self._outputs[changed])
        return part / self._signal if self._signal and math.isfinite(part) else 1.0

    def _off(self, start: int, direction: Array, step: float, changed: Array | None = None) -> float:
        """Displace elements; return what backward claims of where they really went, less what forward makes of it.

        Outputs that forward changed are marked in ``changed``.
        """
        claimed = measured = 0.0
        # Large arrays are gone through from their end: what forward wrote last, and reads first, stays in cache.
        for piece in reversed(self._pieces(start, count(direction))):
            claimed += float(piece.claims @ _displace(piece, direction[piece.part], step))
        self.evaluations += 1
        outputs = self._forward()
        for part in reversed(list(in_cache(outputs))):
            change = outputs[part] - self._outputs[part]
            measured += float(self._upstream[part] @ change)
            if changed is not None:
                changed[part] |= change != 0.0
        return claimed - measured

    def _restore(self) -> None:
        """Put every input back and make sure that it is what it was, bit by bit."""
        for x, base in zip(self._inputs, self._bases, strict=True):
            flat = is_contiguous(x)
            here, was = (x.reshape(-1), base.reshape(-1)) if flat else (x, base)
            for part in in_cache(here) if flat else (...,):
                here[part] = was[part]
                self.disturbed |= not same_bits(here[part], was[part])

    def _pieces(self, start: int, length: int) -> list[Piece]:
        """Return the ranges of the inputs that a range of the one vector covers, kept for the next displacement."""
        if self._cut == (start, length):
            return self._kept
        pieces = []
        first = 0
        for x, base, end in zip(self._inputs, self._bases, self._ends, strict=True):
            low, high = max(start, first), max(start, first, min(start + length, int(end)))
            claims, was = self.claims[low:high], as_reals(base)
            # What can be written range by range is, so that each stays in cache from one operation to the next.
            for part in in_cache(claims) if _is_flat(x) else [slice(0, high - low)] if low < high else []:
                inside = slice(low - first + part.start, low - first + part.stop)
                moved_by = slice(low - start + part.start, low - start + part.stop)
                pieces.append(Piece(x, was, claims[part], inside, moved_by))
            first = int(end)
        self._cut, self._kept = (start, length), pieces
        return pieces


def _displace(piece: Piece, direction: Array, step: float) -> Array:
    """Move some elements of an input and return how far they really went."""
    base, x = piece.base[piece.inside], piece.x
    in_place = _is_flat(x)
    numbers = x.reshape(-1) if in_place else copied(piece.base)
    here = numbers[piece.inside]
    here[...] = direction
    here *= step
    here += base
    if not in_place:
        x[...] = (numbers.view(namespace(x).complex128) if has_complex_dtype(x) else numbers).reshape(x.shape)
        here = as_reals(x)[piece.inside]
    return here - base


def _is_flat(x: Array) -> bool:
    """Whether a range of an input's numbers can be written by itself."""
    return dtype_name(x.dtype) == "float64" and is_contiguous(x)


def _some(values: Array) -> NDArray[Any]:
    """Return values, or some of them from all over where there are many."""
    return on_host(values.reshape(-1)[:: 1 + count(values) // ENOUGH])
