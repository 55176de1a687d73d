"""Before an accusation: whether forward obeys the gradient theorem at the scales that were differenced.

A forward that is smooth as far as it can be seen needs no long paths: its slope over a much wider step, as it is or
extrapolated, bears the numerical gradient out. Where that does not, the arbiter decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.gradient.path_claim import path_claim
from gradaudit.checks.gradient.seen import Seen
from gradaudit.numerics.arrays import has_complex_dtype
from gradaudit.numerics.magnitude import norm_of_product
from gradaudit.numerics.margins import (
    CONFIRMATIONS,
    FAR,
    HEADROOM,
    MAX_UNSEEN,
    NEAR,
    QUARTER,
    SAFETY,
    SIGNIFICANT,
    SLOPE_RTOL,
    SMALL_SAMPLE,
    SPREAD,
    WIDE_STEP,
    WIDENING,
)
from gradaudit.numerics.path.arbiter import Ruling, arbitrate
from gradaudit.numerics.survey import ROUNDINGS
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.calls import LimitReachedError
from gradaudit.targets.op import OpError

CLOSE_STEPS = tuple(NEAR**2 * WIDENING**k for k in range(3))
"""Steps, in units of an input's scale, at which a claim is held against forward as close as float64 allows."""

APPROXIMATION_ERROR = 2 * SLOPE_RTOL
"""Mismatch, relative to the gradient there or the typical one, below which a smooth forward may be an approximation."""

Positions = NDArray[np.intp]
Floats = NDArray[np.float64]


def arbitrated(point: EvaluationPoint, results: Mapping[str, Result], seen: Mapping[str, Seen]) -> dict[str, Seen]:
    """Return what was seen of the gradients about which there is something to say, with that.

    Args:
        point: where forward was differenced.
        results: by input, what was made of it so far.
        seen: by input, what was seen.

    """
    failing = {name: seen[name] for name, result in results.items() if result.verdict is Verdict.FAIL and name in seen}
    # What is wrong in sum was held against forward's own noise: what this is at single indices excuses none of it.
    accused = {
        name: mismatches
        for name, what in failing.items()
        if not what.in_sum and len((mismatches := _mismatches(what))[0])
    }
    if not accused or any(has_complex_dtype(point.inputs[name]) for name in accused):
        return {}
    if all(_is_right_close_by(point, name, seen[name]) for name in accused):
        message = (
            "forward jumps near the point: differences with steps too small to reach the jump agree with the "
            "analytical gradient, wider ones do not"
        )
        jumps = Finding("discontinuity", message, {"count": sum(len(places) for places, _ in accused.values())})
        return {name: replace(seen[name], excused=jumps, remark=jumps) for name in accused}
    if any(_is_borne_out(point, name, seen[name]) for name in accused):
        return {}
    if point.narrowed and all(seen[name].witness == "differences" for name in accused):
        unit = spacing(point.narrowed) / 2
        message = f"forward rounds what it is given to {point.narrowed}: differences show its stairs"
        stairs = Finding("approximate-forward", message, {"by": "rounding", "supported": unit})
        return {name: replace(seen[name], excused=stairs, remark=stairs) for name in accused}
    claim = path_claim(point.on_host, tuple(accused))
    ruling = arbitrate(claim, accused, generator(point.subject.case, "arbiter"))
    finding = _finding(ruling)
    rounds = not ruling.withdrawn and _are_stairs(point, {name: seen[name] for name in accused}, ruling)
    if rounds:
        message = (
            f"along long paths, the integral of the analytical gradient equals forward's change to "
            f"{ruling.supported:.1e}, and near the point it does not: forward rounds to few digits on the way"
        )
        finding = Finding("approximate-forward", message, {"by": "rounding", "supported": ruling.supported})
    excused = finding if ruling.withdrawn or rounds else None
    return {name: replace(seen[name], excused=excused, remark=finding) for name in accused}


def _are_stairs(point: EvaluationPoint, seen: Mapping[str, Seen], ruling: Ruling) -> bool:
    """Whether long paths bear claims out as well as rounding to bfloat16 lets them, though forward stands still.

    Differences are far off the claims then.
    """
    if ruling.supported > SAFETY * spacing("bfloat16") / 2:
        return False
    return all(
        float(np.abs(_mismatches(each)[1]).max()) > SPREAD * each.claim.typical and _stands_still(point, name, each)
        for name, each in seen.items()
    )


