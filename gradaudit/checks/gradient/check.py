"""The audit of every differentiable input of a case: root tests of all of them, a table of what does not pass them.

Forward is differenced in float64 where it is generic in dtype, whatever dtype the case is in: the inputs are exactly
representable there, so the numerical gradient is that of the formula at the very point that backward was given.
Elsewhere it is differenced in its own dtype, with bounds to match.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from gradaudit.checks.gradient.along_paths import (
    can_be_followed,
    computes_in_half,
    is_noise,
    is_overruled,
    look_along_paths,
    rounds_what_it_is_given,
    unit_inside,
)
from gradaudit.checks.gradient.claim import Claim, claims_of
from gradaudit.checks.gradient.cut import Cut, left_undecided
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint, find_point, is_wide
from gradaudit.checks.gradient.excuse import exceeds_approximation, excused, stands
from gradaudit.checks.gradient.exhaustive import look_everywhere
from gradaudit.checks.gradient.fold import blank_result, folded, with_inaccurate
from gradaudit.checks.gradient.limit import limits
from gradaudit.checks.gradient.on_surface import along_surfaces, right_together, surface_meant, surfaces_possible
from gradaudit.checks.gradient.search import Searched
from gradaudit.checks.gradient.seen import Seen, passes
from gradaudit.checks.subject import Snapshot, Subject, broken_contract, flaws, mutations
from gradaudit.numerics.margins import MAX_TABLE, MAX_UNSEEN
from gradaudit.results import Finding, Result, Verdict, changed
from gradaudit.targets.calls import CLOSE_LOOK, FOR_ROUNDING, LimitReachedError
from gradaudit.targets.op import OpError

OF_FORWARD = "differences contradict the analytical gradient; not known whether forward is smooth there"
"""What may excuse what is wrong, where an arbiter could not be asked."""

OF_ROUNDING = "differences exceed the tolerance by little; not known how much of that is roundoff"
"""The same for what is hardly more than the tolerance."""

Audited = dict[str, tuple[Result, Seen]]
"""By input, its result, and what was seen of its gradient: nothing where forward gave nothing usable."""

Tell = Callable[[Mapping[str, Result]], None]
"""Is told of results by their inputs."""


def check_gradient(subject: Subject, tell: Tell | None = None) -> tuple[list[Result], EvaluationPoint, dict[str, Seen]]:
    """Audit the gradient of every differentiable input, of a part of a case those of its own.

    Args:
        subject: the op, fed and called once.
        tell: told of the gradients that are judged while others are not; None for nobody.

    Returns:
        One result for each, in their order; where forward was differenced, with what was noticed there; and by input's
        name what was seen of each gradient that could be judged.

    """
    given = Snapshot.of({name: x for name, x in subject.inputs.items() if not is_wide(x)})
    before = subject.op.calls.forwards
    point = find_point(subject)
    opening = subject.op.calls.forwards - before
    judged = _unusable(subject)
    usable = (name for name in subject.case.audited if name not in judged)
    claimed = {name: gradient for name in usable if (gradient := subject.gradients[name]) is not None}
    noticed = {name: flaws(name, subject.inputs[name], gradient) for name, gradient in claimed.items()}
    results, seen = dict(judged), dict[str, Seen]()
    asked: set[str] = set()

    def tell_of(made: Audited) -> None:
        for name in made.keys() - asked:
            if is_judged(point, *made[name]):
                judged[name] = replace(made[name][0], findings=(*noticed[name], *made[name][0].findings))
            asked.update({name} if name in judged or made[name][0].verdict is Verdict.FAIL else ())
        if tell is not None:
            tell(judged)

    with subject.op.calls.holding_back():
        audited = _witnessed(claims_of(point, claimed), tell_of)
    if any(result.verdict is not Verdict.PASS for result, _ in audited.values()):
        with subject.op.calls.overtime():
            audited = _with_arbiter(point, _with_reserved_calls(audited))
        _add(audited, along_surfaces(subject, audited, _audited))
    for place, (name, (result, what)) in enumerate(audited.items()):
        spent = result.evaluations + (0 if place else opening)
        results[name] = changed(result, evaluations=spent, findings=(*noticed[name], *result.findings))
        seen |= {} if result.verdict is Verdict.ERROR else {name: what}
    if given.changed():  # it may have held on to its first inputs and changed them later
        point.add_findings(mutations("forward", given))
    return [results[name] for name in subject.case.audited], point, seen


def _unusable(subject: Subject) -> dict[str, Result]:
    """Return the results of the inputs whose gradients cannot be compared at all."""
    made = {}
    for name in subject.case.audited:
        gradient, answered = subject.gradients.get(name), name in subject.gradients
        broken = broken_contract(name, subject.inputs[name], gradient, answered=answered)
        if broken is not None:
            found = _advised(subject, broken)
            made[name] = changed(blank_result(subject.case, name, found.message), findings=(found,))
    return made


def _advised(subject: Subject, broken: Finding) -> Finding:
    """Add to a broken contract what the op knows that may be why."""
    advise = getattr(subject.op, "advice", None)
    advice = advise(subject.upstream) if advise else ""
    return replace(broken, message=f"{broken.message}\n  {advice}") if advice else broken


def is_judged(point: EvaluationPoint, result: Result, seen: Seen) -> bool:
    """Whether a gradient is judged for good: it passes, or all of it was seen and forward at large bears that out."""
    if seen.cut or result.verdict is not Verdict.FAIL:
        return result.verdict is Verdict.PASS and passes((result, seen))
    if seen.method != "exhaustive" or surface_meant(point.subject, result.input):
        return False
    return stands(seen)


def _root_tested(claims: list[Claim], *, small: bool) -> Audited:
    """Test gradients together; what fails is located, unless tables will be made, after all else that may pass it."""
    if not small and not any(any(surfaces_possible(claim.point.subject, claim.name)) for claim in claims):
        return _searched(claims, locate=True)
    made = _searched(claims, locate=False)
    for claim in claims if len(claims) > 1 else ():
        if not passes(made[claim.name]):  # the fault may be another's
            _add(made, _searched([claim], locate=False))
    failing = [claim for claim in claims if not passes(made[claim.name])]
    if failing:
        _add(made, right_together(failing, made, partial(_searched, locate=False)))
        failing = [claim for claim in failing if not passes(made[claim.name])]
    if failing and not small:
        _add(made, _searched(failing, locate=True))
    return made


def _searched(claims: list[Claim], *, locate: bool) -> Audited:
    """Audit gradients by root tests, and if asked find out which indices fail them."""
    return _judged(claims, lambda claims: Searched(claims, locate=locate).seen())


def _with_reserved_calls(made: Audited) -> Audited:
    """Find out with the calls that were held back what can be said of gradients that were not looked at to the end."""
    for name, (result, seen) in made.items():
        if not seen.cut:
            continue
        calls = seen.claim.point.subject.op.calls
        before = calls.forwards
        if result.verdict is Verdict.FAIL:
            seen = _with_rounding(seen)
        elif seen.suspect is not None:
            with suppress(LimitReachedError):
                seen = replace(seen, accused=seen.suspect.accusation(seen.claim))
        spent = result.evaluations + calls.forwards - before
        made[name] = replace(_folded(seen), evaluations=spent, seconds=result.seconds), seen
    return made


def _witnessed(claims: list[Claim], tell: Callable[[Audited], None]) -> Audited:
    """Audit gradients by differences, or along paths where differences are noise; small ones by both if need be.

    Differences of a forward that rounds what it is given show nothing but the stairs of that.
    """
    if not claims:
        return {}
    if claims[0].point.generic or not can_be_followed(claims):
        return _audited(claims, tell)
    large = sum(claim.size for claim in claims) > MAX_TABLE
    if large or computes_in_half(claims) or rounds_what_it_is_given(claims):
        return _judged(claims, look_along_paths)
    made = _audited(claims)
    if any(result.verdict is not Verdict.PASS for result, _ in made.values()):
        along = _judged(claims, look_along_paths)
        _add(made, {name: found for name, found in along.items() if is_overruled(*made[name], found[0].verdict)})
    return made


def _audited(claims: list[Claim], tell: Callable[[Audited], None] | None = None) -> Audited:
    """Audit gradients by root tests of all of them; those that do not pass apart from each other, and closely."""
    case, calls = claims[0].point.subject.case, claims[0].point.subject.op.calls
    testable = [claim for claim in claims if claim.size and case.method != "exhaustive" and case.step is None]
    tables = [claim for claim in claims if claim not in testable]
    made: Audited = {}
    if testable:
        small = case.method == "auto" and sum(claim.size for claim in testable) <= MAX_TABLE
        made = _root_tested(testable, small=small)
        failing = [claim for claim in testable if not passes(made[claim.name])]
        if small:
            if failing and rounds_what_it_is_given(failing):
                _add(made, _judged(failing, look_along_paths))
            else:
                tables += failing
        else:
            made = _again(testable, made)
            _add(made, _at_kinks(testable, made))
            affordable = [claim for claim in testable if case.method == "auto" and affords_a_table(claim, made)]
            for result, seen in [made[claim.name] for claim in affordable]:
                # Every element that was looked at is right: the tests of many say no more.
                made[seen.claim.name] = result, replace(seen, suspect=None)
            tables += affordable
    for left, claim in zip(range(len(tables), 0, -1), tables, strict=True):
        if tell is not None:
            tell(made)
        with calls.sharing(left):
            _add(made, _judged([claim], lambda claims: list(map(look_everywhere, claims))))
    return {claim.name: made[claim.name] for claim in claims}


def affords_a_table(claim: Claim, made: Audited) -> bool:
    """Whether calls last to look at every index of a gradient that was right wherever it was looked at."""
    result, seen = made[claim.name]
    if not is_right_where_seen(claim, made):
        return False
    each = max(CLOSE_LOOK, result.evaluations / len(seen.looks.places))
    return each * claim.size <= claim.point.subject.op.calls.left


def is_right_where_seen(claim: Claim, made: Audited) -> bool:
    """Whether a gradient is open though it was right wherever it was looked at."""
    result, seen = made[claim.name]
    if seen.cut or seen.cleared or result.verdict is not Verdict.INCONCLUSIVE:
        return False
    judged, _, _ = claim.judged(seen.looks)
    return bool(judged.right.any() and judged.right.all())


def _with_rounding(seen: Seen) -> Seen:
    """Allow for what rounding must cost; where that cannot be found out, only what is too much for it is wrong."""
    hurried = seen.cut is not None and seen.cut.limit.kind == "time"
    if exceeds_approximation(seen) and (hurried or seen.claim.point.subject.op.calls.left < FOR_ROUNDING):
        return seen
    try:
        seen.claim.include_roundoff()
    except LimitReachedError as reached:
        return seen if exceeds_approximation(seen) else seen.undecided(reached.limit, OF_ROUNDING)
    return seen


def _with_arbiter(point: EvaluationPoint, made: Audited) -> Audited:
    """Ask the arbiter before anything is called wrong."""
    before = point.subject.op.calls.forwards
    results = {name: result for name, (result, _) in made.items()}
    known = {name: seen for name, (_, seen) in made.items()}
    try:
        ruled = excused(results, known)
    except LimitReachedError as reached:
        accused = [name for name, seen in known.items() if results[name].verdict is Verdict.FAIL and not seen.accused]
        ruled = {name: known[name].undecided(reached.limit, OF_FORWARD) for name in accused}
    for place, (name, seen) in enumerate(ruled.items()):
        again = _folded(seen)
        spent = results[name].evaluations + (0 if place else point.subject.op.calls.forwards - before)
        made[name] = replace(again, evaluations=spent, seconds=results[name].seconds), seen
    _add(made, _followed(made))
    return made


def _followed(made: Audited) -> Audited:
    """Follow along paths what differences leave open for the rounding inside of forward; return what that decides."""
    left = {name: seen for name, (result, seen) in made.items() if is_noise(result, seen)}
    claims = [seen.claim for seen in left.values()]
    if not claims:
        return {}
    supported = max((seen.excused.supported for seen in left.values() if seen.excused), default=0.0)
    unit = unit_inside(supported)

    def look(claims: list[Claim]) -> list[Seen]:
        along = look_along_paths(claims, unit)
        return [replace(seen, remark=seen.remark or left[seen.claim.name].remark) for seen in along]

    return {
        name: found for name, found in _judged(claims, look).items() if found[0].verdict is not Verdict.INCONCLUSIVE
    }


def _again(claims: list[Claim], made: Audited) -> Audited:
    """Search gradients again whose own errors were not seen, for want of a test that suits them.

    They may have drowned in those of others, or in their noise. And where the formula in float64 did not pass, what
    the implementation in the case's dtype gives may be right all the same.
    """
    unseen = [claim for claim in claims if _was_not_seen(*made[claim.name])]
    # Apart from those that are wrong, and where none is from each other: their scales may have nothing in common.
    for group in [unseen] if len(unseen) < len(claims) else [[claim] for claim in unseen] if len(claims) > 1 else []:
        if group:
            again = _searched(group, locate=True)
            _add(made, _again(group, again) if len(group) > 1 else again)
    for claim in claims:
        result, seen = made[claim.name]
        # Of what is cleared strays alone are open: a search of the rest says no more.
        if result.verdict is Verdict.INCONCLUSIVE and not seen.cleared and claim.inaccurate is not None:
            _add(made, _searched([claim.as_given()], locate=True))
    return made


def _was_not_seen(result: Result, seen: Seen) -> bool:
    """Whether an input's own errors drowned in those of the others, or in their noise."""
    blind = not seen.cleared or result.resolution > MAX_UNSEEN
    return result.verdict is Verdict.INCONCLUSIVE and blind and not passes((result, seen))


