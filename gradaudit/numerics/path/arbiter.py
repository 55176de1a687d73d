"""Asked before an accusation: whether forward obeys the gradient theorem at the scales that were differenced.

A forward that iterates until it is good enough, looks values up, rounds inside or rounds on purpose has local slopes
that are evidence of nothing. An accusation that rests on them is withdrawn where one of two things is shown:

- *Jump*: forward jumps, found by bisection, as no function with a derivative can, and along paths through half of the
  domain the change of forward and the integral of the claim stay within a few such jumps of each other.
- *Length*: along such paths they differ by far less than the accusation foretells and by next to nothing of what
  forward changes by, while the local mismatch is there at other points too, now with one sign and now with the other.

A claim that is wrong by a factor, a term or a region does neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import cycle

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, count, like, on_host
from gradaudit.numerics.path.claim import Claim, Values
from gradaudit.numerics.path.displacement import Route, draw
from gradaudit.numerics.path.nodes import COEFFICIENTS, INTEGRALS, LAST, TIMES, Floats

Accused = Mapping[str, tuple[NDArray[np.intp], Floats]]
"""By input: positions of accused elements in C order, and what is claimed there less the central difference."""

Differences = Callable[[dict[str, Array], str, NDArray[np.intp]], Floats]
"""Takes all inputs, the name of one and positions in it; returns central differences of the loss there."""

PATHS = 6

CERTAIN = 2
"""Paths that show what the accusation foretells: one may do so by chance."""

PANELS = 24
"""Most pieces of a path, each with its own polynomial: quadrature is good to 1e-11 with eight, to 1e-5 with one."""

SMALL_PART = 0.02
EXACT = 1e-14
"""Pieces are halved until what the quadrature misses is this part of what is found, or of forward's change."""

ENOUGH = 0.2
"""Or this part of forward's error, where that is known."""

SHARE = 0.5
"""Length of a path, as a part of the domain's width."""

TOGETHER = (1, 16)
"""Accused elements that are moved at once: the worst alone, then the worst of them."""

QUADRATURE = 1.4
"""A step anywhere in a panel changes its integral by at most 1.35 times the last coefficients (measured)."""

TAIL_OF_JUMPS = 4.0
"""Jumps that forward's error may add up to: a stopped iteration is off by jump / (1 - rate), for rates up to 3/4."""

COARSE = 0.01
COARSE_TAIL = 1.2
"""A jump above this part of forward's change is a staircase's step: nothing remains of it but the step itself."""

AGREES = 0.5
"""Where forward is a staircase, the claim must foretell its change at least to this part."""

FAR_BELOW = 0.2
TINY = 1e-3
"""Without a jump: largest difference along paths, relative to what the accusation foretells and to forward's change."""

ALIKE = 2.0
"""How many times farther from the claim a path of another accused element may be."""

STEPS = 0.02
"""Part of forward's change from which on a jump is a step of a staircase that was built, and not of rounding."""

FAR = (1.0, 0.5, 0.25)
"""Times at which paths are looked at for the accused mismatch, in turn: at an end an input may be saturated."""

RECURS_AT_ALL = 0.02
RECURS = 0.1
"""Parts of the accused mismatch that it must have at a far point, with a jump and without one."""

BISECTIONS = 48
ROUNDOFF = 1e-14
"""Of sums in float64, relative to their largest term."""

STEEPER = 20.0
"""How many times more than the claimed slope a jump changes forward over the last bisected interval."""

STEP = 2.0**-17
"""Of central differences, where the caller has none of its own, relative to the input's rms."""


@dataclass(frozen=True)
class Ruling:
    """What became of an accusation.

    Attributes:
        withdrawn: whether forward is shown to break the gradient theorem where it was differenced.
        code: ``approximate-forward`` or ``straight-through`` where withdrawn.
        by: ``jump`` or ``length`` where withdrawn.
        jump: the largest jump of ``<upstream, forward>`` that was found; 0 where there is none.
        forward_error: the largest difference between forward's change and the claim's integral, in units of the loss.
        supported: that, relative to forward's change: a relative tolerance below it asks for more than forward is.
        reason: a sentence for users.
        forwards: calls made.
        backwards: likewise.

    """

    withdrawn: bool
    code: str | None
    by: str | None
    jump: float
    forward_error: float
    supported: float
    reason: str
    forwards: int
    backwards: int


