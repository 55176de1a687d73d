"""A long path of some elements: how far forward's change and the claim's integral get from each other, and jumps."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from gradaudit.numerics.arrays import on_host
from gradaudit.numerics.margins import HALFWAY, HEADROOM, MAX_LISTED, NEGLIGIBLE, QUARTER, WIDENING
from gradaudit.numerics.path.claim import PathClaim, Values
from gradaudit.numerics.path.displacement import Route, drawn_for
from gradaudit.numerics.path.nodes import COEFFICIENTS, INTEGRALS, LAST, TIMES, Floats
from gradaudit.spec.dtypes import spacing

Accused = Mapping[str, tuple[NDArray[np.intp], Floats]]
"""By input: positions of accused elements in C order, and what is claimed there less the central difference."""

PANELS = 2 * MAX_LISTED
"""Most pieces of a path, each with its own polynomial: quadrature is good to 1e-11 with eight, to 1e-5 with one."""

SHARE = 2 * QUARTER
"""Length of a path, as a part of the domain's width."""

LAGS = (SHARE / WIDENING, SHARE)
"""Parts of a path."""

ROUNDOFF = HEADROOM * spacing("float64")
"""Of sums in float64, relative to their largest term."""


@dataclass(frozen=True)
class LongPath:
    """How forward's change and the claim's integral differ along one long path.

    Attributes:
        elements: how many move.
        apart: the farthest that they get from each other, with the quadrature's error.
        surely_apart: likewise, less the quadrature's error.
        change: what forward changes by along the way, by three measures the largest.
        claimed: magnitude of the claim's integral.
        kept: the most that the claim's integral comes to on the way, as a part of its magnitude's: little where the
            claim changes its sign again and again, and so would an error that goes with it.
        foretold: how far apart they would be if the accused mismatch were an error all along.
        wander: mean square of what their difference changes by over each of ``LAGS``.
        in_common: mean products of the claim's integral with their difference, and with itself.
        leap: the largest change of their difference between neighbouring nodes.
        leap_between: the times of these.
        steepest_between: the times of the neighbouring nodes between which forward itself changes most.
        slope: the claimed slope at the point.
        piece: the part of the path where the leap is.
        route: where it leads.

    """

    elements: int
    apart: float
    surely_apart: float
    change: float
    claimed: float
    kept: float
    foretold: float
    wander: Floats
    in_common: Floats
    leap: float
    leap_between: tuple[float, float]
    steepest_between: tuple[float, float]
    slope: float
    piece: Piece
    route: Route


def walk_far(
    claim: PathClaim,
    accused: Accused,
    start: Values,
    rng: np.random.Generator,
    *,
    aligned: bool = False,
    enough: float = 0.0,
) -> LongPath | None:
    """Walk one path; its pieces are halved where the claim changes most, until the quadrature misses little enough.

    Displacements have random signs, or those of the mismatches, which then add up; these are half as long, as the
    domain's walls turn long ones round.
    """
    ways = {name: (places, np.sign(off) if aligned else None) for name, (places, off) in accused.items()}
    route = drawn_for(claim, ways, SHARE / 2 if aligned else SHARE, rng)
    calls = Calls(claim, route, start)
    pieces = [calls.piece(0.0, 1.0)]
    while (apart := _integrated(pieces)) is not None and len(pieces) < PANELS:
        worst = max(range(len(pieces)), key=lambda k: pieces[k].missed)
        missed = math.hypot(*(piece.missed for piece in pieces))
        if missed <= max(NEGLIGIBLE * float(np.abs(apart[1]).max()), ROUNDOFF * calls.squares, enough):
            break
        piece = pieces[worst]
        middle = (piece.start + piece.stop) / 2
        pieces[worst : worst + 1] = [calls.piece(piece.start, middle), calls.piece(middle, piece.stop)]
    if apart is None:
        return None
    times, differences, claimed = apart
    integral = float(claimed[-1])
    leaps = np.abs(np.diff(differences))
    k = int(leaps.argmax())
    steepest = int(np.abs(np.diff(differences + claimed)).argmax())
    foretold = math.sqrt(
        sum(float(((on_host(route.moved[name])[places] * off) ** 2).sum()) for name, (places, off) in accused.items())
    )
    missed = math.hypot(*(piece.missed for piece in pieces))
    magnitude = sum(float(INTEGRALS[-1] @ np.abs(piece.slopes)) * (piece.stop - piece.start) for piece in pieces)
    return LongPath(
        elements=sum(len(places) for places, _ in accused.values()),
        apart=float(np.abs(differences).max()) + HALFWAY * missed,
        surely_apart=float(np.abs(differences).max()) - HALFWAY * missed,
        change=max(abs(integral), abs(integral + differences[-1]), calls.squares),
        claimed=abs(integral),
        kept=float(np.abs(claimed).max()) / (magnitude or 1.0),
        foretold=foretold,
        wander=np.array([_mean_square(times, differences, lag) for lag in LAGS]),
        in_common=np.array([(claimed * differences).mean(), (claimed * claimed).mean()]),
        leap=float(leaps[k]),
        leap_between=(float(times[k]), float(times[k + 1])),
        steepest_between=(float(times[steepest]), float(times[steepest + 1])),
        slope=calls.slope,
        piece=next(piece for piece in pieces if times[k + 1] <= piece.stop),
        route=route,
    )


