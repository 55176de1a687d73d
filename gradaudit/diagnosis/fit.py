"""The one number that makes a term fit, as well as tolerance and bounds let it be known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradaudit.diagnosis.evidence import Array, Floats, Mask

INLIERS = 3.0
"""Slacks from the robust fit within which a place takes part in the final one."""


@dataclass(frozen=True)
class Fit:
    """A coefficient, what it may be off by, and the place that it is known from best."""

    value: complex
    uncertainty: float
    place: int

    def mask(self, size: int) -> Mask:
        """Return where the fit agrees by construction: at one place for one number."""
        return np.asarray(np.arange(size) == self.place)


def fit_coefficient(term: Array, target: Array, slack: Floats) -> Fit | None:
    """Return the c for which ``c * term`` is the target within the slack at most places, None where nothing tells.

    A weighted median finds it in spite of outliers, least squares over what agrees then sharpens it.

    Args:
        term: values at the places.
        target: what they should become.
        slack: how far from it they may end.

    """
    weight = np.where(np.isfinite(term) & np.isfinite(target), np.abs(term) / slack, 0.0)
    used = weight > 1.0  # a term within the slack says nothing about its coefficient
    if not used.any():
        return None
    ratio = target[used] / term[used]
    value: complex = _median(ratio.real, weight[used])
    if np.iscomplexobj(ratio):
        value = complex(value, _median(ratio.imag, weight[used]))
    near = used & (np.abs(target - value * term) <= INLIERS * slack)
    if near.any():
        weights = 1.0 / slack[near] ** 2
        fitted = (weights * np.conj(term[near]) * target[near]).sum() / (weights * np.abs(term[near]) ** 2).sum()
        value = complex(fitted) if np.iscomplexobj(ratio) else float(fitted.real)
    place = int(weight.argmax())
    return Fit(value, 1.0 / float(weight[place]), place)


def _median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