@dataclass(frozen=True)
class LongPath:
    """How forward's change and the claim's integral differ along one long path.

    Attributes:
        apart: the farthest that they get from each other, with the quadrature's error.
        change: what forward changes by along the way, by three measures the largest.
        claimed: magnitude of the claim's integral.
        foretold: how far apart they would be if the accused mismatch were an error all along.
        leap: the largest change of their difference between neighbouring nodes.
        leap_between: the times of these.
        slope: the claimed slope at the point.
        piece: the part of the path where the leap is.
        route: where it leads.

    """

    apart: float
    change: float
    claimed: float
    foretold: float
    leap: float
    leap_between: tuple[float, float]
    slope: float
    piece: Piece
    route: Route

    @property
    def as_foretold(self) -> bool:
        """Whether the accused mismatch is there all along, and no jump is in sight that would excuse it."""
        return self.apart > FAR_BELOW * self.foretold and self.apart > TAIL_OF_JUMPS * self.leap


def arbitrate(
    claim: Claim,
    accused: Accused,
    rng: np.random.Generator,
    differences: Differences | None = None,
    paths: int = PATHS,
) -> Ruling:
    """Say whether an accusation by central differences stands.

    It is withdrawn as a whole or not at all: where one accused element is shown to owe its mismatch to forward, the
    others are looked at one by one, up to 16, and together beyond.

    Args:
        claim: forward and backward at the accused point.
        accused: by input, positions of accused elements in C order and, for each, what is claimed less the central
            difference, in float64.
        rng: random stream for the paths.
        differences: central differences at other inputs, as the accusation was made; default: with a step of our own.
        paths: how many paths. Where the claim is wrong two settle it, of 9 to 130 forwards and backwards each. To
            withdraw takes about 500 of each.

    """
    at = claim.forwards, claim.backwards
    measured = differences or _central(claim)
    start = claim.values(claim.inputs)
    ruled = None
    seen: list[LongPath] = []
    if start is not None:
        for many in TOGETHER:
            ruled, seen = _ruled(claim, _worst(accused, many), start, rng, measured, paths)
            if ruled is not None or _size(accused) <= many:
                break
        if ruled is not None and not _others_too(claim, accused, start, rng, ruled, seen):
            ruled = None
    calls = claim.forwards - at[0], claim.backwards - at[1]
    return _withdrawal(ruled, seen, *calls) if ruled is not None else _standing(seen, *calls)


def _size(accused: Accused) -> int:
    return sum(len(places) for places, _ in accused.values())


def _others_too(
    claim: Claim, accused: Accused, start: Values, rng: np.random.Generator, ruled: Withdrawn, seen: list[LongPath]
) -> bool:
    """Whether the paths of the other accused elements, and of all together, stay as close to the claim."""
    each = _worst(accused, max(TOGETHER))
    alone = [
        {name: (places[k : k + 1], off[k : k + 1])} for name, (places, off) in each.items() for k in range(len(places))
    ]
    error = max(path.apart for path in seen)
    groups = alone[1:] if len(alone) > 1 else []
    if _size(accused) > max(TOGETHER):
        groups.append(dict(accused))
    for group in groups:
        path = _walk(claim, group, start, rng, aligned=True, enough=ENOUGH * error)
        if path is None:
            return False
        most = max(_most(ruled.jump, path.change), ALIKE * error) * math.sqrt(_size(group))
        if path.apart > most:
            return False
    return True


def _most(jump: float, change: float) -> float:
    """Return how far forward's error may take a path from the claim where forward jumps by so much."""
    return (COARSE_TAIL if jump > COARSE * change else TAIL_OF_JUMPS) * jump


def _standing(seen: list[LongPath], forwards: int, backwards: int) -> Ruling:
    apart = max((path.apart for path in seen), default=math.nan)
    relative = max((path.apart / path.change for path in seen if path.change), default=math.inf)
    reason = "along long paths the claim differs from forward's change by more than forward's own error explains"
    if not seen:
        reason = "no path through the domain could be evaluated"
    return Ruling(False, None, None, 0.0, apart, relative, reason, forwards, backwards)


def _withdrawal(ruled: Withdrawn, paths: list[LongPath], forwards: int, backwards: int) -> Ruling:
    apart = max(path.apart for path in paths)
    supported = max(path.apart / path.change for path in paths)
    staircase = ruled.jump > STEPS * float(np.median([path.change for path in paths]))
    code = "straight-through" if staircase else "approximate-forward"
    what = f"jumps by {ruled.jump:.1e}" if ruled.by == "jump" else f"wavers by {apart:.1e}"
    reason = (
        f"forward {what} in the loss, as no function with a derivative does at this scale; along {len(paths)} long"
        f" paths the claim accounts for all of forward's change but {supported:.1e} of it"
    )
    return Ruling(True, code, ruled.by, ruled.jump, apart, supported, reason, forwards, backwards)


