"""Whether a mismatch along a path stays as the path is refined where the mismatch is.

Between two nodes of a path forward may change in a place so short that no node shows its slope, as a sigmoid of 400 x
does. The claim's integral misses that, whatever is claimed. Bisection comes to such a place in a few steps, and a right
claim accounts for it then; a wrong one leaves as much as before (adaptive Simpson quadrature).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.arrays import as_reals, count, like, on_host
from gradaudit.numerics.margins import CONFIRMATIONS, MAX_LISTED
from gradaudit.numerics.path.claim import Claim
from gradaudit.numerics.path.displacement import Room, Route
from gradaudit.numerics.path.nodes import NODES

SPLITS = 2 * MAX_LISTED
"""Bisections of a path, each of two forwards and two backwards: a place of a 10,000th of its length takes 14."""


@dataclass(frozen=True)
class _Node:
    """A point of a path: the loss since its beginning, and its claimed slope."""

    time: float
    change: float
    slope: float


@dataclass(frozen=True)
class _Panel:
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


def closes(claim: Claim, name: str, places: NDArray[np.intp], share: float, rng: np.random.Generator) -> bool:
    """Whether the mismatch of some elements, moved alone, goes away as the path is refined, or may do so further on.

    Args:
        claim: forward and backward.
        name: of the input.
        places: positions of the elements in it.
        share: length of the longest displacement, as a part of the domain's width.
        rng: random stream for the paths.

    """
    drawn = [_Path.drawn(claim, name, places, share, rng) for _ in range(CONFIRMATIONS)]
    paths = [path for path in drawn if path is not None]
    if not paths:
        return False
    path = max(paths, key=lambda each: abs(each.mismatch))
    most = abs(path.mismatch) / 2
    for _ in range(SPLITS):
        if abs(path.mismatch) <= most or not path.split():
            break
    return abs(path.mismatch) <= max(most, path.doubt)


class _Path:
    """A path cut into panels."""

    def __init__(self, claim: Claim, route: Route, name: str) -> None:
        self._claim = claim
        self._route = route
        self._moved = route.moved[name]
        self._name = name
        self._start = claim.values(claim.inputs)
        self._panels: list[_Panel] = []

    @classmethod
    def drawn(
        cls, claim: Claim, name: str, places: NDArray[np.intp], share: float, rng: np.random.Generator
    ) -> _Path | None:
        """Return a path along which some elements of an input move at random; None where forward ends on the way."""
        room = Room.of(claim.inputs[name], claim.domains[name], share)
        base = as_reals(claim.inputs[name])
        signs = np.zeros(count(base))
        signs[places] = rng.choice((-1.0, 1.0), len(places))
        path = cls(claim, Route(claim.inputs, {name: room.draw(rng, like(signs, base))}), name)
        nodes = [path._node(k / (NODES - 1)) for k in range(NODES)]
        known = [node for node in nodes if node is not None]
        if len(known) < len(nodes):
            return None
        path._panels = [_Panel(*known[k : k + 3]) for k in range(0, NODES - 1, 2)]
        return path

    @property
    def mismatch(self) -> float:
        """That of all panels."""
        return sum(panel.mismatch for panel in self._panels)

    @property
    def doubt(self) -> float:
        """What the quadrature may be off by."""
        return sum(panel.doubt for panel in self._panels)

    def split(self) -> bool:
        """Split the panel with the largest mismatch; return whether it could be."""
        worst = max(self._panels, key=lambda panel: abs(panel.mismatch))
        ends = worst.first, worst.middle, worst.last
        between = [self._node((one.time + other.time) / 2) for one, other in pairwise(ends)]
        if between[0] is None or between[1] is None:
            return False
        self._panels.remove(worst)
        self._panels += [_Panel(ends[k], node, ends[k + 1]) for k, node in enumerate(between) if node is not None]
        return True

    def _node(self, time: float) -> _Node | None:
        inputs = self._route.at(time)
        values = self._claim.values(inputs)
        gradients = self._claim.gradients(inputs, values) if values is not None else None
        if values is None or gradients is None or self._start is None:
            return None
        slope = float(on_host(gradients[self._name] @ self._moved))
        return _Node(time, self._claim.change(values, self._start), slope)
