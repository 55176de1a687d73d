"""Up to which step gradients are right: those of what comes to be on the way, held against differences of the loss.

Where a framework leaves gradients in tensors that are no leaves, each of them says what reverse mode has made of the
loss so far. The model is run with such a tensor displaced as it comes to be, and the loss must change as its gradient
says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.flow.graph import key_of
from gradaudit.flow.subject import FlowSubject
from gradaudit.numerics.magnitude import rms
from gradaudit.targets.op import OpError

Array = NDArray[Any]

STEP = 2.0**-14
"""Step of a central difference, in units of the tensor's values."""

AGREED = 2e-3
"""Relative error of a derivative along a direction up to which a gradient is taken to be right."""


def last_right(subject: FlowSubject, steps: Sequence[int]) -> int | None:
    """Return the last step up to whose output gradients are right, so that its own backward is wrong.

    It takes two runs for each of a logarithm of the steps.

    Args:
        subject: the model.
        steps: identities of steps, that nearest the loss first, behind one of which gradients are wrong.

    Returns:
        None where the framework leaves no gradients on the way, or all of them are wrong.

    """
    tape = subject.op.tape
    made_by = {key_of(tape, made.tensor): position for position, made in enumerate(subject.base.creations)}
    first, end = -1, len(steps)
    while end - first > 1:
        middle = (first + end) // 2
        right = _is_right(subject, made_by.get(steps[middle]))
        if right is None:
            return None
        first, end = (middle, end) if right else (first, middle)
    return steps[first] if first >= 0 else None


def _is_right(subject: FlowSubject, position: int | None) -> bool | None:
    """Whether the loss changes with a tensor as its gradient says; None where that cannot be told."""
    if position is None:
        return None
    value = subject.base.values[position]
    gradient = subject.op.tape.gradient(subject.base.creations[position].tensor)
    if value is None or gradient is None or gradient.shape != value.shape:
        return None
    rng = np.random.default_rng(position)
    along = rng.integers(0, 1, value.shape, endpoint=True) * 2.0 - 1.0
    step = STEP * (rms(value) or 1.0)
    try:
        up, down = (_loss(subject, position, sign * step * along) for sign in (1.0, -1.0))
    except OpError:
        return None
    claimed, scale = float((gradient * along).sum()), float(np.linalg.norm(gradient))
    return abs((up - down) / (2 * step) - claimed) <= AGREED * scale


def _loss(subject: FlowSubject, position: int, displacement: Array) -> float:
    with subject.op.tape.displaced(position, displacement):
        return float(subject.op.forward(subject.arrays)[0])