@dataclass(frozen=True)
class Withdrawn:
    """What shows that forward breaks the theorem: ``jump`` or ``length``, and the largest jump found."""

    by: str
    jump: float


def _ruled(
    claim: Claim, accused: Accused, start: Values, rng: np.random.Generator, differences: Differences, number: int
) -> tuple[Withdrawn | None, list[LongPath]]:
    """Return what an accusation is withdrawn by, None where it stands; and the paths that were walked."""
    paths: list[LongPath] = []
    several = _size(accused) > 1
    for k in range(number):
        path = _walk(claim, accused, start, rng, aligned=several and k % 2 == 1)
        if path is None:
            return None, []
        paths.append(path)
        if len(paths) == CERTAIN and all(path.as_foretold for path in paths):
            return None, paths
    apart = np.array([path.apart for path in paths])
    changes = np.array([path.change for path in paths])
    foretold = np.array([path.foretold for path in paths])
    by_length = bool((apart <= FAR_BELOW * foretold).all() and (apart <= TINY * changes).all())
    jump = max(_jump(claim, path, start) for path in paths)
    by_jump = (
        jump > 0.0
        and bool((apart <= _most(jump, float(np.median(changes)))).all())
        and float(np.median(apart / changes)) <= AGREES
        and float(np.median(apart / foretold)) <= 1.0
        and float(np.median([path.claimed for path in paths])) > 0.0
    )
    if not by_jump and not by_length:
        return None, paths
    again = np.array(
        [
            _recurrence(claim, path.route.at(time), accused, differences)
            for path, time in zip(paths, cycle(FAR), strict=False)
        ]
    )
    if by_jump and bool((np.abs(again) > RECURS_AT_ALL).any()):
        return Withdrawn("jump", jump), paths
    both_signs = float(again.min()) < -RECURS_AT_ALL
    if by_length and float((np.abs(again) > RECURS).mean()) >= 0.5 and both_signs:
        return Withdrawn("length", jump), paths
    return None, paths


def _worst(accused: Accused, many: int) -> Accused:
    """Return the accused elements with the largest mismatches over all inputs."""
    sizes = np.sort(np.concatenate([np.abs(found) for _, found in accused.values()]))
    least = sizes[-min(many, sizes.size)]
    kept = {name: np.flatnonzero(np.abs(found) >= least)[:many] for name, (_, found) in accused.items()}
    return {name: (accused[name][0][k], accused[name][1][k]) for name, k in kept.items() if k.size}


def _walk(
    claim: Claim,
    accused: Accused,
    start: Values,
    rng: np.random.Generator,
    *,
    aligned: bool = False,
    enough: float = 0.0,
) -> LongPath | None:
    """Walk one path; its pieces are halved where the claim changes most, until the quadrature misses little enough.

    Displacements have random signs, or those of the mismatches, which then add up.
    """
    displacements = {}
    for name, (places, off) in accused.items():
        x = claim.inputs[name]
        moving = np.zeros(count(x))
        moving[places] = np.sign(off) if aligned else rng.choice((-1.0, 1.0), len(places))
        displacements[name] = draw(x, claim.domains[name], SHARE, rng, like(moving, x))
    route = Route(claim.inputs, displacements)
    walk = Walk(claim, route, start)
    pieces = [walk.piece(0.0, 1.0)]
    while (apart := _integrated(pieces)) is not None and len(pieces) < PANELS:
        worst = max(range(len(pieces)), key=lambda k: pieces[k].missed)
        missed = math.sqrt(sum(piece.missed**2 for piece in pieces))
        if missed <= max(SMALL_PART * float(np.abs(apart[1]).max()), EXACT * walk.squares, enough):
            break
        piece = pieces[worst]
        middle = (piece.start + piece.stop) / 2
        pieces[worst : worst + 1] = [walk.piece(piece.start, middle), walk.piece(middle, piece.stop)]
    if apart is None:
        return None
    times, differences, integral = apart
    leaps = np.abs(np.diff(differences))
    k = int(leaps.argmax())
    foretold = math.sqrt(
        sum(float(((on_host(route.moved[name])[places] * off) ** 2).sum()) for name, (places, off) in accused.items())
    )
    missed = math.sqrt(sum(piece.missed**2 for piece in pieces))
    return LongPath(
        apart=float(np.abs(differences).max()) + QUADRATURE * missed,
        change=max(abs(integral), abs(integral + differences[-1]), walk.squares),
        claimed=abs(integral),
        foretold=foretold,
        leap=float(leaps[k]),
        leap_between=(float(times[k]), float(times[k + 1])),
        slope=walk.slope,
        piece=next(piece for piece in pieces if times[k + 1] <= piece.stop),
        route=route,
    )


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