def _stands_still(point: EvaluationPoint, name: str, seen: Seen) -> bool:
    """Whether forward does not change where elements that seem wrong move so far that what is claimed would show."""
    places, off = _mismatches(seen)
    claims = np.array([abs(complex(seen.claim.at(index)).real) for index in _indices(places, seen)])
    if np.median(np.abs(np.abs(off) - claims)) > QUARTER * np.median(claims):
        return False  # most differences are no smaller than what is claimed
    noise = ROUNDINGS * point.spacing * norm_of_product(point.upstream, point.outputs)
    for index in _indices(places[np.argsort(-np.abs(off))][:CONFIRMATIONS], seen):
        claimed = abs(seen.claim.at(index))
        if not claimed or changes_on_both_sides(point, name, index, HEADROOM * noise / claimed):
            return False
    return True


def _indices(places: Positions, seen: Seen) -> list[tuple[int, ...]]:
    shape = tuple(seen.claim.formula.shape)
    return [tuple(int(k) for k in np.unravel_index(place, shape)) for place in places]


def _mismatches(seen: Seen) -> tuple[Positions, Floats]:
    """Return the positions of wrong indices in C order, and what is claimed there less the numerical gradient.

    Not those where only the implementation in a narrow dtype strays from its formula: that is no question to forward.
    """
    claim, looks = seen.claim, seen.looks
    judged, _, _ = claim.judged(looks)
    rows = np.flatnonzero(judged.wrong & np.isfinite(looks.claimed))
    rows = rows[~claim.inaccurate_among(looks.places[rows])]
    shape = tuple(claim.formula.shape)
    places = np.ravel_multi_index(tuple(looks.places[rows].T), shape) if shape else np.zeros(len(rows), np.intp)
    return np.asarray(places, np.intp), np.real(looks.claimed[rows] - looks.numerical[rows])


def exceeds_approximation(seen: Seen) -> bool:
    """Whether a mismatch is more than what a smooth forward that is only approximate explains."""
    places, off = _mismatches(seen)
    rows = [tuple(int(k) for k in np.unravel_index(place, tuple(seen.claim.formula.shape))) for place in places]
    numerical = np.array([abs(seen.claim.at(index) - error) for index, error in zip(rows, off, strict=True)])
    return bool((np.abs(off) > APPROXIMATION_ERROR * np.maximum(numerical, seen.claim.typical)).any())


def _is_right_close_by(point: EvaluationPoint, name: str, seen: Seen) -> bool:
    """Whether differences much closer to the point bear the claims out that are furthest off: a stair is flat."""
    places, off = _mismatches(seen)
    noise = ROUNDINGS * point.spacing * norm_of_product(point.upstream, point.outputs)
    for place in places[np.argsort(-np.abs(off))][:SMALL_SAMPLE]:
        index = tuple(int(k) for k in np.unravel_index(place, tuple(seen.claim.formula.shape)))
        claimed = complex(seen.claim.at(index)).real
        steps = [part * point.scale_at(name, index) for part in CLOSE_STEPS]
        resolving = [step for step in steps if noise / step <= MAX_UNSEEN * abs(claimed)]
        if abs(off[list(places).index(place)]) <= SIGNIFICANT * SLOPE_RTOL * abs(claimed):
            return False  # they would not tell it from the numerical gradient
        agreeing = 0
        for step in resolving:
            slope = _slopes(point, name, index, step)[0].central
            agreeing += abs(slope - claimed) <= SLOPE_RTOL * abs(claimed) + noise / step
            if not agreeing and step != resolving[0]:
                return False  # the closest two tell
        if agreeing < CONFIRMATIONS:
            return False
    return True


class _Slopes(NamedTuple):
    """Those over a step up, over a step down and between both ends; NaN for none."""

    up: float
    down: float
    central: float


def changes_on_both_sides(point: EvaluationPoint, name: str, index: tuple[int, ...], step: float) -> bool:
    """Whether forward changes where one element is displaced by a step up, and where it is by one down."""
    slopes, _ = _slopes(point, name, index, step)
    return slopes.up != 0.0 and slopes.down != 0.0


