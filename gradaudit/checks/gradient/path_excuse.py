"""Whether what paths accuse may be forward's own doing: it is held against differences, jumps and finer paths."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.close_look import CloseLooks
from gradaudit.checks.gradient.excuse import STANDS, Answer, first_answer
from gradaudit.numerics.arrays import as_reals, like, on_host
from gradaudit.numerics.judging import Judgement
from gradaudit.numerics.magnitude import norm_of_product, rms
from gradaudit.numerics.margins import HEADROOM, SIGNIFICANT, SMALL_SAMPLE
from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.displacement import Route
from gradaudit.numerics.path.jumps import jumped
from gradaudit.numerics.path.refine import closes
from gradaudit.numerics.path.report import Culprit
from gradaudit.spec.draw import generator


class Suspected(NamedTuple):
    """Parts of a gradient that paths accuse, the scatter of the loss along these, and what differences see of them."""

    claim: Claim
    followed: PathClaim
    culprits: Sequence[Culprit]
    noise: float
    looks: CloseLooks
    rng: np.random.Generator

    def claimed(self, culprit: Culprit) -> float:
        """Return what is claimed of the most suspect element of a part."""
        return float(on_host(as_reals(self.claim.formula))[culprit.worst])


def excuse_along_paths(looks: CloseLooks, followed: PathClaim, culprits: Sequence[Culprit], noise: float) -> Answer:
    """Return whether forward explains what paths accuse, along which the loss scatters by so much noise.

    What differences cannot resolve is no agreement, and noise along a path is no jump: it may be what is wrong.
    """
    rng = generator(looks.claim.point.subject.case, "refined")
    accused = Suspected(looks.claim, followed, culprits[:SMALL_SAMPLE], noise, looks, rng)
    rules = (_is_seen_by_differences, _climbs_steps_alone, _jumps_on_the_way, _is_steep_between_nodes)
    return first_answer(rules, accused)


def _is_seen_by_differences(accused: Suspected) -> Answer | None:
    """Let differences decide about single elements; of many, one that they find wrong is enough."""
    found = [accused.looks.look(culprit.worst, None) for culprit in accused.culprits]
    pairs = zip(accused.culprits, found, strict=True)
    if any(made is Judgement.WRONG and not _is_hidden(accused, culprit) for culprit, made in pairs):
        return STANDS
    if any(each.kind != "index" for each in accused.culprits) or not all(
        _is_acquitted(accused, each) for each in accused.culprits
    ):
        return None
    message = (
        "along paths, forward changes by more than the integral of the analytical gradient, but central differences "
        "at the suspect elements agree with the gradient: what contradicts it lies further away"
    )
    return Answer.jump(message, len(accused.culprits))


def _is_acquitted(accused: Suspected, culprit: Culprit) -> bool:
    """Whether differences at an element agree with its claim to less than half of the error that paths saw."""
    looks = accused.looks
    index = looks.index_of(culprit.worst)
    seen = looks.seen[index]
    near = abs(accused.claimed(culprit) - seen.numerical) + seen.bound < abs(culprit.error) / 2
    return looks.judgements[index] is Judgement.RIGHT and bool(near)


def _is_hidden(accused: Suspected, culprit: Culprit) -> bool:
    """Whether differences see forward stand still that changes along paths: rounding inside hides the element there."""
    looks = accused.looks
    if looks.seen[looks.index_of(culprit.worst)].numerical != 0.0:
        return False
    if culprit.kind != "index":
        return math.isfinite(culprit.error)
    return abs(accused.claimed(culprit) - culprit.error) > culprit.bound


def _climbs_steps_alone(accused: Suspected) -> Answer | None:
    """Find that forward stands still around the point for longer than rounding explains, where zeros are claimed.

    They are right then, however far a path climbs: between two steps of a quantisation there is no slope.
    """
    if not all(_stands_still_at(accused, each) for each in accused.culprits):
        return None
    message = (
        "along paths, forward changes where the analytical gradient is zero, but in steps: near the point it "
        "stands still for longer than rounding explains, as a quantisation does"
    )
    return Answer.jump(message, len(accused.culprits))


def _stands_still_at(accused: Suspected, culprit: Culprit) -> bool:
    """Whether forward stands still where some accused elements move until their error would show, to one side at least.

    A step of a staircase lies on one side; on both forward changes where rounding alone makes it stand still.
    """
    claim, followed, places = accused.claim, accused.followed, culprit.places
    if bool(on_host(as_reals(claim.formula))[places].any()):
        return False
    error = culprit.trend / float(np.linalg.norm(culprit.reach))
    rounding = followed.unit * rms(claim.point.upstream) * rms(claim.point.outputs)
    displaced = np.zeros(claim.size)
    displaced[[culprit.worst, *places[:: -(-places.size // SMALL_SAMPLE)]]] = SIGNIFICANT * rounding / error
    here = followed.values(followed.inputs)
    for side in (displaced, -displaced):
        moved = Route(followed.inputs, {claim.name: like(side, followed.inputs[claim.name])})
        there = followed.values(moved.at(1.0))
        if here is not None and there is not None and bool((there.vector == here.vector).all()):
            return True
    return False


def _jumps_on_the_way(accused: Suspected) -> Answer | None:
    """Find that jumps of forward may come to what is not accounted for, and are no noise of the outputs that move.

    Of half of the parts: where forward is seen to jump so often, jumps of the others may have been missed.
    """
    point = accused.claim.point
    rounding = accused.claim.unit * norm_of_product(as_reals(point.upstream), as_reals(point.outputs))
    least = min(SIGNIFICANT * accused.noise, HEADROOM * rounding)
    unexplained = 0
    for each in accused.culprits:
        jumps = jumped(accused.followed, accused.claim.name, each.places, accused.rng)
        unexplained += not jumps.explain(each.trend, least)
        if 2 * unexplained > len(accused.culprits):
            return None
    message = (
        "along paths, forward changes by more than the integral of the analytical gradient, and it jumps on the way by "
        "as much: a path says nothing about a gradient between two jumps"
    )
    return Answer.jump(message, len(accused.culprits))


def _is_steep_between_nodes(accused: Suspected) -> Answer | None:
    """Refine paths at the elements in question: forward may change where no node of a path lies."""
    parts = (each.places for each in accused.culprits)
    if not all(closes(accused.followed, accused.claim.name, places, accused.rng) for places in parts):
        return None
    return Answer("short", "forward changes in so small a part of its paths that they say nothing about the gradient")