class Walk:
    """Calls forward and backward along a route, once at each time.

    Attributes:
        slope: the claimed slope at the start.
        squares: root of the sum of squares of each element's share in it.

    """

    def __init__(self, claim: Claim, route: Route, start: Values) -> None:
        self._claim = claim
        self._route = route
        self._start = start
        self._known: dict[float, tuple[float, float]] = {}
        self.slope, self.squares = 0.0, 0.0

    def piece(self, start: float, stop: float) -> Piece:
        """Return what is found between two times; NaN where forward or backward is not finite."""
        found = np.array([self._at(start + time * (stop - start)) for time in TIMES])
        return Piece(start, stop, found[:, 0], found[:, 1])

    def _at(self, time: float) -> tuple[float, float]:
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


def _integrated(pieces: list[Piece]) -> tuple[Floats, Floats, float] | None:
    """Return all times, forward's change less the claim's integral at each, and the whole integral; None for NaN."""
    times, apart, integral = [np.zeros(1)], [np.zeros(1)], 0.0
    for piece in pieces:
        length = piece.stop - piece.start
        so_far = integral + INTEGRALS @ piece.slopes * length
        times.append(piece.start + TIMES[1:] * length)
        apart.append((piece.changes - so_far)[1:])
        integral = float(so_far[-1])
    if not math.isfinite(integral) or not all(np.isfinite(part).all() for part in apart):
        return None
    return np.concatenate(times), np.concatenate(apart), integral


def _jump(claim: Claim, path: LongPath, start: Values) -> float:
    """Return the size of a jump of the loss where it leaps most, by bisection; 0 where forward is steep and no more."""

    def apart(time: float) -> float:
        values = claim.values(path.route.at(time))
        return claim.change(values, start) - path.piece.claimed(time) if values is not None else math.nan

    low, high = path.leap_between
    below, above = apart(low), apart(high)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        if not low < middle < high:
            break
        between = apart(middle)
        if abs(between - below) > abs(above - between):
            high, above = middle, between
        else:
            low, below = middle, between
    jump = abs(above - below)
    roundoff = ROUNDOFF * float(abs(start.vector * claim.weights).max())
    return jump if jump > STEEPER * abs(path.slope) * (high - low) + roundoff else 0.0


def _recurrence(claim: Claim, inputs: dict[str, Array], accused: Accused, differences: Differences) -> float:
    """Return the size of the mismatch at a far point, relative to the accused one; negative where it changed sign."""
    values = claim.values(inputs)
    gradients = claim.gradients(inputs, values) if values is not None else None
    if gradients is None:
        return 0.0
    squares, accused_squares, product = 0.0, 0.0, 0.0
    for name, (places, off) in accused.items():
        far = on_host(gradients[name])[places] - differences(inputs, name, places)
        squares += float((far**2).sum())
        accused_squares += float((off**2).sum())
        product += float((far * off).sum())
    return math.copysign(math.sqrt(squares / accused_squares), product)


def _central(claim: Claim) -> Differences:
    """Return central differences with one step; enough to see whether a mismatch is there at another point too."""

    def differences(inputs: dict[str, Array], name: str, places: NDArray[np.intp]) -> Floats:
        x = inputs[name]
        host = np.asarray(on_host(x), dtype=np.float64).reshape(-1)
        step = STEP * float(np.sqrt((host**2).mean())) or STEP
        found = np.zeros(len(places))
        for k, place in enumerate(places):
            moving = np.zeros(host.size)
            moving[place] = step
            sides = [Route(inputs, {name: like(side * moving, x)}) for side in (1.0, -1.0)]
            above, below = (claim.values(side.at(1.0)) for side in sides)
            apart = float(on_host(sides[0].moved[name] - sides[1].moved[name])[place])
            found[k] = claim.change(above, below) / apart if above is not None and below is not None else np.nan
        return found

    return differences
