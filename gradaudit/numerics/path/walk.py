"""One path walked: what forward changes by and what backward claims at all nodes, and what is left between the two.

With ``r(t)`` the change of ``<upstream, forward>`` less the integral of ``<claim, displacement>`` up to t: a right
claim leaves forward's own error, which scatters about zero; a wrong one leaves a trend.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import reduce
from operator import add, or_

import numpy as np

from gradaudit.numerics.arrays import Array, Rows, count, dtype_name, in_cache, like, namespace, on_host
from gradaudit.numerics.magnitude import norm_of_product
from gradaudit.numerics.margins import CONFIRMATIONS, NEGLIGIBLE, SAMPLE, SIGNIFICANT, SMALL_SAMPLE
from gradaudit.numerics.path.claim import PathClaim, Upstream, Values
from gradaudit.numerics.path.displacement import Route
from gradaudit.numerics.path.nodes import (
    INTEGRALS,
    LAST,
    NODES,
    ROUGH,
    SCATTER,
    SCATTER_FREEDOM,
    SLOPE_ERROR,
    TIMES,
    TREND,
    TRENDS,
)
from gradaudit.numerics.path.partition import Axes, Partition, block_sums
from gradaudit.spec.dtypes import least_spacing


@dataclass(frozen=True)
class Residual:
    """What is left of each block along one path; vectors of float64 with one number a block.

    Attributes:
        slope: of the residual over the path: the error that is seen.
        scatter: variance about a cubic, estimated with 5 degrees of freedom.
        low: mean square of the residual's linear to cubic parts, scaled as the slope is.
        missed: square of what the quadrature and the rounding of backward may be off by.
        share: the claim's change at the point, sum of gradient times displacement.
        integral: the claim's change over the path.
        truth: forward's.
        stray: variance of forward's own scatter, estimated as above or from forward alone, where that is less.
        claimed: sum of the magnitudes of each element's share at the point.
        rounding: variance that the claim's own rounding adds where it stands still, and no scatter shows it.
        alike: square of what rounding adds at most to elements of one magnitude, which are rounded alike.
        rough: variance of forward's own change about a smooth one, whatever is claimed of it.

    """

    slope: Array
    scatter: Array
    low: Array
    missed: Array
    share: Array
    integral: Array
    truth: Array
    stray: Array
    claimed: Array
    rounding: Array
    alike: Array
    rough: Array

    def times(self, factor: float) -> Residual:
        """Return what is left where the loss counts as much as another times."""
        each = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return Residual(**{name: numbers * factor ** (1 if name in LINEAR else 2) for name, numbers in each.items()})

    def plus(self, other: Residual) -> Residual:
        """Return the sum of both, number by number."""
        return Residual(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))

    def without(self, blocks: Array) -> Residual:
        """Return what is left where some blocks are taken as if they had not moved."""
        each = (getattr(self, name) for name in self.__dataclass_fields__)
        return Residual(*(namespace(blocks).where(blocks, 0.0, numbers) for numbers in each))

    @property
    def roughest(self) -> Array:
        """Of which blocks the quadrature misses far more than of most, as where one has a kink on its way."""
        usual = float(np.median(on_host(self.scatter + self.missed)))
        rough = self.missed > SIGNIFICANT**2 * usual
        return rough & (float((1.0 * rough).mean()) <= 0.5)


LINEAR = ("slope", "share", "integral", "truth", "claimed")
"""Residuals in units of the loss; the others are in those of its square."""


@dataclass(frozen=True)
class Walked:
    """One path.

    Attributes:
        moved: displacements by input, vectors of float64.
        shares: by input, gradient times displacement at each node, of shape (nodes, elements).
        changes: for each output, upstream times the change of the output at each node less what rounding of the inputs
            contributes, of shape (nodes, elements).
        beside: by input, gradient times the distance from the straight way, likewise.
        missed: by input, mean square of the last coefficients of each element's share.
        rounding: by input, variance of each element's share by rounding that is the same at all nodes, as the gradient
            stands still there.
        alike: by input, for each magnitude that many elements of a gradient have, what they are off by at most instead,
            with the sign of the share: what has the same gradient is rounded alike, as all elements of a mean are.
        first: by input, the gradient at the point for this path's upstream, a vector; empty but in half precision,
            where upstreams of other scales show how it is rounded.
        weight: how large the terms of the loss are at the point, over those along the path: what rounding of outputs
            costs grows with them, and a path counts by its noise.

    """

    moved: dict[str, Array]
    shares: dict[str, Array]
    changes: tuple[Array, ...]
    beside: dict[str, Array]
    missed: dict[str, Array]
    rounding: dict[str, Array]
    alike: dict[str, list[Array]]
    first: dict[str, Array]
    weight: float = 1.0

    _found: dict[tuple[Partition | None, tuple[tuple[str, Axes], ...]], Residual] = field(default_factory=dict)

    def kinked(self, name: str) -> Array:
        """Return which elements of an input have a kink on their way, as it seems."""
        xp, shares = namespace(self.missed[name]), self.shares[name]
        largest = xp.maximum(xp.max(shares, axis=0), -xp.min(shares, axis=0)) ** 2
        return self.missed[name] > NEGLIGIBLE**2 * xp.maximum(largest, 0.0 * largest + xp.mean(largest))

    def before_kink(self, name: str) -> Array:
        """Return the part of its way after which each element's share changes most, a vector: its kink lies beyond.

        Half the way at most, as what merely bends changes to the end, and some of it in any case.
        """
        shares = self.shares[name].reshape((NODES, -1))
        xp = namespace(shares)
        steps = abs(shares[1:] - shares[:-1])
        largest = xp.max(steps, axis=0)
        way = 0.0 * largest
        for k in reversed(range(NODES - 1)):
            way = xp.where(steps[k] == largest, float(np.clip(TIMES[k], TIMES[1] / 2, 0.5)), way)
        return way

    def residual(self, partition: Partition | None, axes: dict[str, Axes]) -> Residual:
        """Return what is left of each block; of all together where there is no partition.

        Args:
            partition: of the outputs.
            axes: by input that moved, those that tell its blocks apart.

        """
        asked = partition, tuple(sorted(axes.items()))
        if asked not in self._found:
            self._found[asked] = self._residual(partition, axes)
        return self._found[asked]

    def _residual(self, partition: Partition | None, axes: dict[str, Axes]) -> Residual:
        parted = partition or Partition((), ((),) * len(self.changes))
        change = reduce(
            add, (block_sums(each, places) for each, places in zip(self.changes, parted.of_outputs, strict=True))
        )
        xp = namespace(change)
        share: Array = 0.0
        sums: Array = 0.0
        alike = like(np.zeros(()), change)
        for name in self.moved:
            places = axes[name] if partition else ()
            change = change - block_sums(self.beside[name], places)
            once = xp.stack([self.missed[name], abs(self.shares[name][0]), self.rounding[name]])
            for same in self.alike[name]:
                alike = block_sums(same[None], places)[0] ** 2 + alike
            share = share + block_sums(self.shares[name], places)
            sums = sums + block_sums(once, places)
        read = [_read(change[:, part], share[:, part]) for part in in_cache(change[0])]
        slope, scatter, low, missed, truth, integral, stray, rough = xp.concat(read, axis=1)
        return Residual(
            slope=slope,
            scatter=scatter,
            low=low,
            missed=xp.maximum(missed, sums[0]),
            share=share[0],
            integral=integral,
            truth=truth,
            stray=stray,
            claimed=sums[1],
            rounding=sums[2],
            alike=alike + 0.0 * sums[2],
            rough=rough,
        )


def _read(change: Array, share: Array) -> Array:
    """Return what values of some blocks at all nodes show, a row each, as ``Residual`` has it."""
    xp = namespace(change)
    trends = like(TRENDS.T, change)
    integrals = like(INTEGRALS, change) @ share
    residual = change - integrals
    parts = trends @ residual
    scatter, alone = (
        xp.sum((like(SCATTER, change) @ values) ** 2, axis=0) / SCATTER_FREEDOM for values in (residual, change)
    )
    return xp.stack(
        [
            parts[1] * SLOPE_ERROR,
            scatter,
            xp.sum(parts[1:] ** 2, axis=0) / TREND * SLOPE_ERROR**2,
            xp.mean((like(LAST, change) @ share) ** 2, axis=0),
            change[-1],
            integrals[-1],
            xp.minimum(scatter, alone),
            xp.mean((like(ROUGH, change) @ change) ** 2, axis=0),
        ]
    )


def walk(
    claim: PathClaim,
    displacements: dict[str, Array],
    start: Values,
    first: dict[str, Array],
    upstream: Upstream | None = None,
) -> Walked | None:
    """Walk one path of 8 forwards and 8 backwards; None where one of them is not finite.

    Args:
        claim: forward and backward.
        displacements: by input, vectors of float64.
        start: forward at the point.
        first: the claimed gradients at the point.
        upstream: that these belong to; default: as given.

    """
    upstream = upstream or claim.given
    route = Route(claim.inputs, displacements)
    shares, beside = ({name: Rows(NODES) for name in displacements} for _ in range(2))
    changes = Rows(NODES)
    end = start
    for k in range(NODES):
        time = float(TIMES[k])
        inputs = route.at(time)
        values = start if k == 0 else claim.values(inputs)
        if values is None:
            return None
        gradients = first if k == 0 else claim.gradients(inputs, values, upstream)
        if gradients is None:
            return None
        end = values
        changes.add(upstream.vector * (values.vector - start.vector))
        off = route.beside(inputs, time)
        for name, moved in route.moved.items():
            shares[name].add(gradients[name] * moved)
            beside[name].add(gradients[name] * off[name])
    xp = namespace(start.vector)
    shapes = {name: tuple(claim.inputs[name].shape) for name in displacements}
    stacked = {name: each.all().reshape((NODES, *shapes[name])) for name, each in shares.items()}
    rounding, alike = {}, {}
    for name, each in stacked.items():
        gradient, moved = first[name].reshape(shapes[name]), route.moved[name].reshape(shapes[name])
        least = least_spacing(dtype_name(claim.inputs[name].dtype))
        off = _rounding(gradient, moved, each, claim.unit, least, upstream.scale)
        groups = _of_one_magnitude(abs(gradient))
        alike[name] = [xp.sign(gradient) * off * group for group in groups]
        rounding[name] = (off * ~reduce(or_, groups)) ** 2 / 3 if groups else off**2 / 3  # its variance
    last = like(LAST, start.vector)
    before, after = (norm_of_product(upstream.vector, each.vector) for each in (start, end))
    return Walked(
        moved=route.moved,
        shares=stacked,
        changes=_by_output(changes.all(), claim),
        beside={name: each.all().reshape((NODES, *shapes[name])) for name, each in beside.items()},
        missed={name: _mean_squares(last, each) for name, each in stacked.items()},
        rounding=rounding,
        alike=alike,
        first=first if claim.is_half else {},
        weight=math.sqrt(2.0) * before / math.hypot(before, after) if before else 1.0,
    )


def _mean_squares(rows: Array, values: Array) -> Array:
    """Return the mean squares of combinations of values at all nodes, one row each, for every element."""
    xp, flat = namespace(values), values.reshape((NODES, -1))
    made = [xp.mean((rows @ flat[:, part]) ** 2, axis=0) for part in in_cache(flat[0])]
    return xp.concat(made).reshape(values.shape[1:])


def _rounding(gradient: Array, moved: Array, shares: Array, unit: float, least: float, scale: float) -> Array:
    """Return what is off by up to half the distance to a neighbour, and by the same at all nodes: at most, signed."""
    xp = namespace(gradient)
    distance = 2 * unit * 2.0 ** xp.floor(xp.log2(scale * abs(gradient)))
    distance = xp.where(distance < least, least * xp.sign(distance), distance) / scale * moved  # zero stays what it is
    farthest = xp.maximum(xp.max(shares, axis=0) - shares[0], shares[0] - xp.min(shares, axis=0))
    still = farthest < abs(distance)
    return xp.where(still, distance / 2, 0.0 * distance)


def _of_one_magnitude(sizes: Array) -> list[Array]:
    """Return where a gradient has each of the magnitudes that are most frequent, as some of its elements show."""
    flat = sizes.reshape(-1)
    asked = on_host(flat[:: max(1, count(flat) // SAMPLE)])
    found, times = np.unique(asked[asked > 0], return_counts=True)
    most = np.argsort(-times, kind="stable")[:SMALL_SAMPLE]
    return [sizes == float(found[k]) for k in most if times[k] >= CONFIRMATIONS]


def _by_output(changes: Array, claim: PathClaim) -> tuple[Array, ...]:
    made, first = [], 0
    for output in claim.upstream:
        size = int(np.prod(output.shape))
        made.append(changes[:, first : first + size].reshape((NODES, *output.shape)))
        first += size
    return tuple(made)
