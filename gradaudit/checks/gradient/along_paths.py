"""Gradients of a forward that differences cannot read, held against it along paths.

A forward in single or half precision changes by its own rounding at the steps that differences take. Along a long way
it changes by far more, and the claim's integral must account for that. See the guide ``half-precision``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice, zip_longest

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.allowance import Allowance, Roundoff
from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.close_look import CloseLooks
from gradaudit.checks.gradient.cut import Cut
from gradaudit.checks.gradient.element import Element
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.gradient.excuse import STANDS, Answer
from gradaudit.checks.gradient.path_claim import path_claim
from gradaudit.checks.gradient.path_excuse import excuse_along_paths
from gradaudit.checks.gradient.seen import Index, Seen, looks_of
from gradaudit.numerics.arrays import Array, as_reals, count, dtype_name, has_complex_dtype, like, namespace, on_host
from gradaudit.numerics.gauge import surely_more
from gradaudit.numerics.judging import Judgement, judge
from gradaudit.numerics.margins import MAX_LISTED, MAX_ROUNDINGS, NEAR, QUARTER, SAFETY, SIGNIFICANT, SMALL_SAMPLE
from gradaudit.numerics.path.at_the_point import unlike_beside
from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.displacement import Route
from gradaudit.numerics.path.path_test import PER_PATH, path_test
from gradaudit.numerics.path.report import Culprit, InputReport, PathReport
from gradaudit.numerics.path.settings import Settings
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Tolerance
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import is_floating, spacing
from gradaudit.targets.calls import PARTS_OF_A_PATH_TEST, LimitReachedError

Floats = NDArray[np.float64]

NOWHERE = np.zeros(0, np.intp)

AFTERWARDS = 12
"""Calls that an audit takes after paths on which nothing is suspected: sides of the point, and the other checks."""


def can_be_followed(claims: Sequence[Claim]) -> bool:
    """Whether differences of this forward are noise, and its gradients can be followed along paths instead."""
    point = claims[0].point
    case = point.subject.case
    plain = case.method != "exhaustive" and case.step is None and not point.absorbed
    return plain and not point.generic and not any(has_complex_dtype(claim.formula) for claim in claims)


def computes_in_half(claims: Sequence[Claim]) -> bool:
    """Whether forward is known to compute in half precision, so that differences show little else than rounding."""
    return claims[0].unit >= spacing("float16") / 2


def rounds_what_it_is_given(claims: Sequence[Claim]) -> bool:
    """Whether an op rounds its real inputs to a coarser dtype first, so that differences show the stairs of that."""
    point = claims[0].point
    if any(claim.allowance.asked or has_complex_dtype(claim.formula) for claim in claims):
        return False
    enough = PARTS_OF_A_PATH_TEST * Settings().calls
    return point.subject.op.calls.left >= enough and point.narrowed is not None


def is_noise(result: Result, seen: Seen) -> bool:
    """Whether rounding inside of forward is what leaves a gradient open, so that paths may decide it.

    Of a forward that wavers and has no stairs they would say what was said of it already.
    """
    claim = seen.claim
    plain = seen.witness == "differences" and not claim.allowance.asked and not has_complex_dtype(claim.formula)
    plain = plain and claim.point.subject.case.step is None
    if result.verdict is not Verdict.INCONCLUSIVE or not plain or claim.point.absorbed:
        return False
    if seen.excused is not None:
        return seen.excused.on_stairs
    return seen.flat or seen.claim.hides_stairs or any(finding.code == "noise-dominated" for finding in result.findings)


def is_overruled(result: Result, seen: Seen, along: Verdict) -> bool:
    """Whether what paths decided takes the place of what differences in a narrow dtype made of a gradient.

    It does where they left it open, and where they accuse what paths clear, but for claims at a kink: these are seen
    at the point alone.
    """
    if result.verdict is Verdict.INCONCLUSIVE:
        return along is not Verdict.INCONCLUSIVE
    accused = result.verdict is Verdict.FAIL and not bool(seen.looks.kink.any())
    return accused and along is Verdict.PASS


def look_along_paths(claims: Sequence[Claim], unit: float = 0.0) -> list[Seen]:
    """Return what paths say of the gradients of a case, all of which are moved together at first.

    Args:
        claims: of one case.
        unit: unit roundoff of what forward computes in, where that is known to be coarser than its dtype.

    Raises:
        OpError: where differences, which are asked before an accusation, get nothing usable of forward.

    """
    point = claims[0].point
    unit = max(unit, claims[0].unit)
    settings = Settings.half(unit) if unit >= spacing("float16") / 2 else Settings()
    settings = replace(settings, calls=_calls(point, settings.calls))
    by_name = {claim.name: claim for claim in claims}
    followed = path_claim(point, tuple(by_name), unit)
    try:
        tolerances = {name: _tolerance(claim, settings) for name, claim in by_name.items()}
        report = path_test(followed, generator(point.subject.case, "paths"), settings, tolerances)
        roundoff = Roundoff(point, unit, {claim.name: claim.formula for claim in claims})
        seen = [_seen(claim, report, settings, tolerances[claim.name], roundoff, followed) for claim in claims]
        passing = [each.claim for each in seen if not (each.accused or each.left_open)]
        resolved = {claim.name: _resolved(claim, tolerances[claim.name], settings) for claim in passing}
        rng = generator(point.subject.case, "sides")
        unlike = unlike_beside(followed, resolved, rng)
        if not followed.is_half and any(map(len, unlike.values())):  # there may have been kinks on both sides
            closer = unlike_beside(followed, resolved, rng, NEAR)
            unlike = {name: np.intersect1d(places, closer.get(name, NOWHERE)) for name, places in unlike.items()}
        return [_with_the_point(each, unlike.get(each.claim.name, NOWHERE)) for each in seen]
    except LimitReachedError as reached:
        cut = Cut(reached.limit, f"paths take up to {PARTS_OF_A_PATH_TEST * settings.calls} calls")
        return [replace(_open(claim, "", math.inf), cut=cut) for claim in claims]


def _calls(point: EvaluationPoint, usual: int) -> int:
    """Return the forwards that paths may take: what is left of the usual number, or a part of a budget given.

    Where differences that decided nothing took much of it, three quarters.
    """
    case, calls = point.subject.case, point.subject.op.calls
    besides = max(calls.forwards, calls.backwards) + AFTERWARDS
    given = (case.budget or 0) * len(case.audited) // PARTS_OF_A_PATH_TEST
    return max(given, usual - min(besides, int(QUARTER * usual)))


def _resolved(claim: Claim, allowed: Array, settings: Settings) -> Array:
    """Return the errors that a path test resolves at each element, at least those that are allowed."""
    sizes = abs(as_reals(claim.formula))
    xp = namespace(sizes)
    return xp.maximum(as_reals(allowed), settings.goal * xp.maximum(sizes, 0.0 * sizes + claim.typical))


def _with_the_point(seen: Seen, places: NDArray[np.intp]) -> Seen:
    """Add what differences say at the elements whose claims at the point are unlike those beside it, however close."""
    if not len(places):
        return seen
    looks = CloseLooks(seen.claim)
    found = {int(place): looks.look(int(place), None) for place in places[:SMALL_SAMPLE]}
    first = looks.index_of(int(places[0]))
    unlike = f"at {len(places):,} of {seen.claim.size:,} indices, the worst {first}, backward returns another gradient "
    unlike += "at the point than on both sides of it"
    if Judgement.WRONG in found.values():
        return replace(seen, looks=looks_of(seen.claim, looks.seen), accused=f"{unlike}, and differences contradict it")
    return _open(seen.claim, unlike, 0.0) if Judgement.UNDECIDED in found.values() else seen


def _tolerance(claim: Claim, settings: Settings) -> Array:
    """Return what each element of the claim may be off by: what the spec says, else what the precision allows."""
    given, sizes = claim.allowance.tolerance, abs(as_reals(claim.formula))
    allowed = given.rtol * sizes + given.atol
    if claim.allowance.asked:
        return allowed
    floor = settings.floor * claim.magnitude
    if claim.point.generic:  # what rounding may feign of a gradient in float64 is no question to paths either
        floor = max(floor, claim.noise_level)
    usual = settings.rtol * sizes + floor
    return namespace(allowed).maximum(allowed, usual)


def _seen(
    claim: Claim, report: PathReport, settings: Settings, allowed: Array, roundoff: Roundoff, followed: PathClaim
) -> Seen:
    found = report.inputs.get(claim.name)
    if found is None:
        return _open(claim, "; ".join(report.unexplained), math.inf)
    floor = found.resolution.index * claim.typical
    culprits = [culprit for culprit in report.culprits if culprit.input == claim.name]
    if culprits and not claim.allowance.asked:
        of_rounding = Allowance(claim.name, Tolerance(0.0, 0.0), roundoff)
        of_rounding.include_roundoff()
        of_rounding.include_summation()
        rounding = np.abs(on_host(as_reals(of_rounding.of(claim.formula))))
        most = on_host(allowed).reshape(-1)
        culprits = [culprit for culprit in culprits if _is_wrong(claim, culprit, most, rounding, followed)]
        if not culprits:
            why = "each element that paths suspect is within its tolerance, or no more than rounding"
            if found.undecided:
                why = f"{why}; {_what_is_open(found, report, settings, count(claim.point.outputs))}"
            return _open(claim, why, floor)
    if culprits:
        looks = CloseLooks(claim)
        answer = excuse_along_paths(looks, followed, culprits, report.noise)
        if answer.by:
            return _open(claim, answer.why, floor, answer)
        in_sum = any(culprit.kind != "index" for culprit in culprits)
        shown = _shown(looks, culprits, found)
        known = not in_sum and len(shown) == len(culprits)
        return replace(
            _blank(claim, floor, settings.goal),
            looks=looks_of(claim, shown),
            cleared=known,
            miss_probability=0.0 if known else 1.0,
            accused=_accusation(claim, culprits),
            in_sum=in_sum,
        )
    about = any(said.startswith(f"{claim.name}:") or f"{claim.name}," in said for said in report.unexplained)
    if found.undecided or (about and not report.culprits):
        return _open(claim, _what_is_open(found, report, settings, count(claim.point.outputs)), floor)
    return _blank(claim, floor, settings.goal)


def _is_wrong(claim: Claim, culprit: Culprit, allowed: Floats, rounding: Floats, followed: PathClaim) -> bool:
    """Whether part of a gradient is off by more than it may be, and than rounding must cost it.

    Rounding that changes along a path is noise to it, and no trend. What is left is a gradient that is itself no more
    than rounding, as where the op is saturated; over many elements that adds up as the root of the sum of squares. Or
    neither claim nor forward changes the loss by more than a few roundings of an output. Rounding that stays as it is
    leaves a claim where it is, too: one number's that changes on its way is no such rounding.
    """
    claimed = on_host(as_reals(claim.formula))[culprit.places]
    if culprit.kind == "index":
        most = float(allowed[culprit.places[0]])
        if not judge(float(claimed[0]), float(claimed[0]) - culprit.error, culprit.bound, most).wrong:
            return False
    usual = surely_more(float(np.linalg.norm(rounding[culprit.places] / MAX_ROUNDINGS * culprit.reach)))
    change = float(np.linalg.norm(claimed * culprit.reach))
    if math.hypot(culprit.trend, change) < SIGNIFICANT * _rounding_of_an_output(claim.point):
        return False
    return max(culprit.trend, change) > usual or (culprit.kind == "index" and _moves(claim, culprit, followed))


def _moves(claim: Claim, culprit: Culprit, followed: PathClaim) -> bool:
    """Whether the claim of an element changes by many of its roundings as far as paths moved it, to both sides."""
    claimed = float(on_host(as_reals(claim.formula))[culprit.worst])
    place = np.zeros(claim.size)
    place[culprit.worst] = float(culprit.reach[0])
    for way in (place, -place):
        inputs = Route(followed.inputs, {claim.name: like(way, followed.inputs[claim.name])}).at(1.0)
        values = followed.values(inputs)
        gradients = followed.gradients(inputs, values) if values is not None else None
        if gradients is None:
            return False
        there = float(on_host(gradients[claim.name])[culprit.worst])
        if abs(there - claimed) <= MAX_ROUNDINGS * followed.unit * abs(claimed):
            return False
    return True


def _rounding_of_an_output(point: EvaluationPoint) -> float:
    """Return what rounding a usual output costs the loss: a forward that climbs a few such stairs has a trend, too."""
    units = [spacing(dtype_name(kind[0])) / 2 for kind in point.kinds if kind and is_floating(dtype_name(kind[0]))]
    parts = np.abs(on_host(as_reals(point.upstream * point.outputs)))
    return max(units, default=0.0) * float(np.median(parts[parts > 0])) if parts.any() else 0.0


def unit_inside(supported: float) -> float:
    """Return the unit roundoff that a forward seems to compute with, given its relative error along long paths."""
    units = sorted(spacing(name) / 2 for name in ("float32", "float16", "bfloat16"))
    return next((unit for unit in units if supported <= SAFETY * unit), units[-1])


def _blank(claim: Claim, floor: float, goal: float) -> Seen:
    """Return a claim of which nothing is wrong, as far as paths can tell."""
    return Seen(claim, looks_of(claim, {}), method="search", floor=floor, witness="path", max_unseen=goal)


def _open(claim: Claim, why: str, floor: float, answer: Answer = STANDS) -> Seen:
    return replace(Seen.nothing_of(claim), witness="path", floor=floor, left_open=why, remark=answer.finding)


def _shown(looks: CloseLooks, culprits: Sequence[Culprit], found: InputReport) -> dict[Index, Element]:
    """Return single elements that are seen to be wrong at the point itself, the worst of each part among them.

    Along a path a gradient is known on average, and it changes on the way: differences tell what it is at the point.
    """
    estimate, judged = np.abs(found.estimate.reshape(-1)), 0
    ranked = [each.places[np.argsort(-estimate[each.places], kind="stable")[:MAX_LISTED]] for each in culprits]
    with suppress(LimitReachedError):
        for place in islice(dict.fromkeys(k for row in zip_longest(*ranked) for k in row if k is not None), MAX_LISTED):
            if judged == SMALL_SAMPLE and not looks.wrong:
                break  # it is rounding that they see
            judged += looks.look(int(place), None) is not None
    return {index: looks.seen[index] for index in looks.wrong}


def _accusation(claim: Claim, culprits: Sequence[Culprit]) -> str:
    """Return what is said of parts of a gradient that are wrong: where they are, how many, and by how much."""
    said = []
    for culprit in culprits[:SMALL_SAMPLE]:
        first, last = (claim.index_of(int(culprit.places[k])) for k in (0, -1))
        many = f"{culprit.places.size:,} of {claim.size:,} indices, from {first} to {last}, are"
        if culprit.kind == "index":
            said.append(f"index {first} is off by {culprit.error:.2g} on average (error bound {culprit.bound:.1g})")
            continue
        who = "the whole gradient is" if culprit.kind == "input" else many
        said.append(f"{who} {_times_the_truth(culprit)}")
    left = len(culprits) - SMALL_SAMPLE
    more = f"; {left} more part{'s' if left > 1 else ''}" if left > 0 else ""
    return f"along paths: {'; '.join(said)}{more}"


def _times_the_truth(culprit: Culprit) -> str:
    """Return how many times what forward says a part of a gradient is, to as many digits as are known."""
    if culprit.scattered:
        return f"off by {culprit.error:.1%} in root mean square (error bound {culprit.bound:.1%})"
    if not math.isfinite(culprit.error):
        return "not zero, and forward hardly changes"
    digits = max(0, -math.floor(math.log10(max(culprit.bound, NEAR))))
    times = round(1.0 + culprit.error, digits) + 0.0
    return f"{times:g} times what forward says, in sum (error bound {culprit.bound:.1g})"


def _what_is_open(found: InputReport, report: PathReport, settings: Settings, outputs: int) -> str:
    """Return what paths leave open of a forward with so many outputs, and what more of them would do."""
    resolution = found.resolution
    size = f"{resolution.index:.2g} of the typical gradient" if math.isfinite(resolution.index) else "any size"
    of_many = (resolution.blocks, "a block"), (resolution.whole, "the whole gradient")
    said = (
        f"{found.undecided:,} of {found.bound.size:,} indices undecided after {report.paths[found.name]} paths: an "
        f"error of {size} could be hidden at an index (goal {settings.goal:g})"
    )
    said += "".join(f", {least:.1g} in {where}" for least, where in of_many if math.isfinite(least))
    needed = report.paths_needed[found.name]
    if not found.undecided:
        return "; ".join(report.unexplained)
    if settings.together or outputs > SMALL_SAMPLE:
        why = ""
    else:
        numbers = "a single number" if outputs == 1 else f"{outputs} numbers"
        why = (
            f"; forward returns {numbers} for all of them, in which the rounding of every gradient adds up: one number"
        )
        why += " for each row would show more"
    if needed is None or needed <= report.paths[found.name]:
        return f"{said}{why}; more paths would not decide it, a reference in float64 would (reference:)"
    budget = 2 * PARTS_OF_A_PATH_TEST * PER_PATH * needed
    return f"{said}{why}; {needed} paths would decide it (--budget {budget}), or a reference in float64 (reference:)"
