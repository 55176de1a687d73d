"""Every index of a gradient, one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.cut import Cut, more_of_a_table
from gradaudit.checks.gradient.element import Element, look_at
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.gradient.seen import Index, Seen, looks_of
from gradaudit.numerics.loss import Loss
from gradaudit.results import Finding
from gradaudit.spec.draw import generator
from gradaudit.targets.calls import LimitReachedError

AT_ODDS = "called for one point at a time: outputs of forward for several points at once differ from those for each"
"""What is said of an op that claims to evaluate several points at once and does it otherwise."""


def look_everywhere(claim: Claim) -> Seen:
    """Look at every index; at those that do not pass again, with what rounding must cost there.

    Where calls or time run out, what was looked at by then is told.

    Raises:
        OpError: where forward gives nothing usable.

    """
    point = claim.point.on_host
    case, x = point.subject.case, point.inputs[claim.name]
    loss = Loss(point.evaluate, x, point.upstream, point.outputs, point.spacing, point.together(claim.name))
    calls, before = point.subject.op.calls, point.subject.op.calls.made
    seen: dict[Index, Element] = {}
    cut = None

    def look(index: Index) -> Element:
        return look_at(loss, index, claim.at(index), claim.tolerance_at(index), case.step)

    try:
        loss.measure_noise(generator(case, "noise"))
        seen.update(loss.vicinity.side_by_side(look, np.ndindex(x.shape)))
        doubtful = [
            index
            for index, made in seen.items()
            if not claim.judged_at(index, made.numerical, made.bound, kink=made.kink).right
        ]
        if doubtful and claim.include_roundoff():
            seen.update(loss.vicinity.side_by_side(look, doubtful))
    except LimitReachedError as reached:
        cut = Cut(reached.limit, more_of_a_table(len(seen), claim.size, calls.made - before))
    finally:
        _record(claim.point, claim.name, loss)
    seen = {index: seen[index] for index in np.ndindex(x.shape) if index in seen}  # whichever was answered first
    looks = looks_of(claim, seen)
    made = Seen(claim, looks, kinks=int(looks.kink.sum()))
    return replace(made, cleared=len(seen) == claim.size, miss_probability=1.0, cut=cut) if cut else made


def _record(point: EvaluationPoint, name: str, loss: Loss) -> None:
    """Keep what was noticed of forward while one input was displaced."""
    loss.vicinity.verify_restored()
    if loss.vicinity.at_odds:
        point.notes.append(AT_ODDS)
    if loss.vicinity.disturbed:
        message = f"{name} was not bit-identical after its perturbation was undone: forward kept it and changed it"
        point.findings.append(Finding("input-mutated", message, {"by": "forward", "array": name}))
