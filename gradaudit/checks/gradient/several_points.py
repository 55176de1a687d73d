"""Forward at several points in one call: as an op promises, or tried along a leading axis and never assumed."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from gradaudit.checks.gradient.evaluation_point import EvaluationPoint, kinds_of
from gradaudit.checks.subject import Snapshot
from gradaudit.numerics.arrays import Array, as_reals, lifted
from gradaudit.numerics.vicinity import Together
from gradaudit.targets.calls import LimitReachedError
from gradaudit.targets.op import OpOfMany


def together(point: EvaluationPoint, name: str) -> Together | None:
    """Return what evaluates forward for several contents of an input at once; None where the op takes one point."""
    op = point.subject.op
    if isinstance(op, OpOfMany):
        return Together(partial(_as_promised, point, op, name), promised=True)
    return Together(partial(_stacked, point, name), promised=False) if getattr(op, "stackable", False) else None


def _as_promised(point: EvaluationPoint, op: OpOfMany, name: str, points: Array) -> list[Array]:
    return [lifted((point.flat(outputs),)) for outputs in op.forward_many(point.inputs, name, points)]


def _stacked(point: EvaluationPoint, name: str, points: Array) -> Array:
    """Return forward's outputs for contents of an input, one a row; no row where they cannot be had like this."""
    op: Any = point.subject.op
    before = Snapshot.of({other: x for other, x in point.inputs.items() if other != name})
    outputs = op.forward_stacked(point.inputs, name, points)
    changed = before.changed()
    before.restore(changed)
    counted = [outputs[k] if k < len(outputs) else None for k in point.subject.counted]
    stacked = [kind and (kind[0], (len(points), *kind[1])) for kind in point.kinds]
    if changed or None in stacked or kinds_of(counted) != stacked:
        return points[:0]
    return np.concatenate([as_reals(out).reshape(len(points), -1) for out in counted], axis=1)


def answers_as_before(point: EvaluationPoint) -> bool:
    """Whether forward still gives what it did at the point, as far as calls last."""
    try:
        return bool(np.array_equal(point.evaluate(), point.outputs, equal_nan=True))
    except LimitReachedError:
        return True
