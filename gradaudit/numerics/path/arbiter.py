"""Asked before an accusation: whether forward obeys the gradient theorem at the scales that were differenced.

A forward that iterates until it is good enough, looks values up, rounds inside or rounds on purpose has local slopes
that are evidence of nothing. An accusation that rests on them is withdrawn where one of three things is shown:

- *Step*: forward is constant but for one or two steps: a sign, a threshold, a rounding to three values. Whatever is
  claimed is another function's derivative, of which they say which way it goes and no more.
- *Jump*: forward jumps, found by bisection, as no function with a derivative can, and along paths through half of the
  domain the change of forward and the integral of the claim stay within a few such jumps of each other; or they stay
  as close at the end as on the way, as where one element moves many staircases.
- *Length*: along such paths they differ by far less than the accusation foretells and by next to nothing of what
  forward changes by, while the local mismatch is there at other points too, now with one sign and now with the other.

A claim that is wrong by a factor, a term or a region does none of these where forward is smooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import Array, like, on_host
from gradaudit.numerics.margins import (
    CONFIRMATIONS,
    MAX_LISTED,
    NEGLIGIBLE,
    QUARTER,
    SAFETY,
    SIGNIFICANT,
    SLOPE_RTOL,
    SMALL_SAMPLE,
    SPREAD,
    STEP,
)
from gradaudit.numerics.path.claim import PathClaim, Values
from gradaudit.numerics.path.displacement import Route, drawn_for
from gradaudit.numerics.path.long_path import ROUNDOFF, SHARE, Accused, LongPath, bisected, jump_of, walk_far
from gradaudit.numerics.path.nodes import TIMES, TREND, Floats
from gradaudit.numerics.path.pool import ALPHA

TOGETHER = (1, MAX_LISTED)
"""Accused elements that are moved at once: the worst alone, then the worst of them."""

COARSE_TAIL = 1 + 2 * SPREAD
"""Jumps that a staircase's error may come to, and part of what the accusation foretells that it may be: steps make up
for flat parts, so that nothing remains but the step itself. A jump that stands alone is no staircase."""

COARSE_TAIL_OF_MANY = math.sqrt(math.log(2 / ALPHA) / 2)
"""Likewise where many move, relative to the root of the sum of their squares. Each is off by one of two values that lie
a step apart, and by none on average: Hoeffding's bound holds but once in 10,000."""

FAR_BELOW = 2 * SPREAD
"""Without a jump: largest difference along paths, relative to what the accusation foretells; half of it, twice as much
and what forward's own error leaves of a right claim lie far apart."""

FAR = tuple(TIMES[: TREND - 1 : -1])
"""Times at which paths are looked at for the accused mismatch, in turn: at an end an input may be saturated. There are
as many paths: six mismatches of random signs have the same sign once in 32 times."""

CENTRAL_STEP = STEP / SIGNIFICANT
"""Of central differences, relative to the input's rms."""


@dataclass(frozen=True)
class Ruling:
    """What became of an accusation.

    Attributes:
        reason: a sentence for users.
        forward_error: the largest difference between forward's change and the claim's integral, in units of the loss.
        supported: that, relative to forward's change: a relative tolerance below it asks for more than forward is.
        by: what shows that forward breaks the gradient theorem where it was differenced; None where nothing does.
        code: ``approximate-forward`` or ``straight-through`` then.
        jump: the largest jump of ``<upstream, forward>`` that was found; 0 where there is none.

    """

    reason: str
    forward_error: float
    supported: float
    by: Literal["step", "jump", "length"] | None = None
    code: str = ""
    jump: float = 0.0