def _slopes(point: EvaluationPoint, name: str, index: tuple[int, ...], step: float) -> tuple[_Slopes, bool]:
    """Return the slopes at one index, and whether forward changed at all."""
    host = point.on_host
    x, before = host.inputs[name], host.inputs[name][index]
    ends = []
    try:
        for side in (1.0, -1.0):
            x[index] = before + side * step
            ends.append((float(x[index]), host.evaluate()))
    finally:
        x[index] = before
    (above, plus), (below, minus) = ends
    here = float(before), host.outputs

    def slope(high: tuple[float, Floats], low: tuple[float, Floats]) -> float:
        distance = high[0] - low[0]
        return float(host.upstream @ (high[1] - low[1])) / distance if distance else math.nan

    slopes = _Slopes(slope((above, plus), here), slope(here, (below, minus)), slope((above, plus), (below, minus)))
    return slopes, bool((plus != host.outputs).any() or (minus != host.outputs).any())


def stands(point: EvaluationPoint, name: str, seen: Seen) -> bool:
    """Whether what is wrong with a gradient needs no arbiter: forward at large says the same, or has no say in it."""
    if has_complex_dtype(point.inputs[name]) or not len(_mismatches(seen)[0]):
        return True
    try:
        return _is_borne_out(point, name, seen)
    except (OpError, LimitReachedError):
        return False


def _is_borne_out(point: EvaluationPoint, name: str, seen: Seen) -> bool:
    """Whether the slope over a wide step says what the numerical gradient does at the index that is furthest off.

    And one over a far wider step must not say what is claimed there.
    """
    places, off = _mismatches(seen)
    worst = int(np.abs(off).argmax())
    index = tuple(int(k) for k in np.unravel_index(places[worst], tuple(seen.claim.formula.shape)))
    claimed = complex(seen.claim.at(index)).real
    numerical = claimed - float(off[worst])
    if abs(off[worst]) <= APPROXIMATION_ERROR * max(abs(numerical), seen.claim.typical):
        return False
    step = WIDE_STEP * point.scale_at(name, index)
    wide, moved = _slopes(point, name, index, step)
    if not moved:
        return False  # a step that forward does not see bears nothing out
    # The numerical gradient of a kink is that of one side.
    at_a_kink = bool((seen.looks.kink & (seen.looks.places == index).all(axis=1)).any())

    def is_near(slopes: _Slopes, slope: float, part: float) -> bool:
        close = [abs(each - slope) <= part * abs(float(off[worst])) for each in slopes]
        return any(close) if at_a_kink else close[-1]

    def limits(slopes: _Slopes, step: float) -> _Slopes:
        half, _ = _slopes(point, name, index, step / 2)
        return _Slopes(2 * half.up - slopes.up, 2 * half.down - slopes.down, (4 * half.central - slopes.central) / 3)

    if not (is_near(wide, numerical, SPREAD) or is_near(limits(wide, step), numerical, SPREAD)):
        return False
    if abs(off[worst]) > SPREAD * max(abs(numerical), seen.claim.typical) and not _stands_still(point, name, seen):
        return True
    # Wider than the cells of a table that is read linearly, or than stairs, its slope is that of the function.
    step = FAR * point.scale_at(name, index)
    far, _ = _slopes(point, name, index, step)
    return not (is_near(far, claimed, QUARTER) or is_near(limits(far, step), claimed, QUARTER))


def _finding(ruling: Ruling) -> Finding | None:
    evidence: dict[str, Any] = {"error": ruling.forward_error, "supported": ruling.supported, "jump": ruling.jump}
    if ruling.withdrawn and ruling.code:
        return Finding(ruling.code, ruling.reason, {"by": ruling.by, **evidence})
    if not ruling.supported <= SLOPE_RTOL:
        return None
    message = (
        f"along long paths, the integral of the analytical gradient equals forward's change to {ruling.supported:.1e}: "
        "either backward's formula is slightly wrong, or forward only approximates the function (an iteration, a "
        "series or a step size that is too coarse); the audit cannot distinguish the two"
    )
    return Finding("approximate-forward", message, evidence)
