"""Many elements at once: what backward claims of a displacement of the inputs, against what forward does."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, as_reals, copied, count, fused, joined, namespace, on_host, written
from gradaudit.numerics.displacing import Direction, displacing, spans
from gradaudit.numerics.magnitude import rms

Floats = NDArray[np.float64]

ENOUGH = 2**16
"""Elements whose median is that of all."""


class Directional:
    """The claim ``<g, d>`` and the measurement ``<u, f(x + d) - f(x - d)>`` for displacements of several inputs.

    All inputs together are one vector, as ``displacing`` has it; for complex inputs the claim is ``Re(conj(g) d)``.
    Memory beside what it is given: a copy of the inputs, and what two sets of outputs and two of the displaced elements
    take.

    Args:
        forward: returns the outputs for the present contents of the inputs, as ``lifted`` does.
        inputs: what forward takes, by name, of any shape and layout; changed in place, or exchanged in this mapping
            where arrays cannot be written to, and restored bit by bit.
        claimed: the gradients of those to displace, in double precision.
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
        inputs: MutableMapping[str, Array],
        claimed: Mapping[str, Array],
        upstream: Array,
        outputs: Array,
    ) -> None:
        self._forward = forward
        self._bases = {name: copied(inputs[name]) for name in claimed}
        self.claims = joined(tuple(claimed.values()))
        self._inputs = displacing(inputs, self._bases, self.claims)
        self._upstream = upstream
        self._outputs = outputs
        self._signal = rms(upstream * outputs) * math.sqrt(count(outputs))
        self.size = count(self.claims)
        self.evaluations = 0
        self.touched = 1.0
        self.disturbed = False

    def signal(self) -> float:
        """Return ``||u * f(x)||``, which forward's relative noise is multiplied with."""
        return self._signal

    @cached_property
    def scale(self) -> float:
        """The power of two that steps are measured in: the inputs' typical magnitude, at least one."""
        typical = max(float(np.median(np.abs(_some(base)))) for base in self._bases.values() if count(base))
        return 2.0 ** round(math.log2(max(1.0, typical))) if math.isfinite(typical) else 1.0

    def drawn_for(self, start: int, stop: int) -> slice:
        """Return the range of elements that a direction for those from one to another should be drawn of."""
        return self._inputs.drawn_for(start, stop)

    def excess(self, direction: Direction, step: float) -> float:
        """Return how much more backward claims than forward does when elements are displaced.

        The displacement that really happens, after rounding to the inputs' dtypes, is what the claim is made for.

        Returns:
            ``(<g, d> - <u, f(x + d) - f(x - d)> / 2)`` over the step: the sum of the gradient's errors weighted with
            the direction; NaN where forward is not finite.

        """
        try:
            ahead, outputs_ahead = self._displaced(direction, step)
            behind, outputs_behind = self._displaced(direction, -step)
        finally:
            self._restore()
        self.touched = 1.0 if direction.size == self.size else self._share(outputs_ahead != outputs_behind)
        return (ahead - behind - self._change(outputs_ahead, outputs_behind)) / (2 * step)

    def excess_one_sided(self, direction: Direction, step: float) -> float:
        """Return ``(<g, d> - <u, f(x + d) - f(x)>)`` over the step, which tells the two sides of a kink apart."""
        try:
            claimed, outputs = self._displaced(direction, step)
        finally:
            self._restore()
        return (claimed - self._change(outputs, self._outputs)) / step

    def walk(self, direction: Direction, step: float, points: Sequence[int]) -> Floats:
        """Return ``<g, k d> - <u, f(x + k d) - f(x)>`` for each k.

        The claim takes out what the rounding of the displaced elements does to forward: that is no noise of it.
        """
        values = []
        try:
            for k in points:
                claimed, outputs = self._displaced(direction, k * step)
                values.append(claimed - self._change(outputs, self._outputs))
        finally:
            self._restore()
        return np.array(values)

    def alike(self, index: int) -> Array:
        """Return where an input holds the same value as it does at this index."""
        xp = namespace(self.claims)
        mask = xp.zeros_like(self.claims, dtype=xp.bool)
        for name, span in spans(self._bases).items():
            values = as_reals(self._bases[name])
            if span.start <= index < span.stop:
                mask = written(mask, span, values == values[index - span.start])
        return mask

    def _share(self, changed: Array) -> float:
        noisy = namespace(changed).where(changed, self._upstream * self._outputs, 0.0)
        part = rms(noisy) * math.sqrt(count(noisy))
        return part / self._signal if self._signal and math.isfinite(part) else 1.0

    def _displaced(self, direction: Direction, step: float) -> tuple[float, Array]:
        """Displace elements; return what backward claims of where they really went, and forward's outputs there."""
        claimed = self._inputs.displace(direction, step)
        self.evaluations += 1
        return claimed, self._forward()

    def _change(self, outputs: Array, before: Array) -> float:
        """Return by how much the loss changed; the outputs may be lost thereby."""
        return float(fused(_change, outputs)(self._upstream, outputs, before))

    def _restore(self) -> None:
        """Put every input back and note whether it is what it was, bit by bit."""
        self.disturbed |= not self._inputs.restore()


def _change(upstream: Array, outputs: Array, before: Array) -> Array:
    outputs -= before
    return upstream @ outputs


def _some(values: Array) -> NDArray[Any]:
    """Return values, or some of them from all over where there are many."""
    return on_host(values.reshape(-1)[:: 1 + count(values) // ENOUGH])
