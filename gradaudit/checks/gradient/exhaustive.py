"""Every index of a gradient, one by one."""

from __future__ import annotations

import numpy as np

from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.element import Element, look_at
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.gradient.seen import Index, Seen, looks_of
from gradaudit.numerics.loss import Loss
from gradaudit.results import Finding
from gradaudit.spec.draw import generator

AT_ODDS = "asked for one point at a time: forward's outputs at several points at once are not those at each alone"
"""What is said of an op that claims to evaluate several points at once and does it otherwise."""


def look_everywhere(claim: Claim) -> Seen:
    """Look at every index; at those that do not pass again, with what rounding must cost there.

    Raises:
        OpError: where forward gives nothing usable.

    """
    point = claim.point.on_host
    case, x = point.subject.case, point.inputs[claim.name]
    loss = Loss(point.evaluate, x, point.upstream, point.outputs, point.spacing, point.together(claim.name))
    seen: dict[Index, Element] = {}

    def look(index: Index) -> Element:
        return look_at(loss, index, claim.at(index), claim.tolerance_at(index), case.step)

    try:
        loss.measure_noise(generator(case, "noise"))
        seen = dict.fromkeys(np.ndindex(x.shape), Element(0.0, 0.0))  # in their order, whichever is answered first
        seen.update(loss.vicinity.side_by_side(look, list(seen)))
        doubtful = [
            index
            for index, made in seen.items()
            if not claim.judged_at(index, made.numerical, made.bound, kink=made.kink).right
        ]
        if doubtful and claim.include_roundoff():
            seen.update(loss.vicinity.side_by_side(look, doubtful))
    finally:
        _notice(claim.point, claim.name, loss)
    looks = looks_of(claim, seen)
    return Seen(claim, looks, kinks=int(looks.kink.sum()))


def _notice(point: EvaluationPoint, name: str, loss: Loss) -> None:
    """Keep what was noticed of forward while one input was displaced."""
    loss.vicinity.verify_restored()
    if loss.vicinity.at_odds:
        point.notes.append(AT_ODDS)
    if loss.vicinity.disturbed:
        message = f"{name} was not bit-identical after its perturbation was undone: forward kept it and changed it"
        point.findings.append(Finding("input-mutated", message, {"by": "forward", "array": name}))