def arbitrate(claim: PathClaim, accused: Accused, rng: np.random.Generator) -> Ruling:
    """Say whether an accusation by central differences stands.

    It is withdrawn as a whole or not at all: where one accused element is shown to owe its mismatch to forward, the
    others are looked at one by one, up to 16, and together beyond. Where the claim is wrong two paths settle it, of 9
    to 130 forwards and backwards each. To withdraw takes about 500 of each.

    Args:
        claim: forward and backward at the accused point.
        accused: by input, positions of accused elements in C order and, for each, what is claimed less the central
            difference, in float64.
        rng: random stream for the paths.

    """
    start = claim.values(claim.inputs)
    if start is None:
        return _standing([])
    if _is_flat(claim, accused, start) and (step := _step_of(claim, _worst(accused, max(TOGETHER)), start, rng)):
        return _step_function(step)
    for many in TOGETHER:
        ruled, seen = _ruled(claim, _worst(accused, many), start, rng)
        if ruled is not None or _size(accused) <= many or (seen and not _stays(seen) and _is_by_a_factor(seen)):
            break
    if ruled is None or not _others_too(claim, accused, start, rng, ruled, seen):
        return _standing(seen)
    return ruled


def _size(accused: Accused) -> int:
    return sum(len(places) for places, _ in accused.values())


def _others_too(
    claim: PathClaim, accused: Accused, start: Values, rng: np.random.Generator, ruled: Ruling, seen: list[LongPath]
) -> bool:
    """Whether the paths of the other accused elements, and of all together, stay as close to the claim."""
    each = _worst(accused, max(TOGETHER))
    alone = [
        {name: (places[k : k + 1], off[k : k + 1])} for name, (places, off) in each.items() for k in range(len(places))
    ]
    alone.sort(key=_largest, reverse=True)
    error = max(path.apart for path in seen)
    groups = [each, *alone[1:]] if len(alone) > 1 else []  # what is off by a common factor shows where many move
    if _size(accused) > max(TOGETHER):
        groups.append(dict(accused))
    return all(_is_near(claim, group, start, rng, ruled, error) for group in groups)


def _is_near(
    claim: PathClaim, group: Accused, start: Values, rng: np.random.Generator, ruled: Ruling, error: float
) -> bool:
    """Whether some elements' paths stay as close to the claim as the error of one that is withdrawn lets them.

    Or where forward jumps, no further away at their ends than on their way.
    """
    paths: list[LongPath] = []
    size, strays = _size(group), False
    # Steps and roundings add up as random numbers do; what wavers smoothly may do so in step.
    many = size if ruled.by == "length" else math.sqrt(size)
    for k in range(SMALL_SAMPLE):
        path = walk_far(claim, group, start, rng, aligned=k % 2 == 0, enough=FAR_BELOW * error)
        if path is None:
            return False
        paths.append(path)
        # What the quadrature misses is not held against an element, nor against many at once, which it cannot follow.
        most = max(_most(ruled.jump, path.change, size), 2 * error) * many
        strays |= path.surely_apart > most or (size == 1 and path.apart > SAFETY * most)
        if ruled.by == "length" or (size == 1 and not strays):
            return not strays
    return _stays(paths) or not (strays or _is_by_a_factor(paths))


def _most(jump: float, change: float, many: int = 1) -> float:
    """Return how far an error of forward that jumps, and changes along a path, may take this from the claim."""
    if jump <= NEGLIGIBLE * change:
        return SAFETY * jump
    return (COARSE_TAIL if many == 1 else COARSE_TAIL_OF_MANY) * jump


def _standing(seen: list[LongPath]) -> Ruling:
    apart = max((path.apart for path in seen), default=math.nan)
    relative = max((path.apart / path.change for path in seen if path.change), default=math.inf)
    reason = "along long paths, the gradient's integral differs from forward's change by more than forward's own error"
    return Ruling(reason if seen else "forward could not be evaluated along any path", apart, relative)


def _is_flat(claim: PathClaim, accused: Accused, start: Values) -> bool:
    """Whether the numerical gradient is zero wherever the claim is accused: the mismatch is the claim itself."""
    gradients = claim.gradients(claim.inputs, start)
    if gradients is None:
        return False
    return all(
        bool((np.abs(on_host(gradients[name])[places] - off) <= SLOPE_RTOL * np.abs(off)).all())
        for name, (places, off) in accused.items()
    )


