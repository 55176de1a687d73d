"""A factor of its own for each slice along an axis, or for each combination of all axes but one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gradaudit.diagnosis.cause import Cause, Elsewhere, NothingToldError, Rule, known
from gradaudit.diagnosis.evidence import Array, Claim, Evidence, Mask
from gradaudit.diagnosis.score import EXPLAINS, explained, extent
from gradaudit.results import Finding

SHOWN = 8
"""Most factors that the message lists."""

ASKED = 2
"""Slices that are looked at elsewhere, where the factors are others."""

CHECKS = 1.0
"""Places that must speak for the factors beside those that they were fitted at, for each factor."""


@dataclass(frozen=True)
class AxisFit:
    """Factors for the groups of places that share their coordinates on some axes."""

    factors: Array
    predicted: Array
    fitted: Mask
    judged: Mask
    known: Mask

    def rule(self, evidence: Evidence, axes: tuple[int, ...]) -> Rule:
        """Return the same factors as a rule: NaN where there is none."""
        at = np.unique(evidence.places[:, list(axes)], axis=0)
        known = {
            tuple(row): factor for row, factor, told in zip(at.tolist(), self.factors, self.known, strict=True) if told
        }

        def times(claim: Claim) -> Array:
            rows = claim.places[:, list(axes)].tolist()
            return np.array([known.get(tuple(row), np.nan) for row in rows]) * claim.claimed

        return times


@dataclass(frozen=True)
class AxisFactor(Cause):
    """A factor that depends on the position along some axes.

    Attributes:
        axes: the axes.

    """

    axes: tuple[int, ...] = ()

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause where the same factors hold, or others that depend on the same axes only."""
        predicted = self.rule(there.claim) if there.same_shape and self.rule else None
        if predicted is not None and not there.slope(known(predicted)).off(predicted):
            return self
        if not self._depends_on_axes(there):
            return None
        said = "" if "another f" in self.finding.message else "; f differs for other inputs"
        return replace(self, finding=replace(self.finding, message=self.finding.message + said))

    def _depends_on_axes(self, there: Elsewhere) -> bool:
        """Whether the places of one slice have one factor, as two halves of each of a few slices tell."""
        claim = there.claim
        groups, told = _groups(claim, self.axes), 0
        sizes = np.bincount(groups, weights=np.abs(claim.claimed))
        for group in np.argsort(-sizes, kind="stable")[:ASKED]:
            chosen = np.flatnonzero((groups == group) & (claim.claimed != 0))
            if len(chosen) > 1:
                halves = [np.isin(np.arange(len(groups)), chosen[start::2]) for start in (0, 1)]
                (one, off), (other, either) = (there.slope(half).factor(claim.claimed) for half in halves)
                if abs(one - other) > off + either:
                    return False
                told += 1
        if not told:
            raise NothingToldError
        return True


def factor_per_axis(evidence: Evidence) -> Iterator[AxisFactor]:
    """Numerical = f x analytical, where f depends on one axis only, or on all but one, whatever it is."""
    shape = evidence.analytical.shape
    long = [axis for axis, size in enumerate(shape) if size > 1]
    if len(long) < 2:
        return
    choices = [(axis,) for axis in long] + [tuple(k for k in long if k != axis) for axis in long if len(long) > 2]
    for tried, axes in enumerate(choices, start=1):
        fit = _fitted(evidence, _groups(evidence, axes))
        if (evidence.wrong & fit.judged & ~fit.fitted).sum() < CHECKS * len(fit.factors):
            continue
        if (np.abs(fit.predicted) <= evidence.slack).all():
            return  # the true gradient is zero: no factor leads there
        predicted = np.where(fit.judged, fit.predicted, np.nan)  # a slice seen at one place only explains nothing
        share = explained(evidence, predicted, alternatives=tried, by_construction=fit.fitted)
        if share >= EXPLAINS:
            named = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
            message = f"numerical = f x analytical {extent(evidence, share)}, where f depends on {named} only"
            factors = [complex(f) if np.iscomplexobj(fit.factors) else float(f) for f in fit.factors[:SHOWN]]
            listed = ", ".join(f"{f:.4g}" for f in factors) + (", ..." if len(fit.factors) > SHOWN else "")
            numbers = {"explained": share, "axes": list(axes), "factors": factors}
            yield AxisFactor(
                Finding("factor-per-axis", f"{message}: {listed}", numbers), fit.rule(evidence, axes), axes
            )


def _groups(evidence: Claim, axes: tuple[int, ...]) -> NDArray[np.intp]:
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
    return AxisFit(factors, factors[groups] * claimed, fitted, others[groups] | right, others)
