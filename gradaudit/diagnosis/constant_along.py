"""A gradient that is the same all along an axis, where the true one is not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from gradaudit.diagnosis.cause import Cause, Elsewhere, NothingToldError
from gradaudit.diagnosis.evidence import Array, Claim, Evidence
from gradaudit.diagnosis.score import EXPLAINS
from gradaudit.results import Finding

ROUNDING = 1e-6
"""Relative difference along the axis up to which a gradient is the same."""


@dataclass(frozen=True)
class ConstantAlong(Cause):
    """A gradient that does not change along an axis.

    Attributes:
        axis: the axis.

    """

    axis: int = 0

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause where the claim is the same along the axis there too, and forward at two places is not."""
        claim = there.claim
        if claim.analytical.shape[self.axis] == 1:
            raise NothingToldError
        if not _is_constant(claim.analytical, self.axis):
            return None
        one, other = _on_one_line(claim, self.axis)
        at = np.arange(len(claim.places))
        (first, off), (second, either) = (there.slope(at == place).factor(claim.claimed) for place in (one, other))
        return self if abs(first - second) > off + either else None


def constant_along(evidence: Evidence) -> Iterator[ConstantAlong]:
    """The analytical gradient is the same along one axis, the numerical one changes along it."""
    shape = evidence.analytical.shape
    long = [axis for axis, size in enumerate(shape) if size > 1]
    telling = evidence.wrong[evidence.telling]
    if len(long) < 2 or not telling.size or telling.mean() < EXPLAINS:
        return
    for axis in long:
        if _is_constant(evidence.analytical, axis) and _varies(evidence, axis):
            message = (
                f"analytical is constant along axis {axis}, numerical is not: backward sums or averages over axis "
                f"{axis} where it should not, or lacks a factor that changes along it"
            )
            finding = Finding("constant-along-axis", message, {"explained": 1.0, "axis": axis})
            yield ConstantAlong(finding, lambda claim: claim.claimed, axis)


def _is_constant(gradient: Array, axis: int) -> bool:
    """Whether a gradient does not change along an axis, and does along others: one number everywhere is no sign."""
    typical = float(np.sqrt(np.mean(np.square(np.abs(gradient)))))
    apart = np.abs(gradient - np.take(gradient, [0], axis=axis))
    whole = np.abs(gradient - gradient.reshape(-1)[0])
    return bool(apart.max() <= ROUNDING * typical < whole.max())


def _varies(evidence: Evidence, axis: int) -> bool:
    """Whether the numerical gradient is known to change along an axis on most lines that two places are known of."""
    lines: dict[tuple[int, ...], list[int]] = {}
    for k, place in enumerate(np.delete(evidence.places, axis, axis=1).tolist()):
        lines.setdefault(tuple(place), []).append(k)
    told = [np.array(line) for line in lines.values() if len(line) > 1]
    differ = [np.ptp(evidence.numerical[line].real) > 2 * evidence.slack[line].max() for line in told]
    return len(told) > 1 and float(np.mean(differ)) >= EXPLAINS


def _on_one_line(claim: Claim, axis: int) -> tuple[int, int]:
    """Return two places that differ along an axis only, where the gradient is large."""
    seen: dict[tuple[int, ...], int] = {}
    for k in np.argsort(-np.abs(claim.claimed), kind="stable"):
        line = tuple(np.delete(claim.places[k], axis).tolist())
        if line in seen:
            return seen[line], int(k)
        seen[line] = int(k)
    raise NothingToldError
