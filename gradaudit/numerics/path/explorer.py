"""Paths for some of the inputs: as long as forward's noise asks for, and turned round where there is a kink ahead."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import numpy as np

from gradaudit.numerics.arrays import Array, count, like, namespace, on_host
from gradaudit.numerics.margins import (
    CONFIRMATIONS,
    HALFWAY,
    MAX_ATTEMPTS,
    MAX_LISTED,
    NEGLIGIBLE,
    SAFETY,
    SIGNIFICANT,
    SMALL_SAMPLE,
    SPREAD,
)
from gradaudit.numerics.path.claim import PathClaim, Upstream, Values
from gradaudit.numerics.path.displacement import SHORTEST, Room
from gradaudit.numerics.path.nodes import LAST, SLOPE_ERROR
from gradaudit.numerics.path.partition import block_sums, spread
from gradaudit.numerics.path.pool import Pool
from gradaudit.numerics.path.settings import SHARE
from gradaudit.numerics.path.walk import Walked, walk

TURN_ABOUT = ((1, 1, 1, 1), (-1, 1, -1, 1), (1, 1, -1, -1), (-1, 1, 1, -1))
"""Whether inputs follow the signs of their gradients or go against them, path by path: so the error of each is told
from that of the others."""

COHERENT = SPREAD
"""By how much more elements follow the claimed gradient's sign than go against it, where all of them would be too many:
so many standard deviations of random signs, so that the sum tells of a common error even so, and a tenth of many."""

LONGEST = 2 * SHARE
"""Length of the longest displacement that is tried: beyond, elements could no longer choose which way they go."""

AN_EIGHTH = 1 / SIGNIFICANT
"""Part of the domain's width down to which paths are halved; below, they are quartered."""


