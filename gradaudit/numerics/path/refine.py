"""Whether a mismatch along a path stays as the path is refined where the mismatch is.

Between two nodes of a path forward may change in a place so short that no node shows its slope, as a sigmoid of 400 x
does. The claim's integral misses that, whatever is claimed. Bisection comes to such a place in a few steps, and a right
claim accounts for it then; a wrong one leaves as much as before (adaptive Simpson quadrature).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.margins import CONFIRMATIONS, MAX_LISTED
from gradaudit.numerics.path.claim import PathClaim
from gradaudit.numerics.path.displacement import drawn_for
from gradaudit.numerics.path.long_path import Calls
from gradaudit.numerics.path.nodes import NODES
from gradaudit.numerics.path.settings import SHARE

SPLITS = 2 * MAX_LISTED
"""Bisections of a path, each of two forwards and two backwards: a place of a 10,000th of its length takes 14."""


def closes(claim: PathClaim, name: str, places: NDArray[np.intp], rng: np.random.Generator) -> bool:
    """Whether the mismatch of some elements, moved alone, goes away as the path is refined, or may do so further on."""
    start = claim.values(claim.inputs)
    routes = [drawn_for(claim, {name: (places, None)}, SHARE, rng) for _ in range(CONFIRMATIONS if start else 0)]
    paths = [path for route in routes if start and (path := _Path.along(Calls(claim, route, start)))]
    if not paths:
        return False
    path = max(paths, key=lambda each: abs(each.mismatch))
    most = abs(path.mismatch) / 2
    for _ in range(SPLITS):
        if abs(path.mismatch) <= most or not path.split():
            break
    return abs(path.mismatch) <= max(most, path.doubt)


class _Node(NamedTuple):
    """A point of a path: the loss since its beginning, and its claimed slope."""

    time: float
    change: float
    slope: float


class _Panel(NamedTuple):
    """A part of a path between two nodes, with one in its middle."""

    first: _Node
    middle: _Node
    last: _Node

    @property
    def mismatch(self) -> float:
        """Forward's change less the claim's integral (Simpson's rule)."""
        slopes = self.first.slope + 4 * self.middle.slope + self.last.slope
        return self.last.change - self.first.change - (self.last.time - self.first.time) * slopes / 6

    @property
    def doubt(self) -> float:
        """By how much Simpson's rule and the trapezoidal rule differ: far more than the former is off by."""
        bend = self.first.slope - 2 * self.middle.slope + self.last.slope
        return abs(self.last.time - self.first.time) * abs(bend) / 12


@dataclass
class _Path:
    """A way cut into panels."""

    calls: Calls
    panels: list[_Panel]

    @classmethod
    def along(cls, calls: Calls) -> _Path | None:
        """Return a path in panels; None where forward or backward is not finite on the way."""
        nodes = [_Node(time, *calls.at(time)) for time in np.linspace(0.0, 1.0, NODES).tolist()]
        path = cls(calls, [_Panel(*nodes[k : k + 3]) for k in range(0, NODES - 1, 2)])
        return path if np.isfinite(nodes).all() else None

    @property
    def mismatch(self) -> float:
        """That of all panels."""
        return sum(panel.mismatch for panel in self.panels)

    @property
    def doubt(self) -> float:
        """What the quadrature may be off by."""
        return sum(panel.doubt for panel in self.panels)

    def split(self) -> bool:
        """Split the panel with the largest mismatch; return whether it could be."""
        worst = max(self.panels, key=lambda panel: abs(panel.mismatch))
        times = [(one.time + other.time) / 2 for one, other in pairwise(worst)]
        between = [_Node(time, *self.calls.at(time)) for time in times]
        if not np.isfinite(between).all():
            return False
        self.panels.remove(worst)
        self.panels += [_Panel(worst[k], node, worst[k + 1]) for k, node in enumerate(between)]
        return True
