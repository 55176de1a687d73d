"""Forward along a long path beside the integral of the gradient: the picture behind a path test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.checks.gradient.path_claim import path_claim
from gradaudit.numerics.arrays import has_complex_dtype
from gradaudit.numerics.path.displacement import Room, Route
from gradaudit.numerics.path.nodes import INTEGRALS, TIMES
from gradaudit.numerics.path.settings import SHARE
from gradaudit.results import Result
from gradaudit.spec.draw import generator

OF_PATHS = frozenset({"approximate-forward", "straight-through"})
"""Findings that come from following forward along paths."""


@dataclass(frozen=True)
class PathCurve:
    """The loss along one path from the point.

    Attributes:
        input: what moves.
        elements: how many of its elements move: the wrong ones that are listed, else all.
        dtype: what forward is called in.
        times: from 0, the point, to 1.
        changes: of ``<upstream, forward>`` since the point, one for each time.
        integrals: of the analytical gradient along the path up to each time.

    """

    input: str
    elements: int
    dtype: str
    times: tuple[float, ...]
    changes: tuple[float, ...]
    integrals: tuple[float, ...]


def follow_path(point: EvaluationPoint, result: Result) -> PathCurve | None:
    """Return forward and gradient along a path that the gradient's signs direct.

    None where the audit follows no paths (forward computes in float64, inputs are complex), where nothing moves, and
    where forward or backward is not finite on the way.

    Args:
        point: where the path begins; arrays of NumPy.
        result: of the gradient; the indices that it lists are moved alone.

    """
    name = result.input
    followed = not point.generic or any(finding.code in OF_PATHS for finding in result.findings)
    if not followed or has_complex_dtype(point.inputs[name]):
        return None
    claim = path_claim(point, (name,))
    start = claim.values(dict(claim.inputs))
    gradient = start and claim.gradients(dict(claim.inputs), start)
    if not start or not gradient:
        return None
    rng = generator(point.subject.case, "drawn path")
    signs = np.where(np.asarray(gradient[name]) < 0.0, -1.0, 1.0) * _moving(result, point.inputs[name].shape)
    route = Route(claim.inputs, {name: Room.of(point.inputs[name], claim.domains[name], SHARE).draw(rng, signs)})
    changes, rates = [], []
    for time in TIMES:
        here = route.at(float(time))
        values = claim.values(here)
        gradients = values and claim.gradients(here, values)
        if not values or not gradients:
            return None
        slope = np.asarray(gradients[name])
        changes.append(claim.change(values, start) - float(slope @ route.beside(here, float(time))[name]))
        rates.append(float(slope @ route.moved[name]))
    if not any(changes) and not any(rates):
        return None
    integrals = INTEGRALS @ np.array(rates)
    integrals -= integrals[0]
    moved = int(np.count_nonzero(route.moved[name]))
    return PathCurve(name, moved, point.dtype, tuple(map(float, TIMES)), tuple(changes), tuple(map(float, integrals)))


def _moving(result: Result, shape: tuple[int, ...]) -> np.ndarray:
    """Return 1 for each element that moves and 0 for the others, as a vector."""
    if not result.mismatches:
        return np.ones(int(np.prod(shape)))
    moving = np.zeros(shape)
    for mismatch in result.mismatches:
        moving[mismatch.index] = 1.0
    return moving.reshape(-1)
