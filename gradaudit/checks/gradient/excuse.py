"""Whether a mismatch may be forward's own doing: asked of every accusation before it is made.

A wrong claim contradicts forward at every scale at which forward can be read: close to the point, over a wide step,
along a long path. A forward that jumps, rounds or only approximates contradicts a right claim at some of them. So what
differences accuse is held against closer and wider ones and against long paths; what paths accuse is held against
differences and finer paths (``path_excuse``). The rules are asked in turn; the first that has an answer gives it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.close_look import CloseLooks
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.gradient.path_claim import path_claim
from gradaudit.checks.gradient.seen import Index, Seen
from gradaudit.numerics.arrays import has_complex_dtype
from gradaudit.numerics.derivative import Difference
from gradaudit.numerics.magnitude import norm_of_product
from gradaudit.numerics.margins import (
    CONFIRMATIONS,
    FAR,
    HEADROOM,
    MAX_UNSEEN,
    NEAR,
    QUARTER,
    SAFETY,
    SLOPE_RTOL,
    SMALL_SAMPLE,
    SPREAD,
    WIDE_STEP,
    WIDENING,
)
from gradaudit.numerics.path.arbiter import arbitrate
from gradaudit.numerics.survey import ROUNDINGS
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.calls import LimitReachedError
from gradaudit.targets.op import OpError

APPROXIMATION_ERROR = 2 * SLOPE_RTOL
"""Mismatch, relative to the gradient there or the typical one, below which a smooth forward may be an approximation."""


@dataclass(frozen=True)
class Answer:
    """Whether forward explains a mismatch.

    Attributes:
        by: what of forward does: a jump, rounding, noise without a slope, steps and no more, error that shows at no
            length of a path, or a change in a place so short that no path shows it; None where nothing does, so that
            the accusation stands.
        why: a sentence for users.
        finding: what is to be told of forward, whether or not it explains the mismatch.
        supported: the relative error of forward along long paths, where these say it.

    """

    by: Literal["jump", "rounding", "noise", "step", "length", "short"] | None = None
    why: str = ""
    finding: Finding | None = None
    supported: float = 0.0

    @property
    def on_stairs(self) -> bool:
        """Whether rounding inside of forward may be all that explains it: paths that are long enough tell."""
        is_approximate = self.finding is not None and self.finding.code == "approximate-forward"
        return self.by == "noise" or (is_approximate and self.by in ("jump", "rounding"))

    @classmethod
    def jump(cls, why: str, count: int) -> Answer:
        """Return that forward jumps, which accuses nobody at so many indices."""
        return cls("jump", why, Finding("discontinuity", why, {"count": count}))

    @classmethod
    def rounding(cls, why: str, supported: float) -> Answer:
        """Return that forward rounds, so that a right claim fits it to no more than this relative error."""
        evidence = {"by": "rounding", "supported": supported}
        return cls("rounding", why, Finding("approximate-forward", why, evidence), supported)


STANDS = Answer()


def first_answer(rules: Iterable[Callable[[Any], Answer | None]], asked: Any) -> Answer:
    """Return the answer of the first rule that has one."""
    return next((answer for rule in rules if (answer := rule(asked)) is not None), STANDS)


class Accused(NamedTuple):
    """The wrong indices of a gradient: positions in C order, what is claimed, and that less the numerical gradient."""

    seen: Seen
    looks: CloseLooks
    places: NDArray[np.intp]
    claimed: NDArray[np.number]
    off: NDArray[np.float64]

    @classmethod
    def of(cls, seen: Seen) -> Accused:
        """Return what is wrong, but for where only the implementation in a narrow dtype strays from its formula.

        That is no question to forward.
        """
        claim, looks = seen.claim, seen.looks
        judged, _, _ = claim.judged(looks)
        rows = np.flatnonzero(judged.wrong & np.isfinite(looks.claimed))
        rows = rows[~claim.inaccurate_among(looks.places[rows])]
        shape = tuple(claim.formula.shape)
        places = np.ravel_multi_index(tuple(looks.places[rows].T), shape) if shape else np.zeros(len(rows), np.intp)
        off = np.real(looks.claimed[rows] - looks.numerical[rows])
        return cls(seen, CloseLooks(claim), np.asarray(places, np.intp), looks.claimed[rows], off)

    def worst(self, many: int) -> list[tuple[Index, float, float]]:
        """Return the indices that are furthest off, what is claimed there, and how far off it is."""
        rows = np.argsort(-np.abs(self.off), kind="stable")[:many]
        indices = map(self.seen.claim.index_of, map(int, self.places[rows]))
        return [*zip(indices, self.claimed[rows].real.tolist(), self.off[rows].tolist(), strict=True)]


def excused(results: Mapping[str, Result], seen: Mapping[str, Seen]) -> dict[str, Seen]:
    """Return what was seen of the gradients about which forward has something to say, with that."""
    failing = [seen[name] for name, result in results.items() if result.verdict is Verdict.FAIL and name in seen]
    # What is wrong in sum was held against forward's own noise: what this is at single indices excuses none of it.
    accused = [made for what in failing if not what.in_sum and len((made := Accused.of(what)).places)]
    if not accused or any(has_complex_dtype(each.seen.claim.formula) for each in accused):
        return {}
    answer = first_answer((_jumps_nearby, _is_seen_from_afar, _rounds_inputs, _has_no_slope, _fits_long_paths), accused)
    excuse, told = answer if answer.by else None, answer.finding
    return {each.seen.claim.name: replace(each.seen, excused=excuse, remark=told) for each in accused}


def stands(seen: Seen) -> bool:
    """Whether what is wrong with a gradient needs no arbiter: forward at large says the same, or has no say in it."""
    accused = Accused.of(seen)
    if has_complex_dtype(seen.claim.formula) or not len(accused.places):
        return True
    try:
        return _is_borne_out(accused)
    except (OpError, LimitReachedError):
        return False


def exceeds_approximation(seen: Seen) -> bool:
    """Whether a mismatch is more than what a smooth forward that is only approximate explains."""
    accused = Accused.of(seen)
    matters = np.maximum(np.abs(accused.claimed - accused.off), seen.claim.typical)
    return bool((np.abs(accused.off) > APPROXIMATION_ERROR * matters).any())


def _jumps_nearby(accused: Sequence[Accused]) -> Answer | None:
    if not all(map(_is_right_close_by, accused)):
        return None
    message = (
        "forward jumps or oscillates near the point: differences with steps too small to reach that agree with the "
        "analytical gradient, wider ones do not"
    )
    return Answer.jump(message, sum(len(each.places) for each in accused))


def _is_seen_from_afar(accused: Sequence[Accused]) -> Answer | None:
    return STANDS if any(map(_is_borne_out, accused)) else None


def _rounds_inputs(accused: Sequence[Accused]) -> Answer | None:
    narrowed = accused[0].seen.claim.point.narrowed
    if narrowed is None or any(each.seen.witness == "path" for each in accused):
        return None
    message = f"forward rounds what it is given to {narrowed}: differences show its stairs"
    return Answer.rounding(message, spacing(narrowed) / 2)


def _has_no_slope(accused: Sequence[Accused]) -> Answer | None:
    """Find that along lines of all elements forward is noise at every scale: then one that looks smooth is a tooth."""
    if not all(each.looks.is_blind() for each in accused):
        return None
    return Answer("noise", "forward's roundoff exceeds its changes at every scale: it has no measurable slope")


def _fits_long_paths(accused: Sequence[Accused]) -> Answer | None:
    """Withdraw what long paths do not bear out; say how well they fit the claims where that is well."""
    point = accused[0].seen.claim.point
    by_name = {each.seen.claim.name: (each.places, each.off) for each in accused}
    ruling = arbitrate(path_claim(point.on_host, tuple(by_name)), by_name, generator(point.subject.case, "arbiter"))
    supported = ruling.supported
    evidence = {"error": ruling.forward_error, "supported": supported, "jump": ruling.jump}
    if ruling.by is not None:
        finding = Finding(ruling.code, ruling.reason, {"by": ruling.by, **evidence})
        return Answer(ruling.by, ruling.reason, finding, supported)
    said = f"along long paths, the integral of the analytical gradient equals forward's change to {supported:.1e}"
    if supported <= SAFETY * spacing("bfloat16") / 2 and all(
        np.abs(each.off).max() > SPREAD * each.seen.claim.typical and _stands_still(each) for each in accused
    ):
        message = f"{said}, and near the point it does not: forward rounds to few digits on the way"
        return Answer.rounding(message, supported)
    if supported <= SLOPE_RTOL:
        message = (
            f"{said}: either backward's formula is slightly wrong, or forward only approximates the function (an "
            "iteration, a series or a step size that is too coarse); the audit cannot distinguish the two"
        )
        return Answer(finding=Finding("approximate-forward", message, evidence))
    return None


def _stands_still(accused: Accused) -> bool:
    """Whether forward does not change where elements that seem wrong move so far that what is claimed would show."""
    claims = np.abs(accused.claimed)
    if np.median(np.abs(np.abs(accused.off) - claims)) > QUARTER * np.median(claims):
        return False  # most differences are no smaller than what is claimed
    claim = accused.seen.claim
    noise = HEADROOM * _noise(claim.point)
    return all(
        claimed and not _changes_on_both_sides(accused.looks, index, noise / abs(claimed))
        for index, claimed, _ in accused.worst(CONFIRMATIONS)
    )


def _noise(point: EvaluationPoint) -> float:
    return ROUNDINGS * point.spacing * norm_of_product(point.upstream, point.outputs)


def _is_right_close_by(accused: Accused) -> bool:
    """Whether differences much closer to the point bear the claims out that are furthest off: a stair is flat."""
    for index, claimed, off in accused.worst(SMALL_SAMPLE):
        close = min(SLOPE_RTOL * abs(claimed), QUARTER * abs(off))  # which tells it from the numerical gradient
        told = _closest(accused, index, MAX_UNSEEN * min(abs(claimed), abs(off)))
        agreeing = [0, 0]
        for near in told:
            agreeing[abs(near.central - claimed) <= close + SAFETY * near.rounding] += 1
            if max(agreeing) == CONFIRMATIONS:
                break
        if agreeing[True] < CONFIRMATIONS:
            return False
    return True


def _closest(accused: Accused, index: Index, most: float) -> Iterator[Difference]:
    """Yield differences, first so close to the point that rounding leaves just less of a slope than this in doubt.

    The others, further away, tell of jumps where forward is noisier than its rounding.
    """
    if not most:
        return  # of what is claimed to be zero any slope is more
    point = accused.seen.claim.point
    axes = accused.looks.along(index)
    step = wide = max(NEAR**2, SAFETY * point.spacing) * point.scale_at(accused.seen.claim.name, index)
    for _ in range(CONFIRMATIONS):  # once it is known which outputs depend on the element, less of them rounds
        if (near := axes.at(0, step)) is None:
            return
        step *= SAFETY * near.rounding / most
    wide = max(wide, WIDENING**CONFIRMATIONS * step)
    for found in (axes.at(0, each) for each in (step, math.sqrt(step * wide), wide)):
        if found is not None and found.rounding <= most:
            yield found


def _is_borne_out(accused: Accused) -> bool:
    """Whether the slope over a wide step says what the numerical gradient does at the index that is furthest off.

    And one over a far wider step must not say what is claimed there.
    """
    claim, looks = accused.seen.claim, accused.seen.looks
    ((index, claimed, off),) = accused.worst(1)
    numerical = claimed - off
    matters = max(abs(numerical), claim.typical)
    if abs(off) <= APPROXIMATION_ERROR * matters:
        return False
    # The numerical gradient of a kink is that of one side.
    at_a_kink = bool((looks.kink & (looks.places == index).all(axis=1)).any())

    def shows(part: float, slope: float, most: float) -> bool:
        step = part * claim.point.scale_at(claim.name, index)
        return any(abs(each - slope) <= most for each in _slopes(accused.looks, index, step, one_sided=at_a_kink))

    if not shows(WIDE_STEP, numerical, SPREAD * abs(off)):
        return False
    if abs(off) > SPREAD * matters and not _stands_still(accused):
        return True
    # Wider than the cells of a table that is read linearly, or than stairs, its slope is that of the function.
    return not shows(FAR, claimed, QUARTER * abs(off))


def _slopes(looks: CloseLooks, index: Index, step: float, *, one_sided: bool) -> Iterator[float]:
    """Yield the slope of forward over a step, and as extrapolated from half of it; with those to each side, if asked.

    Forward that does not see the step has none.
    """
    wide = looks.difference(index, step)
    if wide is None or wide.up == wide.down == 0.0:
        return
    yield from (wide.central, *((wide.up, wide.down) if one_sided else ()))
    if (half := looks.difference(index, step / 2)) is not None:
        yield (4 * half.central - wide.central) / 3
        yield from (2 * half.up - wide.up, 2 * half.down - wide.down) if one_sided else ()


def _changes_on_both_sides(looks: CloseLooks, index: Index, step: float) -> bool:
    """Whether forward changes where one element is displaced by a step up, and where it is by one down."""
    slopes = looks.difference(index, step) if step else None  # outputs that are zero have no rounding
    return slopes is None or (slopes.up != 0.0 and slopes.down != 0.0)
