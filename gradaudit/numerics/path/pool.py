"""Residuals of several paths together, block by block: the error seen, and how large one forward's noise can feign."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gradaudit.numerics.arrays import Array, count, like, namespace, on_host
from gradaudit.numerics.margins import CONFIRMATIONS, MAX_ATTEMPTS, MAX_ROUNDINGS, QUARTER, SAFETY, SIGNIFICANT
from gradaudit.numerics.path.looks import CommonError, Looks
from gradaudit.numerics.path.nodes import SCATTER_FREEDOM, SLOPE_ERROR, TREND, Floats
from gradaudit.numerics.path.partition import Axes, Partition, block_sums, spread
from gradaudit.numerics.path.walk import Residual, Walked
from gradaudit.numerics.quantiles import MOST_FREEDOM, fisher_quantile, moderated, student_quantile

ALPHA = 1e-4
"""Chance that noise exceeds the bound of any block; what does is looked at on fresh paths."""

ADDED_UP = (QUARTER, 0.5)
"""Part of their root of squares that the tolerated errors of many elements add up to, and of a few: one of these may be
off by all it may. A quarter is four standard deviations of errors that are a sixteenth of what is tolerated, as those
of rounding are."""

SAME_ROUNDING = 0.5 / MAX_ROUNDINGS
"""Part of a tolerance that is the rounding which stays as it is when the upstream is scaled: half of one."""


class Pool:
    """Residuals of paths that moved the same inputs, summed as they come.

    Args:
        partition: of the outputs; None for one block of all.
        axes: by input, those that tell its blocks apart.

    Attributes:
        paths: how many.

    """

    def __init__(self, partition: Partition | None, axes: dict[str, Axes]) -> None:
        self.partition = partition
        self.axes = axes
        self.paths = 0
        self._last = 0.0
        self._sums: Residual | None = None
        self._kept: Array = 0.0
        self._tolerated: Array = 0.0
        self._product: Array = 0.0
        self._shares: Array = 0.0
        self._followed: Array = 0.0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._along: dict[str, Array] = {}
        self._squares: dict[str, Array] = {}
        self._across: dict[str, Array] = {}
        self._allowed: dict[str, Array] = {}
        self._claimed: dict[str, tuple[int, Array, Array]] = {}

    def add(self, walked: Walked, allowed: dict[str, Array]) -> None:
        """Take in one path.

        Some of many blocks, of which its quadrature misses far more than of most, are taken as if they had not moved:
        one element with a kink on its way must not spoil what is known of others.
        """
        found = walked.residual(self.partition, self.axes).times(walked.weight)
        blocks = count(found.slope)
        spoiled = blocks > MAX_ATTEMPTS and any(count(moved) > blocks for moved in walked.moved.values())
        rough = found.roughest & spoiled
        xp = namespace(found.slope)
        kept = xp.where(rough, xp.zeros_like(found.slope), xp.ones_like(found.slope))
        self._kept = self._kept + kept
        found = found.without(rough)
        self.paths += 1
        squared = replace(
            found,
            slope=found.slope**2,
            share=found.share**2,
            integral=found.integral * found.truth,
            truth=found.truth**2,
            claimed=found.claimed**2,
        )
        self._sums = squared if self._sums is None else self._sums.plus(squared)
        for name, moved in walked.moved.items():
            most = ((walked.weight * allowed[name] * moved) ** 2).reshape((1, *walked.shares[name].shape[1:]))
            tolerated = block_sums(most, self._places(name))[0]
            self._tolerated = self._tolerated + xp.where(rough, 0.0 * kept, tolerated)
        shares = [block_sums(shares[:1], self._places(name))[0] for name, shares in walked.shares.items()]
        mine = xp.stack([xp.where(rough, 0.0 * kept, walked.weight * share) for share in shares])
        pairs, followed = mine[:, None] * mine, mine * found.slope
        self._shares, self._followed = self._shares + pairs, self._followed + followed
        self._product = self._product + found.slope * found.share
        self._last = 0.0
        for name, moved in walked.moved.items():
            if name in walked.first:
                first = walked.first[name]
                many, sums, squares = self._claimed.get(name, (0, 0.0, 0.0))
                self._claimed[name] = many + 1, sums + first, squares + first**2
            self._shapes[name] = tuple(walked.shares[name].shape[1:])
            moved = self.spread(kept, name) * moved * walked.weight
            self._allowed[name] = allowed[name]
            self._last += float((moved**2).sum())
            for sums, new in (
                (self._along, self.spread(found.slope, name) * moved),
                (self._across, xp.stack([self.spread(share, name) * moved for share in mine])),
                (self._squares, moved**2),
            ):
                sums[name] = sums[name] + new if name in sums else new

    def spread(self, of_blocks: Array, name: str) -> Array:
        """Return for each element of an input what belongs to its block, as a vector."""
        return spread(of_blocks, self._shapes[name], self._places(name))

    def _places(self, name: str) -> Axes:
        return self.axes[name] if self.partition else ()

    @property
    def _totals(self) -> Residual:
        """The sums over all paths, of which there is one at least."""
        if self._sums is None:
            raise ValueError("no path was walked")
        return self._sums

    @property
    def names(self) -> tuple[str, ...]:
        """The inputs that moved."""
        return tuple(self._squares)

    @property
    def _witnesses(self) -> int:
        """How many paths have rounding of their own for sure: of an element that moves alone, one to each side."""
        moved = sum(int((squares > 0).sum()) for squares in self._squares.values())
        return min(self.paths, 2) if moved <= count(self._totals.slope) else self.paths

    @property
    def worth(self) -> float:
        """How many paths like the last one all of them are worth: those that go further tell more."""
        return sum(float(squares.sum()) for squares in self._squares.values()) / self._last if self._last else math.nan

    @property
    def scatter(self) -> float:
        """What forward's scatter comes to over all blocks, as far as it is what most of them have.

        Forward itself must be rough: a wrong claim leaves what scatters, too.
        """
        if self._sums is None:
            return math.nan
        found = on_host(namespace(self._sums.scatter).minimum(self._sums.scatter, self._sums.rough))
        return math.sqrt(float(np.median(found)) * found.size / self.paths)

    def looks(self, common: float, alpha: float = ALPHA) -> Looks:
        """Return what the paths showed.

        Args:
            common: relative error that all elements of a block may share.
            alpha: chance that a bound does not hold for some block.

        """
        sums, paths = self._totals, self.paths
        xp = namespace(sums.slope)
        blocks = count(sums.slope)
        variance, freedom = moderated(sums.scatter / paths, SCATTER_FREEDOM * paths)
        noise = xp.sqrt(SLOPE_ERROR**2 * variance + sums.missed / paths)
        # One path has too few degrees of freedom.
        noise = noise * xp.where(self._kept < min(CONFIRMATIONS, paths), SIGNIFICANT, 1.0)
        chance = alpha / 2 / blocks
        first, low = xp.sqrt(sums.slope / paths), xp.sqrt(sums.low / paths)

        def feigned(paths: int) -> Iterator[Array]:
            left = freedom - SCATTER_FREEDOM * (self.paths - paths)
            return (math.sqrt(fisher_quantile(chance, many * paths, left)) * noise for many in (1, TREND))

        measured, usual = self._rounding(), sums.rounding
        if measured is not None:  # a backward that adds up in few digits is off by more
            usual = xp.maximum(usual, self._of_blocks(measured))
        alone = not any(map(self.many_in_a_block, self.names))
        rounding = xp.sqrt((usual if alone else sums.rounding) / paths)
        at_most = math.sqrt(fisher_quantile(chance, paths, MOST_FREEDOM)) * rounding
        bound, low_bound = (xp.sqrt(each**2 + at_most**2) for each in feigned(paths))
        noise_bound, low_noise_bound = feigned(self._witnesses)
        slack = _added_up(sum(map(count, self._along.values())) // blocks) * xp.sqrt(self._tolerated / paths)
        slack = xp.maximum(slack, SAFETY * xp.sqrt(usual / paths)) + xp.sqrt(sums.alike / paths)
        shared = xp.where(
            sums.share > 0, -self._product / xp.where(sums.share > 0, sums.share, xp.ones_like(first)), 0.0
        )
        shared = xp.clip(shared, -common, common)
        rest = xp.clip(sums.slope + 2 * shared * self._product + shared**2 * sums.share, 0.0, None)
        raw = (first > bound) | (low > low_bound)
        low_rest = xp.sqrt(xp.clip(sums.low - (sums.slope - rest) / TREND, 0.0, None) / paths)
        dirty = (xp.sqrt(rest / paths) > bound) | (low_rest > low_bound)
        seen = xp.maximum(first, low)
        return Looks(
            seen=seen,
            bound=bound,
            error=noise,
            rounding=rounding,
            freedom=freedom,
            slack=slack,
            trend=xp.where(dirty, xp.sqrt(xp.clip(seen**2 - noise**2, 0.0, None)), 0.0 * seen),
            dirty=dirty,
            shared=raw & ~dirty,
            # What is tolerated holds rounding as well.
            failing=(xp.sqrt(rest / paths) > noise_bound + slack)
            | (low > low_noise_bound + slack + common * xp.sqrt(sums.share / paths)),
        )

    def reach(self, name: str) -> Array:
        """Return the root mean square of each element's displacements, a vector; 0 for those that stayed."""
        return namespace(self._squares[name]).sqrt(self._squares[name] / self.paths)

    def estimate(self, name: str) -> Array:
        """Return for each element what is claimed less the truth, if nothing else in its block is wrong; a vector."""
        squares = self._squares[name]
        xp = namespace(squares)
        return -self._along[name] / xp.where(squares > 0, squares, xp.ones_like(squares))

    def claimed(self) -> Array:
        """Return the sum of the magnitudes of each block's shares, its root mean square over the paths."""
        claimed = self._totals.claimed
        return namespace(claimed).sqrt(claimed / self.paths)

    def moments(self, name: str) -> tuple[Array, Array, Array]:
        """Return of each element's displacements, and the changes that its block claims, the squares and the products.

        Sums over all paths, vectors: of the displacements' squares, their products with the changes, these's squares.
        """
        products = namespace(self._across[name]).sum(self._across[name], axis=0)
        return self._squares[name], products, self.spread(self._totals.share, name)

    def many_in_a_block(self, name: str) -> bool:
        """Whether blocks have several elements of an input."""
        return count(self._squares[name]) > count(self._totals.slope)

    def common_errors(self, looks: Looks, common: float) -> dict[str, CommonError]:
        """Return by input the relative error that all its elements share, as the slopes follow the inputs' shares.

        A regression over blocks and paths: each block counts by its noise and by what it may be off by.
        """
        sums, names = self._totals, self.names
        weights = 1 / (looks.error**2 + self._tolerated / self.paths * (ADDED_UP[0] / 4) ** 2)

        def total(of_blocks: Array) -> Floats:
            return on_host(namespace(of_blocks).sum(of_blocks, axis=-1))

        normal = total(weights * self._shares)
        if not np.isfinite(normal).all() or np.linalg.matrix_rank(normal) < len(names):
            return {}
        inverse = np.linalg.inv(normal)
        errors = -inverse @ total(weights * self._followed)
        spread = inverse @ total((weights * looks.error) ** 2 * self._shares) @ inverse
        chance = ALPHA / 2 / len(names)
        bounds = self._quantile(chance, self.paths, looks) * np.sqrt(np.diag(spread))

        def apart(variances: dict[str, Array]) -> Floats:  # of errors that are the same on every path
            total = np.zeros(len(names))
            for name, variance in variances.items():
                weighted = self._across[name] * self.spread(weights, name)
                total += on_host(namespace(weighted).sum((like(inverse, weighted) @ weighted) ** 2 * variance, axis=1))
            return np.asarray(np.sqrt(total))

        few = np.array([_added_up(count(self._squares[name])) for name in names])
        most = few * apart({name: self._allowed[name] ** 2 for name in names})
        rounding = self._rounding()
        if rounding is not None:
            most = np.minimum(most, SAFETY * apart(rounding))
        # What is rounded alike may be so on every path.
        alike = inverse @ total(weights**2 * sums.alike * self._shares) @ inverse
        most = most + np.sqrt(np.diag(alike))
        again = self._quantile(chance, self._witnesses, looks) / self._quantile(chance, self.paths, looks)
        return {
            name: CommonError(float(errors[k]), float(bounds[k]), common + float(most[k]), again * float(bounds[k]))
            for k, name in enumerate(names)
        }

    def _quantile(self, chance: float, witnesses: int, looks: Looks) -> float:
        """Return what an average over all paths exceeds by chance, in standard errors, of which so many tell."""
        freedom = looks.freedom - SCATTER_FREEDOM * (self.paths - witnesses)
        return student_quantile(chance, freedom) * math.sqrt(self.paths / witnesses)

    def _rounding(self) -> dict[str, Array] | None:
        """Return the variance of each element of the gradients by rounding, vectors by input; None where none shows.

        Claims at upstreams of other scales are rounded otherwise: each input's show what part of the tolerance that is.
        """
        if not self._claimed or self.paths <= CONFIRMATIONS:
            return None
        found = {}
        for name, (many, sums, squares) in self._claimed.items():
            xp, most = namespace(sums), self._allowed[name] ** 2
            seen = xp.clip(squares - sums**2 / many, 0.0, None) / (many - 1)
            part = float(xp.mean(seen[most > 0] / most[most > 0])) if bool((most > 0).any()) else 0.0
            found[name] = (part + SAME_ROUNDING**2) * most
        return found

    def _of_blocks(self, variances: dict[str, Array]) -> Array:
        """Return what variances of elements add up to by block, over all paths."""
        sums = 0.0
        for name, variance in variances.items():
            each = (variance * self._squares[name]).reshape((1, *self._shapes[name]))
            sums = sums + block_sums(each, self._places(name))[0]
        return sums

    def scattered_error(self, looks: Looks, common: float, *, soon: bool = False) -> CommonError | None:
        """Return the root mean square error of all blocks, relative to what they claim; None where they are few.

        Each may be within its tolerance, and all of them off by more than what is right ever is.

        Args:
            looks: what the paths showed.
            common: relative error that all elements of a block may share.
            soon: allow for the rounding that shows only, where it does: what is more is worth a closer look.

        """
        if count(looks.seen) < MAX_ATTEMPTS:
            return None
        sums, blocks = self._totals, count(looks.seen)

        def root(of_blocks: Array) -> float:
            return math.sqrt(float(namespace(of_blocks).sum(of_blocks)) / self.paths)

        many = blocks * self.paths
        noise = math.sqrt(fisher_quantile(ALPHA, many, SCATTER_FREEDOM * many)) * root(looks.error**2 * self.paths)
        most, rounding = ADDED_UP[0] * root(self._tolerated) + common * root(sums.share), self._rounding()
        if rounding is not None:
            seen = SAFETY * root(self._of_blocks(rounding))
            most = seen if soon else max(most, seen)
        claimed = root(sums.claimed) or math.nan
        bound = CONFIRMATIONS * noise / claimed
        return CommonError(root(sums.slope) / claimed, bound, most / claimed, bound)

    def alike(self, name: str) -> Array:
        """Return how closely its block's slopes follow each element's displacements, from 0 to 1; a vector."""
        along, squares = self._along[name], self._squares[name] * self.spread(self._totals.slope, name)
        xp = namespace(squares)
        return along**2 / xp.where(squares > 0, squares, xp.ones_like(squares))

    def shared_error(self) -> tuple[float, float]:
        """Return by which part of the truth the claim exceeds it, over all blocks, and what noise may feign of that.

        Both are infinite where forward changes by no more than its noise.
        """
        sums, paths = self._totals, self.paths
        noise = 2 * sums.stray / paths  # of a change, which is a difference
        truth = float(sums.truth.sum()) - paths * float(noise.sum())
        if truth <= 0.0:
            return math.inf, math.inf
        times = float(sums.integral.sum()) / truth
        variance = float((sums.truth * (times**2 * noise + sums.missed / paths)).sum()) / truth**2
        told = self._witnesses
        return times - 1.0, student_quantile(ALPHA / 2, SCATTER_FREEDOM * told) * math.sqrt(variance * paths / told)


def _added_up(many: int) -> float:
    return 1.0 if many == 1 else float(np.clip(many**-0.5, *ADDED_UP))
