"""From what was seen of a gradient to its result: the only place where a verdict is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.claim import FORMULA_SHARE, TRIMMED_ONE_IN, Claim
from gradaudit.checks.gradient.cut import Cut, undecided
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.gradient.seen import Seen
from gradaudit.checks.tolerance import tolerance_too_loose, tolerance_too_tight
from gradaudit.numerics.arrays import count, has_complex_dtype, is_zero, namespace, on_host
from gradaudit.numerics.gauge import UNSEEN
from gradaudit.numerics.judging import Judged, Looks, taken
from gradaudit.numerics.magnitude import rms
from gradaudit.numerics.margins import MAX_LISTED, NEGLIGIBLE, RULE_OF_THREE, SLOPE_RTOL
from gradaudit.results import MAX_MISMATCHES, Finding, Mismatch, Result, Verdict, changed
from gradaudit.spec.case import Case

Array = NDArray[Any]

VANISHING = NEGLIGIBLE * SLOPE_RTOL
"""Where the gradient is this small beside what upstream, outputs and inputs suggest, it has cancelled."""


def blank_result(case: Case, name: str, message: str = "") -> Result:
    """Return the result of an input that nothing is known of yet."""
    shape = next((made.shape for made in case.inputs if made.name == name), None)
    return Result(
        case.op,
        case.module,
        case.name,
        case.dtype,
        name,
        Verdict.ERROR,
        size=0 if shape is None else math.prod(shape),
        message=message,
        location=f"{case.location.file}:{case.location.line}",
        shape=shape or (),
    )


def folded(seen: Seen) -> Result:
    """Judge what was seen of a gradient."""
    claim, looks = seen.claim, seen.looks
    case, tolerance = claim.point.subject.case, claim.allowance.tolerance
    judged, allowed, bounds = claim.judged(looks)
    resolution, hidden = _resolution(seen, allowed), _below_noise(seen, allowed)
    if seen.cut and not seen.left_open:
        verdict, message = _verdict_by_then(seen, seen.cut, judged)
    elif claim.point.absorbed:
        verdict, message = Verdict.INCONCLUSIVE, "forward's roundoff hides its inputs: it has no measurable slope"
    else:
        verdict, message = _verdict(seen, judged, resolution, allowed, hidden)
    message = "; ".join(filter(None, (message, *claim.point.notes)))
    ratio = worst_ratio(judged.difference, allowed)
    if seen.method == "search" and claim.split:
        of_implementation = worst_ratio(abs(claim.given - claim.formula), claim.allowance.of(claim.formula))
        ratio = float(np.fmax(ratio, of_implementation))
    cut = [seen.cut.finding(message, len(looks.places))] if seen.cut else []
    return changed(
        blank_result(case, claim.name),
        verdict=verdict,
        checked=claim.size if seen.cleared else len(looks.places),
        wrong=0 if verdict is not Verdict.FAIL else max(int(judged.wrong.sum()), bool(seen.accused)),
        method=seen.method,
        miss_probability=seen.miss_probability,
        resolution=resolution,
        worst_ratio=ratio,
        rtol=tolerance.rtol,
        atol=tolerance.atol,
        message=message,
        mismatches=() if judged.right.all() else _mismatches(replace(looks, bounds=bounds), judged, allowed),
        findings=(*_findings(seen, judged, allowed, hidden), *cut),
    )


def _verdict(seen: Seen, judged: Judged, resolution: float, allowed: Array, hidden: Array) -> tuple[Verdict, str]:
    claim, looks, size = seen.claim, seen.looks, seen.claim.size
    if seen.left_open:
        return Verdict.INCONCLUSIVE, seen.left_open
    if judged.wrong.any() or seen.accused:
        said = seen.accused or _extent(seen, judged)
        return (Verdict.INCONCLUSIVE, seen.excused.why) if seen.excused else (Verdict.FAIL, said)
    if not seen.cleared:
        looked = f"none of {len(looks.places)} indices tested is wrong, but the others cannot be tested together"
        return Verdict.INCONCLUSIVE, looked
    if open_ones := int(judged.undecided.sum()):
        said = f"{open_ones} of {size} indices cannot be decided at this precision"
        visible = float((allowed + 2 * looks.bounds)[judged.undecided].max())
        if math.isfinite(visible):
            said += f"; an error above {visible:.1e} there would have been found"
        return Verdict.INCONCLUSIVE, said
    if seen.flat or claim.hides_stairs:
        return Verdict.INCONCLUSIVE, (
            "forward is a staircase: it is constant at the step of the tests and changes further away, so its slope is "
            "no evidence"
        )
    if len(hidden) and ((many := int((hidden > claim.negligible).sum())) - 1) * TRIMMED_ONE_IN > size:
        said = f"{many:,} of {size:,} gradients lie below forward's noise floor: indistinguishable from zero"
        return Verdict.INCONCLUSIVE, said
    if resolution > seen.max_unseen:
        unseen = f"a relative error of {resolution:.2g}" if math.isfinite(resolution) else "an error of any size"
        said = f"{unseen} could have gone unseen"
        asked = claim.of_formula.asked
        return Verdict.INCONCLUSIVE, f"the tolerance is too loose for this gradient: {said}" if asked else said
    if size and is_zero(claim.given) and not looks.kink.any():  # as where forward does not use the input
        return Verdict.PASS, "its gradient is zero at every index: no output depends on it here"
    return Verdict.PASS, ""


def _verdict_by_then(seen: Seen, cut: Cut, judged: Judged) -> tuple[Verdict, str]:
    """Return what is known where calls or time ran out."""
    wrong, looked, size = int(judged.wrong.sum()), len(judged.wrong), seen.claim.size
    if seen.excused and (wrong or seen.accused):
        return Verdict.INCONCLUSIVE, seen.excused.why
    if wrong:
        if looked == size:
            return (Verdict.FAIL, f"{wrong:,} of {size:,} indices wrong; not all of them were confirmed in {cut.limit}")
        said = f"{wrong:,} of {looked:,} indices tested are wrong, of {size:,}; the others were not all tested"
    if wrong or seen.accused:
        more = f": {cut.more}" if cut.more else ""
        return Verdict.FAIL, f"{said if wrong else seen.accused} in {cut.limit}{more}"
    said = f"none of {looked:,} indices tested is wrong; " if looked else ""
    said += "a root test fails, but not by enough to call the gradient wrong; " if seen.suspect else ""
    return Verdict.INCONCLUSIVE, said + undecided(cut.limit, cut.more)


def _extent(seen: Seen, judged: Judged) -> str:
    wrong, size = int(judged.wrong.sum()), seen.claim.size
    sampled = judged.wrong[list(seen.sampled)]
    if seen.cleared or not len(sampled):
        return f"{wrong:,} of {size:,} indices wrong"
    if not sampled.any():
        few = RULE_OF_THREE / len(sampled)
        return (
            f"{wrong:,} wrong indices found; none of {len(sampled)} sampled at random, so at most {few:.0%} of {size:,}"
        )
    sample = f"{int(sampled.sum())} of {len(sampled)} sampled at random"
    return f"{wrong:,} wrong indices found; {sample}, so about {sampled.mean():.0%} of {size:,}"


def _resolution(seen: Seen, allowed: Array) -> float:
    """Return the least error that would surely have been reported at any index.

    It is relative to the larger of the gradient there and its typical magnitude; ``_below_noise`` has smaller ones.
    """
    claim, looks = seen.claim, seen.looks
    if not claim.size:
        return 0.0
    if seen.cut and not seen.cleared:
        return math.inf
    if seen.method == "search":
        typical, tolerance = claim.typical, claim.allowance.tolerance
        if not typical:
            return math.inf
        if not math.isfinite(typical):
            return 0.0  # without outputs, beside which any error is none
        return max(tolerance.rtol * typical + tolerance.atol, seen.coarsest) / typical
    known = np.isfinite(looks.numerical) & np.isfinite(looks.bounds)
    typical = rms(looks.numerical[known])
    typical = typical if typical > rms(looks.bounds[known]) else claim.typical
    errors = allowed + 2 * looks.bounds
    magnitude = np.fmax(np.abs(looks.numerical), typical)
    ratios = np.divide(errors, magnitude, out=np.full(errors.shape, np.inf), where=magnitude > 0)
    return float(np.nan_to_num(ratios, nan=np.inf, posinf=np.inf).max())


def worst_ratio(difference: Array, allowed: Array) -> float:
    """Return the largest ratio of a difference to the tolerance at its index, NaN where there is none to be had."""
    if not count(difference):
        return math.nan
    xp = namespace(difference)
    known = xp.isfinite(difference) & ((allowed > 0) | (difference == 0))
    ratios = xp.where(known & (allowed > 0), difference, 0.0) / xp.where(allowed > 0, allowed, 1.0)
    known = known & xp.isfinite(ratios)
    return float(xp.where(known, ratios, 0.0).max()) if bool(known.any()) else math.nan


def _mismatches(looks: Looks, judged: Judged, allowed: Array) -> tuple[Mismatch, ...]:
    """Return the wrong indices, or the undecided ones where none is wrong, by how many times the tolerance they are."""
    rows = np.flatnonzero(judged.wrong if judged.wrong.any() else judged.undecided)
    made = [
        Mismatch(
            index=tuple(int(k) for k in looks.places[row]),
            analytical=looks.claimed[row].item(),
            numerical=looks.numerical[row].item(),
            error_bound=float(looks.bounds[row]),
            difference=float(judged.difference[row]),
            tolerance=float(allowed[row]),
        )
        for row in rows
    ]

    def excess(of: Mismatch) -> float:
        return math.inf if math.isnan(of.difference) or not of.tolerance else of.difference / of.tolerance

    return tuple(sorted(made, key=excess, reverse=True)[:MAX_MISMATCHES])


def _findings(seen: Seen, judged: Judged, allowed: Array, hidden: Array) -> Iterator[Finding]:
    claim, looks, point = seen.claim, seen.looks, seen.claim.point
    case = point.subject.case
    marks = {"kink": looks.kink, "discontinuity": looks.jump, "out-of-domain": looks.outside}
    for code, marked in marks.items() if len(looks.places) else ():
        if marked.any():
            yield _place_finding(code, point, claim.name, looks.places[marked], seen.kinks)
    of_table = seen.method == "exhaustive"
    typical = rms(looks.numerical[np.isfinite(looks.numerical)]) if of_table else claim.magnitude
    scale = claim.natural_scale
    vanishes = not typical > VANISHING * scale
    if vanishes and not (isinstance(case.upstream, str) and case.upstream == "random"):
        yield _upstream_finding(claim.name, typical, scale)
    # Where nothing but the noise of forward leaves the gradient undecided.
    noisy, visible = judged.undecided & ~looks.kink & ~looks.jump & ~looks.outside, 0.0
    if claim.inaccurate is not None:
        noisy &= ~claim.inaccurate_among(looks.places)
    if noisy.any():
        visible = float((allowed + 2 * looks.bounds)[noisy].max())
        yield _noise_finding(point.dtype, claim.name, int(noisy.sum()), visible)
    if case.tolerance is not None:
        yield from _tolerance_findings(seen, judged, typical, visible, vanishes=vanishes)
    if claim.split and judged.wrong.any():
        yield from _precision_finding(claim, looks, judged, allowed)
    if len(hidden):
        below = float(hidden.max())
        message = (
            f"the gradient of {claim.name} is at most {below:.1e} at {len(hidden):,} of {claim.size:,} indices, below "
            "forward's noise floor: nothing can be said about it"
        )
        yield Finding("below-noise", message, {"count": len(hidden), "below": below})
    if seen.remark:
        yield seen.remark


def _tolerance_findings(
    seen: Seen, judged: Judged, typical: float, visible: float, *, vanishes: bool
) -> Iterator[Finding]:
    """Yield findings about a tolerance that a spec asks for."""
    claim, looks = seen.claim, seen.looks
    case, tolerance = claim.point.subject.case, claim.allowance.tolerance
    if judged.right.all() and seen.cleared and seen.witness == "differences" and not vanishes:
        of_table = seen.method == "exhaustive"
        whole = looks.numerical[np.isfinite(looks.numerical)] if of_table else claim.formula
        errors = partial(np.add, judged.difference, looks.bounds) if of_table else partial(_admitted, claim)
        yield from tolerance_too_loose(case, claim.name, tolerance, errors, whole, rms(whole))
    yield from tolerance_too_tight(case, claim.name, tolerance, typical, int(judged.undecided.sum()), visible)


def _admitted(claim: Claim) -> Array:
    """Return what each index of a gradient that passed is off by at most, as far as root tests can tell."""
    off: Array = UNSEEN * claim.share * claim.allowance.of(claim.formula) + abs(claim.given - claim.formula)
    return off


def _precision_finding(claim: Claim, looks: Looks, judged: Judged, allowed: Array) -> Iterator[Finding]:
    """Yield a finding where the wrong indices are right once backward computes in float64."""
    places = looks.places[judged.wrong]
    off = np.abs(taken(on_host(claim.formula), places) - looks.numerical[judged.wrong])
    if not (off + looks.bounds[judged.wrong] <= allowed[judged.wrong]).all():
        return
    lost, largest = int(judged.wrong.sum()), float(judged.difference[judged.wrong].max())
    dtype = claim.point.subject.case.dtype
    message = (
        f"backward's formula for {claim.name} is right in float64 and wrong in {dtype} at {lost:,} of {claim.size:,} "
        f"indices, by up to {largest:.2e}: cancellation, overflow or underflow"
    )
    yield Finding("precision-loss", message, {"count": lost, "largest": largest})


def _below_noise(seen: Seen, allowed: Array) -> Array:
    """Return the magnitudes of the gradients that are too small to be told from zero.

    Whoever asks for a tolerance, or computes in a narrow dtype only, is content with errors beside the typical.
    """
    claim, none = seen.claim, np.zeros(0)
    if not seen.cleared or not claim.size or claim.of_formula.asked or not claim.point.generic:
        return none
    if seen.witness == "path":
        return none
    floor = seen.floor
    if seen.method == "exhaustive":
        errors = np.where(seen.looks.kink, 0.0, np.nan_to_num(allowed + seen.looks.bounds, posinf=0.0))
        floor = np.repeat(errors, claim.numbers // claim.size)
    return claim.below_noise(floor, lost=True)[1]


def with_inaccurate(seen: Seen) -> Seen:
    """Add to what a search saw where the implementation in a narrow dtype strays from the formula that it cleared."""
    claim = seen.claim
    if not seen.cleared or claim.inaccurate is None:
        return seen
    known = {tuple(place) for place in seen.looks.places.tolist()}
    inaccurate = on_host(claim.inaccurate) & np.isfinite(on_host(claim.formula))
    places = np.argwhere(inaccurate)
    places = places[[tuple(place) not in known for place in places.tolist()]] if known else places
    formula, given = (taken(on_host(array), places) for array in (claim.formula, claim.given))
    none = np.zeros(len(places), np.bool_)
    bounds = UNSEEN * FORMULA_SHARE * claim.allowance.of(formula, places)
    return replace(seen, looks=seen.looks.and_of(Looks(places, given, formula, bounds, none, none, none)))


def _place_finding(code: str, point: EvaluationPoint, name: str, places: Array, kinks: int) -> Finding:
    """Return the finding that forward is not smooth at some indices of an input, given one a row; it has more kinks."""
    x = point.inputs[name]
    n, first = len(places), tuple(int(k) for k in places[0])
    n = max(kinks, n) if code == "kink" else n
    # One by one: on a device the whole of x is far away.
    values = set() if has_complex_dtype(x) else {float(x[tuple(place)]) for place in places.tolist()}
    evidence = {"count": n, "index": list(first), "values": sorted(values)[:MAX_LISTED]}
    where = f"{n:,} {'index' if n == 1 else 'indices'}, the first {first}"
    if code == "out-of-domain" and point.raised:
        return Finding(code, f"around {where}, {point.raised[0]}\n  keep inputs inside its domain", evidence)
    return Finding(code, _PLACES[code].format(where=where), evidence)


_PLACES = {
    "kink": "the op is not differentiable at {where}; gradients were compared with one-sided slopes",
    "discontinuity": "forward jumps at {where}; there is no gradient to compare with",
    "out-of-domain": "forward is not finite around {where}; keep inputs inside its domain",
}


def _upstream_finding(name: str, typical: float, scale: float) -> Finding:
    """Return the finding that the spec's upstream makes the true gradient vanish, so that agreement means nothing."""
    message = (
        f"with this upstream the true gradient of {name} vanishes (rms {typical:.1e}, with another {scale:.1e}): "
        "agreement and disagreement mean nothing; use a random upstream"
    )
    return Finding("degenerate-upstream", message, {"rms": typical, "natural": scale})


def _noise_finding(dtype: str, name: str, undecided: int, visible: float) -> Finding:
    """Return the finding that undecided indices are the fault of rounding in forward."""
    found = f"an error above {visible:.1e}" if math.isfinite(visible) else "no error"
    message = (
        f"forward's roundoff ({dtype}) exceeds the tolerance at {undecided:,} indices of {name}: mismatches there are "
        f"within forward's rounding error; {found} would have been found"
    )
    return Finding("noise-dominated", message, {"undecided": undecided, "visible": visible})
