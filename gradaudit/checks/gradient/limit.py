"""Gradients at kinks of many elements: right where they are the limit of right gradients beside the point.

One-sided derivatives tell of one element. Where hundreds stand at kinks, as activations that are zero do in a maximum,
no displacement of all tests their claims. Beside the point there are no kinks, so that root tests apply, and what
backward gives there tends to a subgradient as the point is approached (F. H. Clarke, Optimization and Nonsmooth
Analysis, 1983, theorem 2.5.1). A claim that is this limit is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gradaudit.checks.gradient.claim import Claim
from gradaudit.checks.gradient.search import Searched
from gradaudit.checks.gradient.seen import Seen
from gradaudit.checks.subject import Snapshot
from gradaudit.numerics.arrays import Array, cast, dtype_name, has_complex_dtype, namespace
from gradaudit.numerics.margins import NEAR

DISTANCE = NEAR
"""How far beside the point, in units of the inputs' scale.

That is 32 steps of root tests in float64, which meet no kink of the point so, and so little that a gradient is
extrapolated to the point with a relative error of 10^-7.
"""

Sides = Mapping[str, Array]
"""By input, to which side each element is moved: 1 or -1."""


def limits(claims: Sequence[Claim], seen: Mapping[str, Seen]) -> dict[str, Seen]:
    """Return what is known of gradients that are the limit of right ones to some side; empty where none is found.

    Args:
        claims: gradients in float64 of real inputs, right wherever they were looked at.
        seen: what was seen of them, by input.

    Raises:
        OpError: where forward gives nothing usable.

    """
    if not claims or not claims[0].point.generic or any(has_complex_dtype(claim.formula) for claim in claims):
        return {}
    for sides in _ways(claims):
        far, near = (_moved(claims, sides, distance) for distance in (DISTANCE, DISTANCE / 2))
        if (
            not far
            or not near
            or not all(_tends_to(claim, *pair) for claim, *pair in zip(claims, far, near, strict=True))
        ):
            continue
        beside = Searched(far, locate=False).seen()
        if all(each.cleared for each in beside):
            return {
                each.claim.name: replace(
                    seen[each.claim.name],
                    cleared=True,
                    miss_probability=each.miss_probability,
                    floor=each.floor,
                    flat=each.flat,
                    kinked=False,
                )
                for each in beside
            }
    return {}


def _ways(claims: Sequence[Claim]) -> Iterator[Sides]:
    """Yield the sides that each claim is nearest to; then what has a gradient above the rest, and below it.

    Of elements that attain a maximum together, the one with the gradient becomes the largest so.
    """
    up, down = (
        _moved(claims, {claim.name: side + 0.0 * claim.formula for claim in claims}, DISTANCE) for side in (1.0, -1.0)
    )
    if up and down:
        yield {
            claim.name: _sign(abs(above.formula - claim.formula) < abs(below.formula - claim.formula), claim.formula)
            for claim, above, below in zip(claims, up, down, strict=True)
        }
    winners = {claim.name: _sign(claim.formula != 0.0, claim.formula) for claim in claims}
    yield winners
    yield {name: -sides for name, sides in winners.items()}


def _sign(up: Array, like: Array) -> Array:
    ones = namespace(like).ones_like(like)
    return namespace(like).where(up, ones, -ones)


def _moved(claims: Sequence[Claim], sides: Sides, distance: float) -> list[Claim]:
    """Return what backward claims at a point beside; empty where it, or forward, gives nothing usable there."""
    point = claims[0].point
    inputs = dict(point.inputs)
    for name, side in sides.items():
        x, scale = inputs[name], point.scales[name]
        by = distance * side * (scale if isinstance(scale, float) else scale.reshape(tuple(x.shape)))
        inputs[name] = point.subject.in_layout(name, cast(x + by, dtype_name(x.dtype)))
    before = Snapshot.of(inputs)
    gradients = point.claims(point.subject.upstream, inputs, point.outputs_at(inputs))
    before.restore(before.changed())
    if any(claim.name not in gradients for claim in claims):
        return []
    there = replace(point, inputs=inputs, outputs=point.outputs)
    there.outputs = there.evaluate()
    return [claim.beside(there, gradients[claim.name]) for claim in claims]


def _tends_to(claim: Claim, far: Claim, near: Claim) -> bool:
    """Whether gradients at a distance and at half of it tend to the one at the point."""
    limit = 2.0 * near.formula - far.formula
    return bool((abs(limit - claim.formula) <= claim.of_formula.of(claim.formula)).all())