def _step_of(claim: PathClaim, accused: Accused, start: Values, rng: np.random.Generator) -> float:
    """Return the largest step of the loss along paths of single accused elements.

    0 where forward does more than step, or steps the other way than is claimed.
    """
    largest = 0.0
    for name, (places, claimed) in accused.items():
        for place, slope in zip(places, claimed, strict=True):
            route = drawn_for(claim, {name: (np.array([place]), None)}, SHARE, rng)
            steps = _steps(claim, route, start)
            if steps is None or sum(steps) * slope * float(route.moved[name][place]) < 0.0:
                return 0.0
            largest = max(largest, *map(abs, steps), 0.0)
    return largest


def _steps(claim: PathClaim, route: Route, start: Values) -> list[float] | None:
    """Return the steps of the loss along a route; None if they are not few, or if forward changes between them."""
    roundoff = ROUNDOFF * float(abs(start.vector * claim.given.vector).max())
    found: list[float] = []
    before = start
    for k in range(MAX_LISTED):
        after = claim.values(route.at((k + 1) / MAX_LISTED))
        if after is None:
            return None
        change = claim.change(after, before)
        if abs(change) > roundoff:
            jump, _ = bisected(claim, route, start, (k / MAX_LISTED, (k + 1) / MAX_LISTED))
            found.append(change)
            # A value of its own at the very step, as sign has at zero, leaves half of it on either side.
            # Three steps are the first that tell a claim from its half.
            if len(found) > CONFIRMATIONS or jump <= 0.49 * abs(change):
                return None
        before = after
    return found


def _step_function(step: float) -> Ruling:
    reason = (
        f"forward is constant except for steps of up to {step:.1e} in the loss, so its derivative is zero or undefined;"
        " backward is the derivative of another function: name that function in `surrogate:`"
    )
    return Ruling(reason, step, math.inf, "step", "straight-through", step)


def _withdrawal(by: Literal["jump", "length"], jump: float, paths: list[LongPath]) -> Ruling:
    few = [path for path in paths if path.elements <= max(TOGETHER)]
    apart, supported = max(path.apart for path in few), max(path.apart / path.change for path in few)
    staircase = jump > NEGLIGIBLE * float(np.median([path.change / math.sqrt(path.elements) for path in paths]))
    code = "straight-through" if staircase else "approximate-forward"
    what = f"jumps by {jump:.1e}" if by == "jump" else f"varies irregularly by {apart:.1e}"
    reason = (
        f"forward {what} in the loss, so it only approximates a smooth function; along {len(paths)} long paths the"
        f" integral of the analytical gradient equals forward's change to {supported:.1e}"
    )
    return Ruling(reason, apart, supported, by, code, jump)


def _ruled(
    claim: PathClaim, accused: Accused, start: Values, rng: np.random.Generator
) -> tuple[Ruling | None, list[LongPath]]:
    """Return what an accusation is withdrawn by, None where it stands; and the paths that were walked."""
    paths: list[LongPath] = []
    several = _size(accused) > 1
    for k in range(len(FAR)):
        path = walk_far(claim, accused, start, rng, aligned=several and k % 2 == 1)
        if path is None:
            return None, []
        paths.append(path)
        if len(paths) == CONFIRMATIONS and all(_as_foretold(path) for path in paths):
            return None, paths
        if len(paths) >= CONFIRMATIONS and any(path.apart > COARSE_TAIL * path.foretold for path in paths):
            return None, paths  # too far for any rule below, whatever more paths and jumps are found
    apart = np.array([path.apart for path in paths])
    changes = np.array([path.change for path in paths])
    foretold = np.array([path.kept * path.foretold for path in paths])
    # Where the error of forward is known, the quadrature may miss the first part of it.
    by_length = bool((apart <= FAR_BELOW * foretold).all() and (apart <= SLOPE_RTOL * changes).all())
    jump = max(jump_of(claim, path, start) for path in paths)
    within = bool((apart <= _most(jump, float(np.median(changes)))).all()) and float(np.median(apart / changes)) <= 0.5
    by_jump = (
        jump > 0.0
        # Jumps of ten thousand staircases add up, as random numbers do; and the claim foretells most of it.
        and (within or (jump > NEGLIGIBLE * apart.max() and _stays(paths) and not _is_by_a_factor(paths)))
        and float(np.median([path.claimed for path in paths])) > 0.0
    )
    if not by_jump and not by_length:
        return None, paths
    pairs = zip(paths, FAR, strict=True)
    again = np.array([_recurrence(claim, path.route.at(time), accused) for path, time in pairs])
    if by_jump and bool((np.abs(again) > NEGLIGIBLE).any()):
        return _withdrawal("jump", jump, paths), paths
    both_signs = float(again.min()) < -NEGLIGIBLE
    if by_length and float((np.abs(again) > SPREAD).mean()) >= 0.5 and both_signs:
        return _withdrawal("length", jump, paths), paths
    return None, paths


