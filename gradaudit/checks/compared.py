"""Gradients that should be the same, asked for in two ways: where they differ by more than rounding makes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from gradaudit.checks.agreement import Change, exceeding, reordering
from gradaudit.checks.gradient.allowance import Roundoff
from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.checks.probe import Point, Probe, Upstream
from gradaudit.numerics.arrays import Array, cast, dtype_name, largest, like
from gradaudit.numerics.margins import SIGNIFICANT, SMALL_SAMPLE
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import is_floating, least_spacing, spacing


def claim(probe: Probe, name: str) -> Array:
    """Return what backward answered for an input when the case was opened, as ``Probe`` returns it."""
    made = probe.subject.gradients[name]
    assert made is not None
    return made if is_floating(dtype_name(made.dtype)) else cast(made, "float64")


@dataclass(frozen=True)
class Asked:
    """What backward was asked, and what it answered for each input."""

    point: Point
    upstream: Upstream
    answers: Mapping[str, Array]


def change(probe: Probe, name: str, was: Array, now: Array, asked: Asked, *, exact: bool = False) -> Change:
    """Return where a gradient differs from another by more than it may.

    Where it does, backward is called a few times more, for how large terms are that cancel, and how coarse it computes.

    Args:
        probe: the op.
        name: the input.
        was: the one.
        now: the other, of the same shape and dtype if it is right.
        asked: what the one is the answer to, or a part of that.
        exact: whether both are computed from the same numbers, so that the order of summation is all that may differ.

    Raises:
        OpError: where backward gives no usable gradient then.

    """
    seen = probe.gradient_change(name, was, now) if exact else probe.change_that_matters(name, was, now)
    if not seen or was.shape != now.shape or was.dtype != now.dtype:
        return seen
    dtype = dtype_name(was.dtype)
    around_zero = least_spacing(dtype) * max(SIGNIFICANT, math.sqrt(probe.terms)) if is_floating(dtype) else 0.0
    terms = max(_magnitude(probe, name, asked), _unsaturated(probe, name))
    cancelling = reordering(probe.terms, spacing(dtype)) * terms
    coarse = 0.0 if exact else probe.roundoff_of_backward(asked.point, asked.upstream, asked.answers)[name]
    return exceeding(widened(was), widened(now), max(seen.allowed, around_zero, cancelling) + SIGNIFICANT * coarse)


def _unsaturated(probe: Probe, name: str) -> float:
    """Return how large a gradient is where its op is not saturated: what cancels here is as large as there."""
    unit = spacing(dtype_name(probe.subject.inputs[name].dtype)) / 2
    return Roundoff(probe.point, unit, {name: widened(claim(probe, name))}).larger(name)


def _magnitude(probe: Probe, name: str, asked: Asked) -> float:
    """Return what a gradient comes to where its terms do not cancel: the largest for upstreams of random signs."""
    rng = generator(probe.case, "signs")
    found = 0.0
    for _ in range(SMALL_SAMPLE):
        signs = [rng.choice((-1.0, 1.0), tuple(part.shape)) for part in asked.upstream]
        signed = (
            cast(part * like(sign, part), dtype_name(part.dtype))
            for part, sign in zip(asked.upstream, signs, strict=True)
        )
        found = max(found, largest(widened(probe.backward(asked.point, tuple(signed))[name])))
    return found
