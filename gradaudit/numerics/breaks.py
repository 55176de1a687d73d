"""Jumps and kinks of a function at the very point, so that a survey of its noise can leave them out of account."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.margins import SIGNIFICANT, SMALL_SAMPLE, SPREAD

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Breaks:
    """What is not smooth at a point, along one line through it, as arrays of the outputs' shape.

    Attributes:
        up: how far the outputs jump as the displacement becomes positive.
        down: how far they jump as it becomes negative.
        kink: half of what their slopes differ by, for each unit of the displacement.
        turn: a quarter of what their second derivatives differ by, for each square unit.

    """

    up: Floats
    down: Floats
    kink: Floats
    turn: Floats

    def along(self, displacements: Floats) -> Floats:
        """Return what the breaks contribute to the change of the outputs, of shape (displacements, outputs)."""
        at = displacements[:, None]
        jumped: Floats = (at > 0.0) * self.up + (at < 0.0) * self.down
        return jumped + np.abs(at) * (self.kink + at * self.turn)

    def only(self, outputs: NDArray[np.bool_]) -> Breaks:
        """Return the breaks of the marked outputs."""
        return Breaks(*(np.where(outputs, part, 0.0) for part in (self.up, self.down, self.kink, self.turn)))

    def jumps(self) -> Breaks:
        """Return the jumps alone, which are the same along a line of any other scale."""
        none = np.zeros_like(self.kink)
        return Breaks(self.up, self.down, none, none)


def find_breaks(
    change: Callable[[Floats], Floats], tiny: Floats, line: Floats, step: float, rounding: Floats
) -> Breaks:
    """Find what looks like a jump or a kink in each output.

    Args:
        change: that of the outputs, for given displacements of the elements.
        tiny: displacement of each element by about the spacing of its dtype.
        line: displacement of each element that counts as one.
        step: displacement along it at which a kink shows, and the curvature of a smooth function does not.
        rounding: what each output may be off by.

    """
    up, down = (_jump([change(side * 2 * k * tiny) for k in range(1, 1 + SMALL_SAMPLE)], rounding) for side in (1, -1))

    def sides(at: float) -> tuple[Floats, Floats]:
        return change(at * line) - up, change(-at * line) - down

    (above, below), (far_above, far_below) = sides(step), sides(2 * step)
    near, far = (above + below) / 2, (far_above + far_below) / 2
    kinked = (np.abs(far - 2 * near) < SPREAD * np.abs(far)) & (np.abs(near) > SIGNIFICANT * rounding)
    turn = (far_above - far_below - 2 * (above - below)) / (4 * step**2)
    return Breaks(up, down, kink=np.where(kinked, (4 * near - far) / (2 * step), 0.0), turn=np.where(kinked, turn, 0.0))


def _jump(changes: list[Floats], rounding: Floats) -> Floats:
    jump: Floats = np.mean(changes, axis=0)
    steady = np.abs(changes - jump).max(axis=0) < SPREAD * np.abs(jump)
    return np.where(steady & (np.abs(jump) > SIGNIFICANT * rounding), jump, 0.0)