class Explorer:
    """Draws and walks paths that move some inputs, and remembers how far each element can go.

    Args:
        claim: forward and backward.
        start: forward at the point.
        first: the claimed gradients there, vectors by input.
        names: the inputs to move.
        rng: random stream.
        moving: by input, a vector of 0 for elements that stay and 1 for others; default: all move.
        share: length of the longest displacement, as a part of the domain's width.
        pool: says which blocks are told apart; each kink counts where there are several.
        shortest: least displacement, as a part of the longest.

    Attributes:
        share: length at present.
        patient: whether paths are shortened whatever it takes; else not for kinks of mixtures, if all is one block.
        has_mixed_kinks: whether these were met.

    """

    def __init__(
        self,
        claim: PathClaim,
        start: Values,
        first: dict[str, Array],
        names: tuple[str, ...],
        rng: np.random.Generator,
        moving: dict[str, Array] | None,
        share: float,
        pool: Pool,
        shortest: float = SHORTEST,
    ) -> None:
        self._claim = claim
        self._start = start
        self._first = first
        self.names = names
        self._rng = rng
        self._moving = moving
        self.share = share
        self._first_share = share
        self._grows = True
        self._rooms = {name: Room.of(claim.inputs[name], claim.domains[name], share) for name in names}
        self._pool = pool
        self._shortest = shortest
        self._walks = 0
        self._rescaled = claim.given, first
        self._coherence = 1.0
        self.patient = True
        self.has_mixed_kinks = False
        self._settled = 0.0
        elements = sum(count(first[name]) for name in names)
        self._least_coherence = min(1.0, max(COHERENT, SAFETY / math.sqrt(elements or 1)))

    def path(self, most: float = math.inf) -> Walked | None:
        """Walk a path with a fresh displacement, anew while that makes it better; None where none can be walked.

        Displacements follow the signs of the claimed gradient, so that an error which all elements share adds up: all
        of them on every second path, unless that takes forward where the quadrature fails; else somewhat over half.

        Args:
            most: calls of the claim at which no walk begins any more, but for the first: the best path so far must do.

        """
        self._walks += 1
        self._rescaled = self._upstream()
        best: tuple[float, float, Walked] | None = None
        far = False
        for _ in range(MAX_ATTEMPTS):
            worth, fine, walked = self._at_this_length(most)
            if walked is not None and (best is None or worth < best[0]):
                best = worth, self.share, walked
            elif best is not None and not far and self._has_many_kinks(best[2]) and self._claim.spent < most:
                far = True  # as long as it meets many kinks, shorter is no better
                self._rescale(1 / MAX_LISTED)
                continue
            elif best is not None:  # what the quadrature seems to miss is backward's rounding
                self._settled = CONFIRMATIONS * best[0]
                break
            if fine or worth <= self._settled or self._claim.spent >= most:
                break
            self._grows = False
            if walked is not None and self._gives_up(walked):
                break
            self._rescale(1 / (2 if self.share > AN_EIGHTH else 4))
        if best is None:
            return None
        self._rescale(best[1] / self.share)
        return best[2]

    def _upstream(self) -> tuple[Upstream, dict[str, Array]]:
        """Return the upstream of a path with the gradients at the point: scaled, so that these are rounded otherwise.

        What rounding adds to the change of the loss is the same on every path else, where gradients stand still.
        """
        if self._walks > 1 and self._claim.is_half:
            upstream = self._claim.scaled(float(self._rng.uniform(0.5, 1.0)))
            first = self._claim.gradients(self._claim.inputs, self._start, upstream)
            if first is not None:
                return upstream, first
        return self._claim.given, self._first

    def _at_this_length(self, most: float) -> tuple[float, bool, Walked | None]:
        """Return the best path of this length, its error relative to the length, and whether it is fine enough."""
        best: tuple[float, Walked | None] = (math.inf, None)
        fine = False
        apart, few = self._pool.partition is not None, NEGLIGIBLE if self._claim.is_half else SPREAD
        upstream, first = self._rescaled
        coherent = self._coherence == 1.0 and self._walks % 2 == 1
        plan = self._planned(1.0 if coherent else self._least_coherence)
        before = math.inf
        for turn in range(SMALL_SAMPLE):
            least = 0.5 if coherent else 1.0  # half of its way an element may follow the signs of the gradient
            displacements = {name: self._rooms[name].displaced(*plan[name], least) for name in self.names}
            walked = walk(self._claim, displacements, self._start, first, upstream)
            noise, missed = (math.inf, math.inf) if walked is None else self._errors(walked)
            fine = missed <= 2 * noise
            if not fine and self.share > self._first_share:
                return self._worth(noise, missed), fine, walked
            if coherent and walked is not None and walked.weight < 0.5:  # outputs grow, and their rounding does
                self._coherence = self._least_coherence
            if coherent and missed > noise and self._least_coherence < 1.0:
                self._coherence, coherent = self._least_coherence, False
                if self._claim.spent < most:
                    plan = self._planned(self._least_coherence)
                    continue
            if walked is None:
                break
            worth = self._worth(noise, missed)
            if worth < best[0]:
                best = worth, walked
            last = turn == SMALL_SAMPLE - 1 or self._claim.spent >= most
            if not fine:  # what turns round must help
                last = (
                    last or HALFWAY * missed > before or self._missed_beside_kinks(walked) > max(2 * noise, missed / 2)
                )
            before = missed
            # A path is walked again for few with a kink ahead only if they spoil it: the next path will know of them.
            if (fine and not apart) or last or self._turned(walked) <= (few if fine else 0.0):
                break
        return best[0], fine, best[1]

    def _worth(self, noise: float, missed: float) -> float:
        return math.hypot(noise, missed) / self.share

    def _errors(self, walked: Walked) -> tuple[float, float]:
        """Return the usual standard error of a block's slope, and what the quadrature misses of it."""
        found = walked.residual(self._pool.partition, self._pool.axes)
        scatter, missed = (float(np.median(on_host(each))) for each in (found.scatter, found.missed))
        return SLOPE_ERROR * math.sqrt(scatter), math.sqrt(missed)

    def learn(self, other: Explorer) -> None:
        """Take over how far each element can go, as far as another knows that has moved them."""
        known = {name: room for name, room in other._rooms.items() if name in self._rooms}
        self._rooms |= known
        self.share = other.share if known else self.share

    def lengthen(self) -> bool:
        """Try longer paths from now on, where none had to be shortened: noise hides less of them."""
        if not self._grows or self.share >= LONGEST:
            return False
        self._rescale(2)
        return True

    def _rescale(self, factor: float) -> None:
        self._rooms = {name: room.scaled(factor) for name, room in self._rooms.items()}
        self.share *= factor

    def _planned(self, coherence: float) -> dict[str, tuple[Array, Array]]:
        """Return how far, as parts of the longest displacement, and which way each element is to move."""
        plan = {}
        for place, name in enumerate(self.names):
            like_this = self._rooms[name].up
            xp, size = namespace(like_this), count(like_this)
            along = like(np.where(self._rng.random(size) < (1 + coherence) / 2, 1.0, -1.0), like_this)
            claimed = xp.sign(self._first[name]) * TURN_ABOUT[self._walks // 2 % 4][place % 4]
            anyhow = like(2.0 * self._rng.integers(0, 2, size) - 1.0, like_this)
            signs = xp.where(claimed == 0, anyhow, claimed * along)
            if self._moving is not None:
                signs = signs * self._moving[name]
            plan[name] = like(self._rng.uniform(self._shortest, 1.0, size), like_this), signs
        return plan

    def _turned(self, walked: Walked) -> float:
        """Take from the elements with a kink ahead the way to it; return which part of all they are."""
        part = 0.0
        for name in self.names:
            kinked = walked.kinked(name).reshape(-1)
            many = int(kinked.sum())
            if 0 < 2 * many <= count(kinked):  # where most seem to have kinks, it is not they that have them
                self._rooms[name] = self._rooms[name].without(kinked, walked.moved[name], walked.before_kink(name) / 2)
                part = max(part, many / count(kinked))
        return max(part, self._shortened(walked))

    def _missed_beside_kinks(self, walked: Walked) -> float:
        """Return what the quadrature misses of a usual block without the elements that seem to have kinks."""
        apart = self._pool.partition is not None
        last = reduce(
            add,
            (
                block_sums(shares * ~walked.kinked(name), self._pool.axes[name] if apart else ())
                for name, shares in walked.shares.items()
            ),
        )
        missed = like(LAST, last) @ last
        return math.sqrt(float(np.median(on_host(namespace(missed).mean(missed**2, axis=0)))))

    def _gives_up(self, walked: Walked) -> bool:
        """Whether most elements seem to have a kink, so that it is others' which they mix: blocks have fewer each."""
        self.has_mixed_kinks = not self.patient and all(
            float((1.0 * walked.kinked(name)).mean()) > 0.5 for name in self.names
        )
        return self.has_mixed_kinks

    def _has_many_kinks(self, walked: Walked) -> bool:
        return any(float((1.0 * walked.kinked(name)).mean()) > NEGLIGIBLE for name in self.names)

    def _shortened(self, walked: Walked) -> float:
        """Halve displacements of blocks of which the quadrature misses far more than of others; return their part."""
        if self._pool.partition is None or self._pool.partition.blocks >= max(
            count(self._first[name]) for name in self.names
        ):
            return 0.0
        found = walked.residual(self._pool.partition, self._pool.axes)
        rough = found.roughest
        part = float((1.0 * rough).mean())
        xp = namespace(rough)
        for name in self.names if part else ():
            shape = tuple(self._claim.inputs[name].shape)
            factor = xp.where(spread(1.0 * rough, shape, self._pool.axes[name]) > 0, 0.5, 1.0)
            self._rooms[name] = self._rooms[name].scaled(factor)
        return part
