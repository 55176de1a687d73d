"""A gradient against forward along one random direction: a few forwards for a point where nothing is known yet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.checks.probe import Point, Probe
from gradaudit.numerics.arrays import Array, dtype_name, joined, like, namespace
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.displacing import Direction
from gradaudit.numerics.gauge import surely_more
from gradaudit.numerics.magnitude import rms, scales_of
from gradaudit.numerics.margins import HEADROOM, MAX_ATTEMPTS, MAX_ROUNDINGS, NEGLIGIBLE, SLOPE_RTOL, STEP, WIDE_STEP
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, spacing
from gradaudit.targets.op import OpError

CONTRADICTED = 2 * SLOPE_RTOL
"""Least relative error of one that contradicts a claim: cancellation at another point comes to half of it."""

CONFIRMED = NEGLIGIBLE
"""Relative difference between what the two show of an error that is no artefact of a kink, of noise, or of the step."""


@dataclass(frozen=True)
class Trial:
    """What forward said of a claim, by a central difference along one direction.

    Attributes:
        line: the claim and the measurement along displacements.
        direction: the displacement at step 1.
        step: the step of the central difference.
        claim: root sum of squares of what each element claims of the direction.
        excess: by how much the claim was off.
        rounding: what forward's rounding may make of its outputs, relative to them.
        allowed: what is no contradiction.
        tolerated: what errors within the tolerance of each element do not add up to, but by a negligible chance.

    """

    line: Directional
    direction: Direction
    step: float
    claim: float
    excess: float
    rounding: float
    allowed: float
    tolerated: float

    @property
    def noise(self) -> float:
        """What rounding may make of the excess."""
        return self.rounding * self.line.signal / self.step

    @property
    def borne_out(self) -> bool:
        """Whether the claim agrees with forward, and rounding leaves enough to tell."""
        return abs(self.excess) <= self.allowed + self.noise and self.noise <= self.allowed

    def contradiction(self) -> float:
        """Return the relative error of a claim that a second look contradicts too, for one more forward; else 0."""
        if abs(self.excess) <= self.allowed:
            return 0.0
        # Two roundings of float32 are no evidence, whatever dtype forward returns: it may compute in that inside.
        hidden = 2 * spacing("float32") * self.line.signal / self.step
        if not abs(self.excess) > max(self.allowed + max(self.noise, hidden), self.tolerated):  # or NaN
            return 0.0
        closer = self.line.excess_one_sided(self.direction, self.step / HEADROOM)
        if not abs(self.excess - closer) <= CONFIRMED * abs(self.excess):
            return 0.0
        error = abs(self.excess) / (self.claim or abs(self.excess))
        return error if error > CONTRADICTED else 0.0


def try_claim(probe: Probe, point: Point, gradients: Mapping[str, Array], direction: str) -> Trial:
    """Compare claimed gradients with forward along the direction of a name, for one forward or three.

    Where steps are so short that truncation is no more than what is allowed, a difference to one side may bear a claim
    out; else a central one tells. The inputs of the point are displaced and restored bit by bit.
    """
    line = line_at(probe, point, gradients)
    rng = generator(probe.case, f"direction {direction}")
    drawn = rng.integers(1, MAX_ATTEMPTS, line.size, np.int8)  # a byte for each element
    drawn *= rng.integers(0, 1, line.size, np.int8, endpoint=True) * 2 - 1
    along = Direction.of(like(drawn, line.claims))
    claim, length = line.sizes_along(along)
    step = usual_step(probe.spacing)
    narrow = max(spacing(dtype_name(gradient.dtype)) for gradient in gradients.values())
    allowed = max(SLOPE_RTOL, MAX_ROUNDINGS * narrow) * claim
    excess = line.excess_one_sided(along, step) if step * MAX_ATTEMPTS <= SLOPE_RTOL else math.nan
    if not abs(excess) <= allowed:
        excess = line.excess(along, step)
    tolerance = probe.case.tolerance or DEFAULT_TOLERANCES[probe.case.dtype]
    return Trial(
        line=line,
        direction=along,
        step=step,
        claim=claim,
        excess=excess,
        rounding=MAX_ROUNDINGS * probe.spacing,
        allowed=allowed,
        tolerated=surely_more(tolerance.rtol * claim + tolerance.atol * length),
    )


def usual_step(rounding: float) -> float:
    """Return a step for a function that nothing is known of but the rounding of the dtype that it is computed in.

    It is in units of the inputs' scales.
    """
    return STEP if rounding <= spacing("float64") else WIDE_STEP


def line_at(probe: Probe, point: Point, gradients: Mapping[str, Array], scale: float | None = None) -> Directional:
    """Return claims about a point and what forward does there, for displacements of the inputs they are about.

    These are measured in a scale, or each in its input's own: that of the audited point, where it is one for all.
    """
    outputs = joined(probe.counted(point.outputs))

    def outputs_now() -> Array:
        with suppress(OpError):
            now = joined(probe.counted(probe.op.forward(point.inputs)))  # which may be views
            if now.shape == outputs.shape:
                return now
        return namespace(outputs).full_like(outputs, np.nan)

    claims = {name: widened(gradient) for name, gradient in gradients.items()}
    known = probe.point.scales
    scales = {
        name: scale or (own if isinstance(own := known[name], float) else scales_of(point.inputs[name], rms(outputs)))
        for name in gradients
    }
    return Directional(outputs_now, point.inputs, claims, joined(probe.upstream), outputs, scales)