def _mean_square(times: Floats, values: Floats, lag: float) -> float:
    """Return the mean square of what values change by over a lag."""
    first = np.flatnonzero(times + lag <= times[-1])
    later = np.searchsorted(times, times[first] + lag)
    return float(((values[later] - values[first]) ** 2).mean())


@dataclass(frozen=True)
class Piece:
    """Part of a path: forward's change since the path's start, and the claimed slope, at its nodes.

    ``missed`` is the size of the last Chebyshev coefficients' integral: what the quadrature may be off by.
    """

    start: float
    stop: float
    changes: Floats
    slopes: Floats

    @property
    def missed(self) -> float:
        """The last coefficients of the slope, over the length of the piece."""
        return float(np.abs(LAST @ self.slopes).max()) * (self.stop - self.start)

    def claimed(self, time: float) -> float:
        """Return the claim's integral from the start of the piece to a time in it."""
        length = self.stop - self.start
        series = chebyshev.chebint(COEFFICIENTS @ self.slopes, lbnd=-1)
        return float(chebyshev.chebval(2 * (time - self.start) / length - 1, series)) / 2 * length


class Calls:
    """Calls forward and backward along a route, once at each time.

    Attributes:
        slope: the claimed slope at the start.
        squares: root of the sum of squares of each element's share in it.

    """

    def __init__(self, claim: PathClaim, route: Route, start: Values) -> None:
        self._claim = claim
        self._route = route
        self._start = start
        self._known: dict[float, tuple[float, float]] = {}
        self.slope, self.squares = 0.0, 0.0

    def piece(self, start: float, stop: float) -> Piece:
        """Return what is found between two times; NaN where forward or backward is not finite."""
        found = np.array([self.at(start + time * (stop - start)) for time in TIMES])
        return Piece(start, stop, found[:, 0], found[:, 1])

    def at(self, time: float) -> tuple[float, float]:
        """Return forward's change since the start, and the claimed slope; NaN where one of the two is not finite."""
        if time not in self._known:
            self._known[time] = self._called(time)
        return self._known[time]

    def _called(self, time: float) -> tuple[float, float]:
        inputs = self._route.at(time)
        values = self._start if time == 0.0 else self._claim.values(inputs)
        gradients = self._claim.gradients(inputs, values) if values is not None else None
        if values is None or gradients is None:
            return math.nan, math.nan
        terms = [gradients[name] * moved for name, moved in self._route.moved.items()]
        slope = sum(float(term.sum()) for term in terms)
        if time == 0.0:
            self.slope = slope
            self.squares = math.sqrt(sum(float((term * term).sum()) for term in terms))
        return self._claim.change(values, self._start), slope


def _integrated(pieces: list[Piece]) -> tuple[Floats, Floats, Floats] | None:
    """Return all times, forward's change less the claim's integral at each, and that integral; None for NaN."""
    times, apart, integrals = [np.zeros(1)], [np.zeros(1)], [np.zeros(1)]
    for piece in pieces:
        length = piece.stop - piece.start
        so_far = integrals[-1][-1] + INTEGRALS @ piece.slopes * length
        times.append(piece.start + TIMES[1:] * length)
        apart.append((piece.changes - so_far)[1:])
        integrals.append(so_far[1:])
    if not all(np.isfinite(part).all() for part in (*apart, *integrals)):
        return None
    return np.concatenate(times), np.concatenate(apart), np.concatenate(integrals)


def jump_of(claim: PathClaim, path: LongPath, start: Values) -> float:
    """Return the size of a jump of the loss where it leaps most, by bisection; 0 where forward is steep and no more.

    What leaps is forward's change less the claim's integral. On the flat parts of a staircase that drifts as far as it
    leaps at the steps; where forward itself changes most there is a step.
    """
    roundoff = ROUNDOFF * float(abs(start.vector * claim.given.vector).max())
    for between, claimed in ((path.leap_between, path.piece.claimed), (path.steepest_between, _nothing)):
        jump, length = bisected(claim, path.route, start, between, claimed)
        if jump > max(roundoff, HEADROOM * abs(path.slope) * length):
            return jump
    return 0.0


def _nothing(time: float) -> float:
    return 0.0


def bisected(
    claim: PathClaim,
    route: Route,
    start: Values,
    between: tuple[float, float],
    claimed: Callable[[float], float] = _nothing,
) -> tuple[float, float]:
    """Return how much more forward changes than is claimed where it does so most, by bisection.

    Returns:
        The size of the change over the smallest interval that bisection comes to, and the length of that in time.

    """

    def change(time: float) -> float:
        values = claim.values(route.at(time))
        return claim.change(values, start) - claimed(time) if values is not None else math.nan

    low, high = between
    below, above = change(low), change(high)
    for _ in range(np.finfo(np.float64).nmant):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        there = change(middle)
        if abs(there - below) > abs(above - there):
            high, above = middle, there
        else:
            low, below = middle, there
    return abs(above - below), high - low
