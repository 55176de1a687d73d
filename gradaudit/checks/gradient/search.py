"""All inputs of a case at once: root tests over every element of all of them, a close look where one fails.

Where the case's dtype is narrower than float64, the search audits what backward gives in float64, and the gradient in
the case's own dtype is compared with that, index by index: together they must keep within the tolerance.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from gradaudit.checks.agreement import alike, reordering
from gradaudit.checks.gradient import outcome
from gradaudit.checks.gradient.comparison import Comparison, compared_closely
from gradaudit.checks.gradient.ground import FORMULA_SHARE, Ground, widened
from gradaudit.checks.gradient.look_around import look_around
from gradaudit.checks.gradient.rounding import rounding_note
from gradaudit.checks.gradient.searched import Look, Searched
from gradaudit.checks.subject import Subject
from gradaudit.checks.tolerance import tolerance_too_loose, tolerance_too_tight
from gradaudit.numerics.arrays import Array, count, largest, places
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.magnitude import rms
from gradaudit.numerics.root_test import Calm, RootTester
from gradaudit.numerics.search import WORTHLESS, Judgement, Outcome, Search
from gradaudit.results import Finding, Mismatch, Result, Verdict
from gradaudit.spec.case import Tolerance
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import OpError

LISTED = 512
"""Wrong indices that a comparison holds at most beside those looked at."""

UNSEEN = 0.1
"""Share of the tolerance that an error may be without being seen: four root tests miss one above once in a hundred."""


RULE_OF_THREE = 3.0
"""A share of more than this over the size of a random sample shows in it with a probability of 95%."""


def search_all(
    subject: Subject, ground: Ground, claimed: Mapping[str, Array], tolerance: Tolerance | None = None
) -> tuple[dict[str, Result], dict[str, Comparison]]:
    """Search all inputs at once and return a result for each, and what those that are wrong were compared with.

    Args:
        subject: the op and its case.
        ground: where its forward is differenced.
        claimed: the gradients to judge.
        tolerance: what fits them better than what nobody asked for; None for the one in force.

    """
    started = time.perf_counter()
    inputs = [Searched(subject, ground, name, gradient, tolerance) for name, gradient in claimed.items()]
    suspect = subject.findings or ground.findings
    line = Directional(
        ground.evaluate if suspect else ground.evaluate_fleeting,
        ground.inputs,
        {searched.name: searched.formula for searched in inputs},
        ground.upstream,
        ground.outputs,
    )
    ends = np.cumsum([searched.numbers for searched in inputs])
    for searched, end in zip(inputs, ends, strict=True):
        searched.positions = range(int(end) - searched.numbers, int(end))

    def judge(position: int, calm: Calm | None) -> Judgement:
        searched = inputs[int(np.searchsorted(ends, position, side="right"))]
        return searched.look(position - searched.positions.start, calm)

    def repeats() -> bool:
        line.evaluations += 1
        rounding = reordering(line.size, spacing(ground.dtype))
        return alike(ground.outputs, ground.evaluate(), rounding * largest(ground.outputs))

    share = FORMULA_SHARE if all(searched.split for searched in inputs) else 1.0
    tester = RootTester(
        line,
        rtol=share * min(searched.tolerance.rtol for searched in inputs),
        atol=share * min(searched.tolerance.atol for searched in inputs),
        typical=min(searched.typical for searched in inputs),
        spacing=spacing(ground.dtype),
        rng=generator(subject.case, "directions"),
    )
    try:
        found = Search(tester, judge, repeats, generator(subject.case, "sample")).run()
        for searched in inputs if found.miss_probability == 1.0 else ():
            look_around(searched, tester.calm, generator(subject.case, "around"))
    except OpError as error:
        return {name: outcome.blank_result(subject.case, name, str(error)) for name in claimed}, {}
    if line.disturbed:
        message = "an input was not bit-identical after a perturbation was undone: forward kept it and changed it"
        ground.findings.append(Finding("input-mutated", message, {"by": "forward"}))
    seconds = (time.perf_counter() - started) / len(inputs)
    results = {searched.name: _result(searched, found, seconds) for searched in inputs}
    wrong = [searched for searched in inputs if results[searched.name].verdict is Verdict.FAIL]
    comparisons = {searched.name: _comparison(searched, found, results[searched.name]) for searched in wrong}
    first = results[inputs[0].name]  # the root tests belong to all inputs: they are counted once
    results[first.input] = replace(first, evaluations=first.evaluations + line.evaluations)
    unseen = [name for name, result in results.items() if _was_not_seen(result, found)]
    if len(inputs) > 1 and unseen:
        # Apart from those that are wrong, and where none is from each other: their scales may have nothing in common.
        for names in [unseen] if len(unseen) < len(inputs) else [[name] for name in unseen]:
            again, compared = search_all(subject, ground, {name: claimed[name] for name in names}, tolerance)
            results, comparisons = results | again, comparisons | compared
    return results, comparisons


def _was_not_seen(result: Result, found: Outcome) -> bool:
    """Whether an input's own errors drowned in those of the others, or in their noise."""
    blind = found.miss_probability == 1.0 or result.resolution > WORTHLESS
    return result.verdict is Verdict.INCONCLUSIVE and blind


