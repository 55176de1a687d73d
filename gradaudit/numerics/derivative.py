"""One derivative by central differences, with a bound on its error.

A central difference over a displacement ``2h`` is off by its truncation error, which falls as ``h^2``, and by the
rounding of forward, which grows as ``1/h``. Both are estimated from differences at several steps, and the estimate
returned is the one with the least bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

MAX_MOVES = 4
"""How often the step may move to where truncation and rounding balance."""

MAX_STAGES = 6
"""Most differences in one extrapolation; each stage doubles the step."""

MAX_MOVE = 5
"""Most doublings of the step in one move; twice as many halvings."""

SHRINK = 5
"""Halvings of the step where a perturbed value left the domain of forward."""

MAX_SHRINKS = 8
"""How often the step may shrink in search of the domain."""


class Difference(NamedTuple):
    """The slopes over one step up and one step down, and how much of the central one may be rounding in forward."""

    up: float
    down: float
    rounding: float

    @property
    def central(self) -> float:
        """The central difference."""
        return 0.5 * (self.up + self.down)

    @property
    def bend(self) -> float:
        """Half of what the slopes differ by: it falls with the step where the function is smooth."""
        return 0.5 * (self.up - self.down)


@dataclass(frozen=True)
class Estimate:
    """A derivative and what it may be off by: the truth is expected within ``value +- bound``.

    ``bound`` is infinite, and ``value`` NaN, where forward was not finite around the point.
    """

    value: float
    truncation: float
    rounding: float

    @property
    def bound(self) -> float:
        """Truncation and rounding together."""
        return self.truncation + self.rounding

    def agrees_with(self, other: Estimate) -> bool:
        """Whether both can hold the truth."""
        return math.isinf(other.bound) or abs(self.value - other.value) <= self.bound + other.bound


UNKNOWN = Estimate(math.nan, math.inf, math.inf)

Sampler = Callable[[float], Difference | None]
"""The central difference at a step; None where forward is not finite there."""

Settled = Callable[[Estimate], bool]
"""Whether an estimate is good enough for the question asked."""


def estimate_derivative(sample: Sampler, step: float, settled: Settled) -> Estimate:
    """Estimate a derivative from differences at steps around ``step``, until ``settled`` or out of ideas.

    The first attempt takes two differences. Where it does not settle the question, the step moves to where the
    measured truncation and rounding balance; then more stages of extrapolation let the step grow, and rounding fall,
    without the truncation error of one difference.

    Args:
        sample: takes a step and returns the central difference there.
        step: a power of two; the displacement to start with.
        settled: stops the effort as soon as it holds.

    Returns:
        The estimate with the least bound among those made.

    """
    best = UNKNOWN
    for estimate in _attempts(sample, step):
        best = min(best, estimate, key=lambda made: made.bound)
        if settled(best):
            break
    return best


def estimate_at_step(sample: Sampler, step: float) -> Estimate:
    """Estimate a derivative from differences at a given step and at twice that step."""
    fine, coarse = sample(step), sample(2 * step)
    return UNKNOWN if fine is None or coarse is None else extrapolate([fine, coarse])


def _attempts(sample: Sampler, step: float) -> Iterator[Estimate]:
    """Yield ever better estimates; those at larger steps only while they agree with what is known already."""
    taken: dict[int, Difference | None] = {}

    def at(doublings: int) -> Difference | None:
        if doublings not in taken:
            taken[doublings] = sample(step * 2.0**doublings)
        return taken[doublings]

    place = _inside_domain(at)
    if place is None:
        return
    known, best_place = UNKNOWN, place
    for _ in range(MAX_MOVES):
        differences = [made for made in (at(place), at(place + 1)) if made is not None]
        if len(differences) < 2:
            break
        estimate = extrapolate(differences)
        if not estimate.agrees_with(known):  # too wide a step can look calm by accident
            break
        yield estimate
        if estimate.bound < known.bound:
            known, best_place = estimate, place
        move = _balancing_move(estimate)
        if abs(move) <= 1:
            break
        place += move
    differences = [made for made in (at(best_place), at(best_place + 1)) if made is not None]
    for doublings in range(best_place + 2, best_place + MAX_STAGES):
        wider = at(doublings)
        if wider is None:
            return
        differences.append(wider)
        estimate = extrapolate(differences)
        if not estimate.agrees_with(known):
            return
        yield estimate


def _inside_domain(at: Callable[[int], Difference | None]) -> int | None:
    """Return the first place, going down, at which forward is finite at both steps; None where there is none."""
    for shrinks in range(MAX_SHRINKS):
        place = -SHRINK * shrinks
        if at(place) is not None and at(place + 1) is not None:
            return place
    return None


def _balancing_move(estimate: Estimate) -> int:
    """Return how many doublings away truncation, which goes with h^2, and rounding, with 1/h, would balance."""
    if estimate.rounding == 0.0:
        return 0 if estimate.truncation == 0.0 else -MAX_MOVE
    if estimate.truncation == 0.0:
        return MAX_MOVE
    doublings = round(math.log2(estimate.rounding / (2 * estimate.truncation)) / 3)
    return max(-2 * MAX_MOVE, min(MAX_MOVE, doublings))


class _Entry(NamedTuple):
    value: float
    rounding: float


def extrapolate(differences: list[Difference]) -> Estimate:
    """Combine central differences, each at twice the step of the one before, into one estimate.

    Richardson's extrapolation cancels one power of ``h^2`` a stage: with two differences the value is
    ``(4 D_h - D_2h) / 3``. Of the values in Neville's tableau the one is taken that differs least from the two that
    it was made of; that difference bounds its truncation error. Source: Ridders, Accurate computation of F'(x) and
    F'(x)F''(x), Advances in Engineering Software 4 (1982).
    """
    column = [_Entry(made.central, made.rounding) for made in differences]
    best = UNKNOWN
    factor = 1.0
    for _ in range(1, len(differences)):
        factor *= 4.0
        column_next = []
        for fine, coarse in pairwise(column):
            value = (factor * fine.value - coarse.value) / (factor - 1.0)
            rounding = (factor * fine.rounding + coarse.rounding) / (factor - 1.0)
            # A first extrapolation is more accurate than either of its parents: the fine one's error bounds its own.
            apart = abs(coarse.value - fine.value)
            truncation = apart / 3.0 if factor == 4.0 else max(abs(value - fine.value), abs(value - coarse.value))
            estimate = Estimate(value, truncation, rounding)
            best = min(best, estimate, key=lambda made: made.bound)
            column_next.append(_Entry(value, rounding))
        column = column_next
    return best
