"""Many elements at once: what backward claims of a displacement of the inputs, against what forward does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.loss import Floats, rms

Array = NDArray[Any]


class Directional:
    """The claim ``<g, d>`` and the measurement ``<u, f(x + d) - f(x - d)>`` for displacements of several inputs.

    All inputs together are one vector of real numbers, in C order, a complex number counting as two; for complex
    inputs the claim is ``Re(conj(g) d)``.

    Args:
        forward: returns the outputs for the present contents of the inputs, as ``lifted`` does.
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
        forward: Callable[[], Floats],
        inputs: Sequence[Array],
        claimed: Sequence[Array],
        upstream: Floats,
        outputs: Floats,
    ) -> None:
        self._forward = forward
        self._inputs = inputs
        self._bases = [x.copy() for x in inputs]
        flat = [_as_reals(gradient) for gradient in claimed]
        self.claims = flat[0] if len(flat) == 1 else np.concatenate(flat)
        self._ends = np.cumsum([part.size for part in flat])
        self._upstream = upstream
        self._outputs = outputs
        self.size = int(self._ends[-1])
        self.evaluations = 0
        self.touched = 1.0
        self.disturbed = False

    def signal(self) -> float:
        """Return ``||u * f(x)||``, which forward's relative noise is multiplied with."""
        return rms(self._upstream * self._outputs) * math.sqrt(self._outputs.size)

    def scale(self) -> float:
        """Return the power of two that steps are measured in: the inputs' typical magnitude, at least one."""
        squares = sum(rms(base) ** 2 * base.size for base in self._bases)
        return 2.0 ** round(math.log2(max(1.0, math.sqrt(squares / max(1, self.size)))))

    def excess(self, start: int, displacement: Floats) -> float:
        """Return how much more backward claims than forward does when elements from ``start`` on are displaced.

        The displacement that really happens, after rounding to the inputs' dtypes, is what the claim is made for.

        Returns:
            ``(<g, d> - <u, f(x + d) - f(x - d)> / 2)``, the sum of the gradient's errors weighted with ``d``; NaN where
            forward is not finite.

        """
        moved = np.empty_like(displacement)
        change = self._outputs_displaced(start, displacement, moved)
        np.negative(displacement, out=displacement)
        back = np.empty_like(displacement)
        change -= self._outputs_displaced(start, displacement, back)
        np.negative(displacement, out=displacement)
        moved -= back
        self.touched = 1.0 if moved.size == self.size else self._share(change)
        claimed = float(self.claims[start : start + moved.size] @ moved)
        return (claimed - float(self._upstream @ change)) / 2

    def _share(self, change: Floats) -> float:
        signal = self.signal()
        part = rms((self._upstream * self._outputs)[change != 0.0]) * math.sqrt(float(np.count_nonzero(change)))
        return part / signal if signal and math.isfinite(part) else 1.0

    def excess_one_sided(self, start: int, displacement: Floats) -> float:
        """Return ``<g, d> - <u, f(x + d) - f(x)>``, which tells the two sides of a kink apart."""
        moved = np.empty_like(displacement)
        change = self._outputs_displaced(start, displacement, moved)
        change -= self._outputs
        for base, inside, part in self._pieces(start, displacement.size):
            moved[part] -= _as_reals(base)[inside]
        return float(self.claims[start : start + moved.size] @ moved) - float(self._upstream @ change)

    def alike(self, indices: Sequence[int]) -> NDArray[np.bool_]:
        """Return where an input holds the same value as it does at one of these indices."""
        mask = np.zeros(self.size, dtype=bool)
        first = 0
        for base, end in zip(self._bases, self._ends, strict=True):
            values = _as_reals(base)
            known = [values[index - first] for index in indices if first <= index < end]
            mask[first:end] = np.isin(values, known)
            first = int(end)
        return mask

    def walk(self, start: int, displacement: Floats, points: Sequence[int]) -> Floats:
        """Return ``<u, f(x + k d) - f(x)>`` for each k, with the elements from ``start`` on displaced by ``k d``."""
        moved = np.empty_like(displacement)
        values = []
        for k in points:
            change = self._outputs_displaced(start, k * displacement, moved)
            change -= self._outputs
            values.append(float(self._upstream @ change))
        return np.array(values)

    def _outputs_displaced(self, start: int, displacement: Floats, moved: Floats) -> Floats:
        """Return forward's outputs with the elements displaced, and in ``moved`` where these really lay."""
        try:
            for x, base, inside, part in self._pieces_with_inputs(start, displacement.size):
                _displace(x, base, inside, displacement[part], moved[part])
            self.evaluations += 1
            return self._forward()
        finally:
            for x, base, _, _ in self._pieces_with_inputs(start, displacement.size):
                x[...] = base

    def _pieces(self, start: int, count: int) -> list[tuple[Array, slice, slice]]:
        return [(base, inside, part) for _, base, inside, part in self._pieces_with_inputs(start, count)]

    def _pieces_with_inputs(self, start: int, count: int) -> list[tuple[Array, Array, slice, slice]]:
        """Return the inputs that a range of the one vector touches, where in each, and which part of the range."""
        pieces = []
        first = 0
        for x, base, end in zip(self._inputs, self._bases, self._ends, strict=True):
            low, high = max(start, first), min(start + count, int(end))
            if low < high:
                pieces.append((x, base, slice(low - first, high - first), slice(low - start, high - start)))
            first = int(end)
        return pieces


def _as_reals(array: Array) -> Floats:
    """Return the numbers of an array in C order as float64; a complex one becomes its real and imaginary parts."""
    if array.dtype.kind == "c":
        return np.ascontiguousarray(array, dtype=np.complex128).reshape(-1).view(np.float64)
    return np.ascontiguousarray(array, dtype=np.float64).reshape(-1)


def _displace(x: Array, base: Array, inside: slice, displacement: Floats, moved: Floats) -> None:
    """Add a displacement to some elements of an input, and write where they really lie then to ``moved``."""
    np.add(_as_reals(base)[inside], displacement, out=moved)
    if x.dtype == np.float64 and x.flags.c_contiguous:
        x.reshape(-1)[inside] = moved
        return
    whole = _as_reals(base).copy()
    whole[inside] = moved
    x[...] = (whole.view(np.complex128) if x.dtype.kind == "c" else whole).reshape(x.shape)
    moved[...] = _as_reals(x)[inside]