def _stays(paths: list[LongPath]) -> bool:
    """Whether what forward and claim are apart by stays as large however far a path leads.

    So do the errors of many staircases, as of a layer whose activations are rounded. Over a way four times as long
    the square of an error that grows is 16 times as large, that of a random walk four times; between that and one
    lies two.
    """
    near, far = np.sum([path.wander for path in paths], axis=0)
    return bool(far <= 2.0 * near)


def _is_by_a_factor(paths: list[LongPath]) -> bool:
    """Whether what forward and claim are apart by goes with the claim: by a quarter of it, or more."""
    with_difference, with_itself = np.sum([path.in_common for path in paths], axis=0)
    return bool(abs(with_difference) > QUARTER * with_itself)


def _as_foretold(path: LongPath) -> bool:
    """Whether the accused mismatch is there all along, and no jump is in sight that would excuse it."""
    return path.apart > FAR_BELOW * path.foretold and path.apart > SAFETY * path.leap


def _worst(accused: Accused, many: int) -> Accused:
    """Return the accused elements with the largest mismatches over all inputs."""
    sizes = np.sort(np.concatenate([np.abs(found) for _, found in accused.values()]))
    least = sizes[-min(many, sizes.size)]
    kept = {name: np.flatnonzero(np.abs(found) >= least)[:many] for name, (_, found) in accused.items()}
    return {name: (accused[name][0][k], accused[name][1][k]) for name, k in kept.items() if k.size}


def _largest(accused: Accused) -> float:
    return max(float(np.abs(off).max()) for _, off in accused.values())


def _recurrence(claim: PathClaim, inputs: dict[str, Array], accused: Accused) -> float:
    """Return the size of the mismatch at a far point, relative to the accused one; negative where it changed sign."""
    values = claim.values(inputs)
    gradients = claim.gradients(inputs, values) if values is not None else None
    if gradients is None:
        return 0.0
    squares, accused_squares, product = 0.0, 0.0, 0.0
    for name, (places, off) in accused.items():
        far = on_host(gradients[name])[places] - _differences(claim, inputs, name, places)
        squares += float((far**2).sum())
        accused_squares += float((off**2).sum())
        product += float((far * off).sum())
    return math.copysign(math.sqrt(squares / accused_squares), product)


def _differences(claim: PathClaim, inputs: dict[str, Array], name: str, places: NDArray[np.intp]) -> Floats:
    """Return central differences with one step; enough to see whether a mismatch is there at another point too."""
    x = inputs[name]
    host = np.asarray(on_host(x), dtype=np.float64).reshape(-1)
    step = CENTRAL_STEP * float(np.sqrt((host**2).mean())) or CENTRAL_STEP
    found = np.full(len(places), np.nan)
    for k, place in enumerate(places):
        moving = np.zeros(host.size)
        moving[place] = step
        sides = [Route(inputs, {name: like(side * moving, x)}) for side in (1.0, -1.0)]
        above, below = (claim.values(side.at(1.0)) for side in sides)
        apart = float(on_host(sides[0].moved[name] - sides[1].moved[name])[place])
        if above is not None and below is not None and apart:
            found[k] = claim.change(above, below) / apart
    return found