def _at_kinks(claims: list[Claim], made: Audited) -> Audited:
    """Follow gradients to a side of the kinks at which they cannot be tested together; else look at each of these."""
    kinked = [claim for claim in claims if made[claim.name][1].looks.kink.any()]
    left = [claim for claim in kinked if is_right_where_seen(claim, made)]
    known = {claim.name: made[claim.name][1] for claim in left}
    found = _judged(left, lambda left: list((known | limits(left, known)).values())) if left else {}
    for claim in left:
        if is_right_where_seen(claim, found):
            _add(found, _judged([claim], lambda claims: Searched(claims, locate=True, one_by_one=True).seen()))
    return found


def _judged(claims: list[Claim], look: Callable[[list[Claim]], list[Seen]]) -> Audited:
    """Look at some gradients and judge what was seen; the forwards that took belong to the first."""
    op, started = claims[0].point.subject.op, time.perf_counter()
    before = op.calls.forwards
    made: Audited
    try:
        seen = [_with_inaccurate(each) if each.claim.split else each for each in look(claims)]
        made = {each.claim.name: (_folded(each), each) for each in seen}
    except OpError as error:
        case = claims[0].point.subject.case
        made = {claim.name: (blank_result(case, claim.name, str(error)), Seen.nothing_of(claim)) for claim in claims}
    seconds = (time.perf_counter() - started) / len(claims)
    for place, (name, (result, what)) in enumerate(made.items()):
        evaluations = 0 if place else op.calls.forwards - before
        made[name] = changed(result, evaluations=evaluations, seconds=seconds), what
    return made


def _with_inaccurate(seen: Seen) -> Seen:
    """Add where the implementation strays from its formula, as far as calls last."""
    try:
        return with_inaccurate(seen)
    except LimitReachedError as reached:
        return replace(seen, cleared=False, miss_probability=1.0, cut=seen.cut or Cut(reached.limit, ""))


def _folded(seen: Seen) -> Result:
    """Judge what was seen, as far as calls last: what rounding must cost takes some."""
    try:
        return folded(seen)
    except LimitReachedError as reached:
        return left_undecided(blank_result(seen.claim.point.subject.case, seen.claim.name), reached.limit)


def _add(made: Audited, later: Audited) -> None:
    """Put later results in the place of earlier ones, with the cost of both."""
    for name, (result, seen) in later.items():
        if name in made:
            before, known = made[name]
            if seen.cut:
                seen = seen.after(known)
                result = replace(_folded(seen), evaluations=result.evaluations, seconds=result.seconds)
            evaluations, seconds = before.evaluations + result.evaluations, before.seconds + result.seconds
            result = replace(result, evaluations=evaluations, seconds=seconds)
        made[name] = result, seen