def _result(searched: Searched, found: Outcome, seconds: float) -> Result:
    case, tolerance = searched.case, searched.tolerance
    lost = _lost(searched)
    wrong = [look for look in searched.looks if look.judgement is Judgement.WRONG]
    undecided = [look for look in searched.looks if look.judgement is Judgement.UNDECIDED]
    complete = found.miss_probability < 1.0
    resolution = _resolution(searched, found)
    verdict = Verdict.PASS
    message = outcome.zero_note(searched.formula) or rounding_note(case, searched.rounded)
    if wrong or lost:
        verdict, message = Verdict.FAIL, _extent(len(wrong) + len(lost), searched, found)
    elif not complete:
        verdict = Verdict.INCONCLUSIVE
        message = f"none of {len(searched.looks)} indices looked at is wrong, but the others cannot be tested together"
    elif undecided:
        verdict, message = Verdict.INCONCLUSIVE, f"{len(undecided)} indices cannot be decided at this precision"
    elif resolution > WORTHLESS:
        verdict = Verdict.INCONCLUSIVE
        message = f"a relative error of {resolution:.2g} could have gone unseen"
    return replace(
        outcome.blank_result(case, searched.name),
        verdict=verdict,
        checked=count(searched.formula) if complete else len(searched.looks),
        wrong=len(wrong) + len(lost),
        evaluations=searched.evaluations,
        seconds=seconds,
        method="search",
        miss_probability=found.miss_probability,
        resolution=resolution,
        worst_ratio=_worst_ratio(searched),
        rtol=tolerance.rtol,
        atol=tolerance.atol,
        message=outcome.with_ground(message, searched.ground),
        mismatches=outcome.ranked([*(_mismatch(look, tolerance) for look in wrong or undecided), *lost]),
        findings=tuple(_findings(searched, found, [*lost, *_spoilt(searched, wrong)], undecided)),
    )


def _comparison(searched: Searched, found: Outcome, result: Result) -> Comparison:
    known = {row.index: (row.numerical, row.error_bound) for row in result.mismatches[:LISTED]}
    for look in searched.looks:  # at a kink the numerical gradient is the claim's own
        known[look.index] = look.element.numerical, math.inf if look.element.kink else look.element.bound
    if found.miss_probability == 1.0:
        return compared_closely(known, searched.formula, None)
    allowed = searched.tolerance.atol + searched.tolerance.rtol * abs(searched.formula)
    return compared_closely(known, searched.formula, FORMULA_SHARE * allowed if searched.split else allowed)


def _extent(wrong: int, searched: Searched, found: Outcome) -> str:
    size = count(searched.formula)
    sampled = [position for position in found.sample if position in searched.positions]
    if found.miss_probability < 1.0 or not sampled:
        return f"{wrong:,} of {size:,} indices wrong"
    bad = sum(found.settled[position] is Judgement.WRONG for position in sampled)
    if not bad:
        few = RULE_OF_THREE / len(sampled)
        return (
            f"{wrong:,} wrong indices seen; none of {len(sampled)} sampled at random, so at most {few:.0%} of {size:,}"
        )
    share = bad / len(sampled)
    sample = f"{bad} of {len(sampled)} sampled at random"
    return f"{wrong:,} wrong indices seen; much is wrong: {sample}, so about {share:.0%} of {size:,}"


