"""Rolled along an axis, or along all elements in memory order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gradaudit.diagnosis.cause import Cause, Elsewhere
from gradaudit.diagnosis.evidence import Array, Claim, Evidence
from gradaudit.diagnosis.score import EXPLAINS, PROBED, explained, extent
from gradaudit.results import Finding

MOST_SHIFTS = 8
"""Shifts of one axis that are looked at in full: those that the probes speak for most."""


@dataclass(frozen=True)
class Rolled(Cause):
    """A roll by one of some numbers of steps that come to the same where the mismatch was seen.

    Attributes:
        axis: the axis; None for all elements in memory order.
        ways: the steps, the fewest first.
        where: at which indices.

    """

    axis: int | None = None
    ways: tuple[int, ...] = ()
    where: str = ""

    def held(self, there: Elsewhere) -> Cause | None:
        """Return the cause with the steps that are right there as well."""
        ways = tuple(by for by in self.ways if super(Rolled, self._by(by)).held(there) is not None)
        return replace(self, ways=ways).said() if ways else None

    def _by(self, steps: int) -> Rolled:
        return replace(self, rule=partial(_rolled, steps, self.axis))

    def said(self) -> Rolled:
        """Return the cause with a finding that says what is known by now."""
        along = "all elements in memory order" if self.axis is None else f"axis {self.axis}"
        steps = " or ".join(map(str, self.ways))
        message = f"numerical = analytical rolled by {steps} along {along}, {self.where}"
        numbers = {"explained": self.explained, "axis": self.axis, "shift": self.ways[0]}
        return replace(self._by(self.ways[0]), finding=Finding("shifted", message, numbers))


def shifted(evidence: Evidence) -> Iterator[Cause]:
    """Numerical = analytical rolled by some steps along an axis."""
    for axis, by in _candidates(evidence):
        size = evidence.analytical.size if axis is None else evidence.analytical.shape[axis]
        predicted = _rolled(by, axis, evidence)
        share = explained(evidence, predicted, alternatives=size * (evidence.analytical.ndim + 1))
        if share >= EXPLAINS:
            ways = tuple(sorted((by, by - size), key=abs))
            yield Rolled(Finding("shifted", "", {"explained": share}), None, axis, ways, extent(evidence, share)).said()


def _rolled(by: int, axis: int | None, claim: Claim) -> Array:
    return claim.at_places(np.roll(claim.analytical, by, axis))


def _candidates(evidence: Evidence) -> Iterator[tuple[int | None, int]]:
    shape = evidence.analytical.shape
    axes: list[int | None] = [axis for axis, size in enumerate(shape) if size > 1]
    for axis in [*axes, None] if len(axes) > 1 else axes:
        met = _votes(evidence, axis)
        order = np.argsort(-met, kind="stable")[:MOST_SHIFTS]
        yield from ((axis, int(by)) for by in order if by and met[by] >= PROBED * len(evidence.probes))


def _votes(evidence: Evidence, axis: int | None) -> NDArray[np.int64]:
    """Return for each shift along an axis how many probes it brings the right value to."""
    analytical, places = evidence.analytical, evidence.places
    if axis is None:
        rows = np.ravel_multi_index(tuple(places.T), analytical.shape)
        analytical, places, axis = analytical.reshape(-1), np.asarray(rows)[:, None], 0
    votes = np.zeros(analytical.shape[axis], np.int64)
    for probe in evidence.probes:
        row = tuple(int(k) for k in places[probe])
        line = np.moveaxis(analytical, axis, -1)[(*row[:axis], *row[axis + 1 :])]
        near = np.abs(line - evidence.numerical[probe]) <= evidence.slack[probe]
        votes += np.roll(near[::-1], row[axis] + 1)  # entry k: the value k steps before the probe
    return votes
