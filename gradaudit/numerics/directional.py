"""Many elements at once: what backward claims of a displacement of the inputs, against what forward does."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import (
    Array,
    as_reals,
    cast,
    copied,
    count,
    dtype_name,
    in_cache,
    inner,
    joined,
    largest,
    namespace,
    on_host,
    same_bits,
    written,
)
from gradaudit.numerics.displacing import Direction, Scales, displacing, spans
from gradaudit.numerics.magnitude import norm, norm_of_product, quantile
from gradaudit.spec.dtypes import spacing

Floats = NDArray[np.float64]


class Directional:
    """The claim ``<g, d>`` and the measurement ``<u, f(x + d) - f(x - d)>`` for displacements of several inputs.

    All inputs together are one vector, as ``displacing`` has it; for complex inputs the claim is ``Re(conj(g) d)``.
    Memory beside what it is given: a copy of the inputs.

    Args:
        forward: returns the outputs for the present contents of the inputs, as ``joined`` does: they are done with
            before the inputs change or forward is called again.
        inputs: what forward takes, by name, of any shape and layout; changed in place, or exchanged in this mapping
            where arrays cannot be written to, and restored bit by bit.
        claimed: the gradients of those to displace, in double precision.
        upstream: as ``lifted`` returns it.
        outputs: ``forward()`` at the undisplaced point.
        scales: what the displacements of each input are measured in.

    Attributes:
        size: real numbers in all inputs.
        claims: the claimed gradients as one vector.
        inputs: those that are displaced.
        touched: share of forward's noise that lay in outputs which the last displacement changed, where that was
            watched; else 1.
        bend: how much less forward rises over the last displacement and its opposite than a line does.
        moved: share of the outputs themselves that changed then.

    """

    def __init__(
        self,
        forward: Callable[[], Array],
        inputs: MutableMapping[str, Array],
        claimed: Mapping[str, Array],
        upstream: Array,
        outputs: Array,
        scales: Scales,
    ) -> None:
        self._forward = forward
        self._given = inputs
        self._scales = scales
        self._bases = {name: copied(inputs[name]) for name in claimed}
        self.claims = joined(tuple(claimed.values()))
        self.inputs = displacing(inputs, self._bases, self.claims, scales)
        self._upstream = upstream
        self._outputs = outputs
        self.size = count(self.claims)
        self.touched = self.moved = 1.0
        self.bend = 0.0
        # Gone through from the end, as inputs are displaced: what forward wrote last is still in cache.
        self._parts = tuple(in_cache(outputs))[::-1]

    @cached_property
    def signal(self) -> float:
        """``||u * f(x)||``, which forward's relative noise is multiplied with."""
        return norm_of_product(self._upstream, self._outputs)

    def sizes_along(self, direction: Direction) -> tuple[float, float]:
        """Return what the gradient of each element claims of a direction, and its length, as root sums of squares."""
        scale, drawn = self.by_number(self._scales), direction.displacements
        claimed, lengths = [], []
        for part in in_cache(drawn):
            places = slice(direction.start + part.start, direction.start + part.stop)
            moved = cast(drawn[part], "float64") * (scale if isinstance(scale, float) else scale[places])
            lengths.append(norm(moved))
            claimed.append(norm(self.claims[places] * moved))
        return math.hypot(*claimed), math.hypot(*lengths)

    def by_number(self, values: Scales) -> float | Array:
        """Return what holds for each number of the one vector, given what holds for each input."""
        given = [values[name] for name in self._bases]
        if all(isinstance(value, float) for value in given) and len(set(given)) == 1:
            return given[0]
        parts = [values[name] + namespace(reals).zeros_like(reals) for name, reals in self._reals()]
        return namespace(parts[0]).concat(parts)

    def _reals(self) -> Iterator[tuple[str, Array]]:
        return ((name, as_reals(base)) for name, base in self._bases.items())

    @cached_property
    def coarsest(self) -> float:
        """The largest distance between an element and the next number of its dtype, in units of its scale."""
        both = self._grids()
        return max(largest(x) * grid if isinstance(grid, float) else largest(x * grid) for x, grid in both)

    def grid(self) -> Array:
        """Return the distance between each element and the next number of its dtype, in units of its scale.

        It may be up to half as much again.
        """
        return joined(tuple(abs(base) * grid for base, grid in self._grids()))

    def _grids(self) -> Iterator[tuple[Array, Any]]:
        """Yield the numbers of each input, and what the distance is where they are one."""
        for name, base in self._bases.items():
            yield as_reals(base), spacing(dtype_name(base.dtype)) / self._scales[name]

    def magnitude(self, elements: Array) -> float:
        """Return the median magnitude of the elements where a mask is true, in units of their scales."""
        scaled = joined(tuple(abs(reals) / self._scales[name] for name, reals in self._reals()))
        return quantile(on_host(scaled[elements]), 0.5)

    def excess(self, direction: Direction, step: float, *, watched: bool = False) -> float:
        """Return how much more backward claims than forward does when elements are displaced.

        The displacement that really happens, after rounding to the inputs' dtypes, is what the claim is made for.

        Args:
            direction: how the elements are displaced at step 1, in units of their scales.
            step: what to multiply it with.
            watched: whether to find out which outputs change, as for a part of the elements is done anyway.

        Returns:
            ``(<g, d> - <u, f(x + d) - f(x - d)> / 2)`` over the step: the sum of the gradient's errors weighted with
            the direction; NaN where forward is not finite.

        """
        changed: dict[int, Array] | None = {} if watched or direction.size < self.size else None
        ahead, behind = self._offs(direction, (step, -step), changed)
        self.bend = ahead + behind
        self._record(changed)
        return (ahead - behind) / (2 * step)

    def excess_one_sided(self, direction: Direction, step: float, *, watched: bool = False) -> float:
        """Return ``(<g, d> - <u, f(x + d) - f(x)>)`` over the step, which tells the two sides of a kink apart.

        What is watched is as for ``excess``.
        """
        changed: dict[int, Array] | None = {} if watched else None
        (off,) = self._offs(direction, (step,), changed)
        self._record(changed)
        return off / step

    def walk(self, direction: Direction, step: float, points: Sequence[int]) -> Floats:
        """Return ``<g, k d> - <u, f(x + k d) - f(x)>`` for each k.

        The claim takes out what the rounding of the displaced elements does to forward: that is no noise of it.
        """
        return np.array(self._offs(direction, [k * step for k in points]))

    def is_restored(self) -> bool:
        """Whether every input is what it was, bit by bit: forward may have kept one and written to it since."""
        return all(same_bits(self._given[name], base) for name, base in self._bases.items())

    def slopes(self, direction: Direction, step: float) -> tuple[Array, Array]:
        """Return what each output adds to the change of the loss over a step forth and one back, per step."""
        changes = []
        try:
            for side in (step, -step):
                self.inputs.displace(direction, side)
                changes.append((self._forward() - self._outputs) * self._upstream / side)
        finally:
            self.inputs.restore()
        return changes[0], changes[1]

    def alike(self, index: int) -> Array:
        """Return where an input holds the same value as it does at this index."""
        xp = namespace(self.claims)
        mask = xp.zeros_like(self.claims, dtype=xp.bool)
        for name, span in spans(self._bases).items():
            values = as_reals(self._bases[name])
            if span.start <= index < span.stop:
                mask = written(mask, span, values == values[index - span.start])
        return mask

    def _record(self, changed: Mapping[int, Array] | None) -> None:
        """Record which share of the outputs changed, and of forward's noise; all of it where nobody watched."""
        self.touched = self.moved = 1.0
        if changed is not None:
            self.moved = sum(int(mask.sum()) for mask in changed.values()) / max(1, count(self._outputs))
            self.touched = 1.0 if self.moved == 1.0 else self._share(changed)

    def _share(self, changed: Mapping[int, Array]) -> float:
        xp = namespace(self._outputs)
        parts = [(changed[part.start], self._upstream[part], self._outputs[part]) for part in in_cache(self._outputs)]
        share = math.hypot(*(norm(xp.where(mask, upstream * outputs, 0.0)) for mask, upstream, outputs in parts))
        return share / self.signal if self.signal and math.isfinite(share) else 1.0

    def _offs(
        self, direction: Direction, steps: Sequence[float], changed: dict[int, Array] | None = None
    ) -> list[float]:
        """Displace elements; return what backward claims of where they really went, less what forward makes of it.

        Outputs that forward changed at any step are marked in ``changed``, range by range.
        """
        made = []
        try:
            for step in steps:
                claimed, measured = self.inputs.displace(direction, step), 0.0
                outputs = self._forward()
                for part in self._parts:
                    change = outputs[part] - self._outputs[part]
                    measured += inner(self._upstream[part], change)
                    if changed is not None:
                        changed[part.start] = changed.get(part.start, False) | (change != 0.0)
                made.append(claimed - measured)
        finally:
            self.inputs.restore()
        return made
