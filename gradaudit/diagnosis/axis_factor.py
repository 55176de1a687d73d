"""A factor of its own for each slice along an axis, or for each combination of all axes but one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradaudit.diagnosis.evidence import Array, Evidence, Mask
from gradaudit.diagnosis.score import EXPLAINS, explained, extent
from gradaudit.results import Finding

SHOWN = 8
"""Most factors that the message lists."""

CHECKS = 1.0
"""Places that must speak for the factors beside those that they were fitted at, for each factor."""


@dataclass(frozen=True)
class AxisFit:
    """Factors for the groups of places that share their coordinates on some axes."""

    factors: Array
    predicted: Array
    fitted: Mask
    judged: Mask


def factor_per_axis(evidence: Evidence) -> Finding | None:
    """Numerical = f x analytical, where f depends on one axis only, or on all but one, whatever it is."""
    shape = evidence.analytical.shape
    long = [axis for axis, size in enumerate(shape) if size > 1]
    if len(long) < 2:
        return None
    choices = [(axis,) for axis in long] + [tuple(k for k in long if k != axis) for axis in long if len(long) > 2]
    for tried, axes in enumerate(choices, start=1):
        fit = _fitted(evidence, _groups(evidence, axes))
        if (evidence.wrong & fit.judged & ~fit.fitted).sum() < CHECKS * len(fit.factors):
            continue
        if (np.abs(fit.predicted) <= evidence.slack).all():
            return None  # the true gradient is zero: no factor leads there
        predicted = np.where(fit.judged, fit.predicted, np.nan)  # a slice seen at one place only explains nothing
        share = explained(evidence, predicted, alternatives=tried, by_construction=fit.fitted)
        if share >= EXPLAINS:
            named = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
            message = f"numerical = f x analytical {extent(evidence, share)}, where f depends on {named} only"
            factors = [complex(f) if np.iscomplexobj(fit.factors) else float(f) for f in fit.factors[:SHOWN]]
            listed = ", ".join(f"{f:.4g}" for f in factors) + (", ..." if len(fit.factors) > SHOWN else "")
            return Finding(
                "factor-per-axis",
                f"{message}: {listed}",
                {"explained": share, "axes": list(axes), "factors": factors},
            )
    return None


def _groups(evidence: Evidence, axes: tuple[int, ...]) -> NDArray[np.intp]:
    """Return for each place the number of its group, counted from 0."""
    _, groups = np.unique(evidence.places[:, list(axes)], axis=0, return_inverse=True)
    return np.asarray(groups, np.intp).reshape(-1)


def _fitted(evidence: Evidence, groups: NDArray[np.intp]) -> AxisFit:
    """Fit each group at the place that tells most, and judge it by the places whose gradient is another one."""
    claimed, numerical, slack = evidence.claimed, evidence.numerical, evidence.slack
    count = int(groups.max()) + 1
    order = np.argsort(np.abs(claimed) / slack, kind="stable")
    best = np.zeros(count, np.intp)
    best[groups[order]] = order  # the last one written is the largest
    with np.errstate(all="ignore"):
        factors = np.nan_to_num(numerical[best] / claimed[best])
    # The same gradient again, as broadcasting gives it, follows any factor and is no evidence for one.
    fitted = np.abs(claimed - claimed[best][groups]) <= 2 * slack
    others = np.bincount(groups[~fitted], minlength=count) > 0
    right = evidence.right | ~evidence.telling
    return AxisFit(factors, factors[groups] * claimed, fitted, others[groups] | right)