def _lost(searched: Searched) -> list[Mismatch]:
    """Return where the implementation in the case's dtype is off from the formula by more than the tolerance."""
    if not searched.split:
        return []
    wide, tolerance = widened(searched.claimed), searched.tolerance
    difference = abs(wide - searched.formula)
    allowed = tolerance.atol + tolerance.rtol * abs(searched.formula)
    exceeded = difference > allowed
    if not exceeded.any():
        return []
    seen = {look.index for look in searched.looks}
    return [
        Mismatch(
            index=index,
            analytical=wide[index].item(),
            numerical=searched.formula[index].item(),
            error_bound=FORMULA_SHARE * float(allowed[index]),
            difference=float(difference[index]),
            tolerance=float(allowed[index]),
        )
        for index in (tuple(int(k) for k in row) for row in places(exceeded))
        if index not in seen
    ]


def _spoilt(searched: Searched, wrong: list[Look]) -> list[Mismatch]:
    """Return those of the wrong indices at which the formula is right in float64."""
    if not searched.split:
        return []
    rows = [(_mismatch(look, searched.tolerance), searched.formula[look.index]) for look in wrong]
    return [row for row, formula in rows if abs(formula - row.numerical) + row.error_bound <= row.tolerance]


def _admitted(searched: Searched) -> Array:
    """Return what each index of a gradient that passed is off by at most, as far as root tests can tell."""
    allowed = searched.tolerance.atol + searched.tolerance.rtol * abs(searched.formula)
    unseen = UNSEEN * (FORMULA_SHARE if searched.split else 1.0)
    return unseen * allowed + abs(widened(searched.claimed) - searched.formula)


def _mismatch(look: Look, tolerance: Tolerance) -> Mismatch:
    numerical = look.element.numerical
    return Mismatch(
        index=look.index,
        analytical=look.claimed,
        numerical=numerical,
        error_bound=look.element.bound,
        difference=abs(look.claimed - numerical),
        tolerance=tolerance.at(abs(numerical)),
    )


def _resolution(searched: Searched, found: Outcome) -> float:
    """Return the least error that surely shows, relative to the gradient's typical magnitude."""
    typical = searched.typical
    if not typical:
        return math.inf
    seen = max(searched.tolerance.rtol * typical + searched.tolerance.atol, found.floor)
    return seen / typical if math.isfinite(typical) else 0.0  # without outputs, beside which any error is none


def _worst_ratio(searched: Searched) -> float:
    """Return the worst ratio of difference to tolerance where indices were looked at, or compared with the formula."""
    seen = [_mismatch(look, searched.tolerance) for look in searched.looks]
    difference = np.array([mismatch.difference for mismatch in seen])
    ratio = outcome.worst_ratio(difference, np.array([mismatch.tolerance for mismatch in seen]))
    if not searched.split:
        return ratio
    allowed = searched.tolerance.atol + searched.tolerance.rtol * abs(searched.formula)
    return float(np.fmax(ratio, outcome.worst_ratio(abs(widened(searched.claimed) - searched.formula), allowed)))


def _findings(searched: Searched, found: Outcome, lost: list[Mismatch], undecided: list[Look]) -> list[Finding]:
    kinks = [look.index for look in searched.looks if look.element.kink]
    jumps = [look.index for look in searched.looks if look.element.jump]
    outside = [look.index for look in searched.looks if look.element.outside]
    x = searched.ground.inputs[searched.name]
    findings = outcome.place_findings(x, np.array(kinks), np.array(jumps), np.array(outside))
    if found.kinks and kinks:
        where = kinks[0]
        message = f"the op is not differentiable at {found.kinks:,} indices, such as {where}; the claims there are "
        evidence = {**findings[0].evidence, "count": found.kinks}
        findings[0] = Finding("kink", message + "one-sided derivatives", evidence)
    scale = outcome.natural_scale(searched.ground, searched.name)
    findings += outcome.upstream_finding(searched.case, searched.name, searched.magnitude, scale)
    noisy = [look for look in undecided if not (look.element.jump or look.element.outside)]
    visible = max((2 * look.element.bound for look in noisy), default=0.0)
    findings += outcome.noise_finding(searched.ground, searched.name, len(noisy), visible)
    tolerance, typical = searched.tolerance, searched.typical
    if not lost and found.flawless and found.miss_probability < 1.0 and searched.magnitude > outcome.VANISHING * scale:
        findings += tolerance_too_loose(
            searched.case,
            searched.name,
            tolerance,
            lambda: _admitted(searched),
            searched.formula,
            rms(searched.formula),
        )
    findings += tolerance_too_tight(searched.case, searched.name, tolerance, typical, len(noisy), visible)
    if lost:
        largest = max(mismatch.difference for mismatch in lost)
        size = count(searched.formula)
        findings.append(outcome.precision_finding(searched.name, searched.case.dtype, len(lost), size, largest))
    return findings
