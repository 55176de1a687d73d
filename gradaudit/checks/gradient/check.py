"""The audit of every differentiable input of a case: by looking at each index, or by searching all of them at once.

Forward is differenced in float64 where it is generic in dtype, whatever dtype the case is in: the inputs are exactly
representable there, so the numerical gradient is that of the formula at the very point that backward was given.
Elsewhere it is differenced in its own dtype, with bounds to match.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.contract import broken_contract
from gradaudit.checks.gradient import outcome
from gradaudit.checks.gradient.comparison import Comparison, compared_everywhere
from gradaudit.checks.gradient.exhaustive import Table, estimate_all
from gradaudit.checks.gradient.fitting import WORTHLESS, Fitted, finer, finer_note, fitted
from gradaudit.checks.gradient.ground import Ground, find_ground, is_wide, widened
from gradaudit.checks.gradient.rounding import rounding_note, without_rounding
from gradaudit.checks.gradient.search import search_all
from gradaudit.checks.gradient.searched import typical_magnitude
from gradaudit.checks.subject import Snapshot, Subject, mutations
from gradaudit.checks.tolerance import tolerance_too_loose, tolerance_too_tight
from gradaudit.numerics.arrays import count, on_host
from gradaudit.numerics.decision import Decision
from gradaudit.numerics.loss import Loss
from gradaudit.numerics.magnitude import rms
from gradaudit.results import Finding, Mismatch, Result, Verdict
from gradaudit.spec.case import Case, Tolerance
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

EXHAUSTIVE_LIMIT = 512
"""Most elements, over all inputs, that ``auto`` looks at one by one: a full table is worth more than speed there."""

AT_ODDS = "asked for one point at a time: forward's outputs at several points at once are not those at each alone"
"""What is said of an op that claims to evaluate several points at once and does it otherwise."""


def check_gradient(subject: Subject) -> tuple[list[Result], Ground, dict[str, Comparison]]:
    """Audit the gradient of every differentiable input.

    Returns:
        One result for each, in their order; where forward was differenced, with what was noticed there; and by input's
        name what each gradient was compared with, at least where it is wrong.

    """
    given = Snapshot.of({name: x for name, x in subject.inputs.items() if not is_wide(x)})
    ground = find_ground(subject)
    results: dict[str, Result] = {}
    claimed: dict[str, Array] = {}
    for name in (made.name for made in subject.case.inputs if made.differentiable):
        gradient = subject.gradients.get(name)
        broken = broken_contract(name, subject.inputs[name], gradient, answered=name in subject.gradients)
        if broken is None and gradient is not None:
            claimed[name] = gradient
        results[name] = outcome.blank_result(subject.case, name, broken.message if broken else "")
        results[name] = replace(results[name], findings=(broken,) if broken else ())
    comparisons: dict[str, Comparison] = {}
    together = _searched(subject.case, claimed)
    if together:
        found, comparisons = _search(subject, ground, together)
        results |= found
    for name in (name for name in claimed if name not in together):
        results[name], table = _look_everywhere(subject, ground, name, claimed[name])
        comparisons |= {name: compared_everywhere(table)} if table is not None else {}
    ground.notice(mutations("forward", given))  # it may have held on to its first inputs and changed them later
    for name in list(claimed)[:1]:
        results[name] = replace(results[name], evaluations=results[name].evaluations + ground.evaluations)
    return list(results.values()), ground, comparisons


def _searched(case: Case, claimed: dict[str, Array]) -> dict[str, Array]:
    """Return the gradients that are searched, all at once: those that have any elements, or none."""
    elements = sum(count(gradient) for gradient in claimed.values())
    searches = case.method == "search" or (case.method == "auto" and case.step is None and elements > EXHAUSTIVE_LIMIT)
    return {name: gradient for name, gradient in claimed.items() if searches and count(gradient)}


def _search(
    subject: Subject, ground: Ground, claimed: dict[str, Array]
) -> tuple[dict[str, Result], dict[str, Comparison]]:
    """Search all inputs; again by a finer tolerance those whose gradient disappears in one that nobody asked for."""
    results, comparisons = search_all(subject, ground, claimed)
    for name, result in list(results.items()) if subject.case.tolerance is None and ground.generic else ():
        if result.verdict is not Verdict.INCONCLUSIVE or result.resolution <= WORTHLESS:
            continue
        tolerance = finer(DEFAULT_TOLERANCES[subject.case.dtype], typical_magnitude(widened(claimed[name])))
        if tolerance is None:
            continue
        found, compared = search_all(subject, ground, {name: claimed[name]}, tolerance)
        spent = result.evaluations + found[name].evaluations
        results[name] = replace(result, evaluations=spent)
        if found[name].verdict is Verdict.PASS:
            results[name] = replace(found[name], evaluations=spent, message=finer_note(tolerance))
            comparisons |= compared
    return results, comparisons


def _look_everywhere(subject: Subject, ground: Ground, name: str, gradient: Array) -> tuple[Result, Table | None]:
    started = time.perf_counter()
    case, everywhere = subject.case, ground
    ground = ground.on_host

    def claim(tolerance: Tolerance) -> tuple[Array, int]:
        if case.tolerance is not None or name not in everywhere.formula:
            return widened(on_host(gradient)), 0
        nearly, rounded = without_rounding(everywhere, name, gradient, tolerance)
        return widened(on_host(nearly)), rounded

    x, together = ground.inputs[name], ground.together(name)
    loss = Loss(ground.evaluate, x, ground.upstream, ground.outputs, spacing(ground.dtype), together)
    table = None
    try:
        loss.measure_noise(generator(case, "noise"))
        found = fitted(
            case, ground, name, claim, lambda claimed, tolerance: estimate_all(loss, claimed, tolerance, case.step)
        )
    except OpError as error:
        result = outcome.blank_result(case, name, str(error))
    else:
        table = found.table
        result = _judged(subject, ground, name, found)
        if result.verdict is Verdict.PASS and found.rounded:
            result = replace(result, message=rounding_note(case, found.rounded))
    if loss.vicinity.at_odds:
        result = replace(result, message=outcome.added(result.message, AT_ODDS))
    loss.vicinity.verify_restored()
    if loss.vicinity.disturbed:
        message = f"{name} was not bit-identical after its perturbation was undone: forward kept it and changed it"
        ground.findings.append(Finding("input-mutated", message, {"by": "forward", "array": name}))
    return replace(result, evaluations=loss.evaluations, seconds=time.perf_counter() - started), table


def _judged(subject: Subject, ground: Ground, name: str, found: Fitted) -> Result:
    case, claimed = subject.case, found.claimed
    table, made, tolerance, typical, scale = found.table, found.made, found.tolerance, found.typical, found.scale
    verdict, message = _verdict(made, table, claimed)
    message = message or found.note
    places = (np.argwhere(marked) for marked in (table.kinks, table.jumps, table.outside))
    findings = outcome.place_findings(ground.inputs[name], *places)
    findings += outcome.upstream_finding(case, name, typical, scale)
    noise = _noise(made, table, ground, name)
    findings += noise
    if made.right.all() and typical > outcome.VANISHING * scale:
        findings += tolerance_too_loose(
            case, name, tolerance, lambda: made.difference + table.bounds, table.numerical, rms(table.numerical)
        )
    visible = max((finding.evidence["visible"] for finding in noise), default=0.0)
    findings += tolerance_too_tight(case, name, tolerance, typical, int(made.undecided.sum()), visible)
    findings += _precision(made, table, ground, case, name)
    return replace(
        outcome.blank_result(case, name),
        verdict=verdict,
        checked=claimed.size,
        wrong=int(made.wrong.sum()),
        resolution=made.resolution,
        worst_ratio=outcome.worst_ratio(made.difference, made.allowed),
        rtol=tolerance.rtol,
        atol=tolerance.atol,
        message=outcome.with_ground(message, ground),
        mismatches=_mismatches(made, claimed, table),
        findings=tuple(findings),
    )


def _verdict(made: Decision, table: Table, claimed: Array) -> tuple[Verdict, str]:
    size = made.wrong.size
    if made.wrong.any():
        return Verdict.FAIL, f"{int(made.wrong.sum())} of {size} indices wrong"
    if undecided := int(made.undecided.sum()):
        said = f"{undecided} of {size} indices cannot be decided at this precision"
        visible = float((made.allowed + 2 * table.bounds)[made.undecided].max())
        if math.isfinite(visible):
            said += f"; an error above {visible:.1e} there would have been found"
        return Verdict.INCONCLUSIVE, said
    if made.resolution > WORTHLESS:
        blind = f"a relative error of {made.resolution:.2g} could have gone unseen"
        return Verdict.INCONCLUSIVE, f"the tolerance is too loose for this gradient: {blind}"
    return Verdict.PASS, "" if table.kinks.any() else outcome.zero_note(claimed)


def _noise(made: Decision, table: Table, ground: Ground, name: str) -> list[Finding]:
    noisy = made.undecided & ~table.jumps & ~table.outside
    visible = float((made.allowed + 2 * table.bounds)[noisy].max(initial=0.0))
    return outcome.noise_finding(ground, name, int(noisy.sum()), visible)


def _precision(made: Decision, table: Table, ground: Ground, case: Case, name: str) -> list[Finding]:
    """Return a finding where the wrong indices are right once backward computes in float64."""
    formula = ground.formula.get(name)
    if formula is None or not made.wrong.any():
        return []
    off = np.abs(formula - table.numerical)[made.wrong]
    if not (off + table.bounds[made.wrong] <= made.allowed[made.wrong]).all():
        return []
    lost, largest = int(made.wrong.sum()), float(made.difference[made.wrong].max())
    return [outcome.precision_finding(name, case.dtype, lost, made.wrong.size, largest)]


def _mismatches(made: Decision, claimed: Array, table: Table) -> tuple[Mismatch, ...]:
    """Return the wrong indices, or the undecided ones where none is wrong, worst first."""
    places = np.argwhere(made.wrong if made.wrong.any() else made.undecided)
    rows = [
        Mismatch(
            index=index,
            analytical=claimed[index].item(),
            numerical=table.numerical[index].item(),
            error_bound=float(table.bounds[index]),
            difference=float(made.difference[index]),
            tolerance=float(made.allowed[index]),
        )
        for index in (tuple(int(k) for k in place) for place in places)
    ]
    return outcome.ranked(rows)
