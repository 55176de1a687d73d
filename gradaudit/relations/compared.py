"""Gradients that a relation says are the same: where they differ by more than rounding makes them."""

from __future__ import annotations

import math
from collections.abc import Callable

from gradaudit.checks.agreement import Change, exceeding
from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.checks.probe import Probe
from gradaudit.numerics.arrays import Array, cast, dtype_name
from gradaudit.numerics.margins import CERTAIN
from gradaudit.spec.dtypes import is_floating, least_spacing


def claim(probe: Probe, name: str) -> Array:
    """Return what backward answered for an input when the case was opened, as ``Probe`` returns it."""
    made = probe.subject.gradients[name]
    assert made is not None
    return made if is_floating(dtype_name(made.dtype)) else cast(made, "float64")


def change(
    probe: Probe,
    name: str,
    was: Array,
    now: Array,
    measured: Callable[[], float] = float,
    *,
    exact: bool = False,
) -> Change:
    """Return where a gradient differs from another by more than it may.

    Args:
        probe: the op.
        name: the input.
        was: the one.
        now: the other, of the same shape and dtype if it is right.
        measured: how far backward's own rounding takes it; asked only where something differs.
        exact: whether both are computed from the same numbers, so that the order of summation is all that may differ.

    """
    seen = probe.gradient_change(name, was, now) if exact else probe.change_that_matters(name, was, now)
    if not seen or was.shape != now.shape or was.dtype != now.dtype:
        return seen
    dtype = dtype_name(was.dtype)
    around_zero = least_spacing(dtype) * max(CERTAIN, math.sqrt(probe.terms)) if is_floating(dtype) else 0.0
    return exceeding(widened(was), widened(now), max(seen.allowed, around_zero) + CERTAIN * measured())
