"""Differences of forward in single elements of an input, each moved by itself: of the rows of a table, or of one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.derivative import Difference, Floats, Mask, Rows
from gradaudit.numerics.margins import CONFIRMATIONS, HEADROOM, MIN_MOVE, SAFETY, WIDE_STEP
from gradaudit.numerics.survey import HIGHEST_STAIR, Stair

if TYPE_CHECKING:
    from gradaudit.numerics.loss import Loss

FAR = (1.0, 1.0 / WIDE_STEP)
"""How far, relative to the element or to one, it is moved to see which outputs depend on it."""

LEAST_STEP = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
"""Least step: closer to the end of the exponents' range, differences over a step lose digits."""

LARGEST_STEP = float(np.finfo(np.float64).max) / 2
"""No step is larger than this, whatever the element: twice as much has an end."""

STEP_ROUNDING = 1 / (2 * SAFETY)
"""Part of a step by which rounding of the element may change it: half a spacing of the narrowest step."""


class Axes:
    """The samplers of differences in some elements of the input, one a row, along their real or imaginary axes.

    Args:
        loss: the op as a function of the input.
        places: where the elements are, in C order: shape (n,).
        units: the axis of each, 1 or the imaginary unit: shape (n,).

    Attributes:
        outside: at which of them forward was not finite, or raised, beside the point.
        missing: for which of them calls did not last.

    """

    def __init__(self, loss: Loss, places: Rows, units: NDArray[np.complex128]) -> None:
        base, rows = loss.vicinity.base, len(places)
        self._loss = loss
        self._places = places
        self._dtype = base.dtype
        self._number = np.complex128 if base.dtype.kind == "c" else np.float64
        self._units: Any = units[:, None] if base.dtype.kind == "c" else 1.0
        self._centres = base.reshape(-1)[places].astype(self._number)[:, None]
        self._scales = np.asarray(loss.survey.scale).flat[places][:, None]
        self._widest = np.minimum(2 * self._scales, LARGEST_STEP)
        self._dependent = np.zeros((rows, loss.outputs.size), bool)
        self._noise, self._hidden = np.zeros((2, rows))
        self._samples = np.zeros(rows, int)
        self._gone_far, self.outside, self.missing = np.zeros((3, rows), bool)

    def __call__(self, rows: Rows, steps: Floats) -> Difference:
        """Return the slopes over steps up and steps down; NaN where rounding leaves too little of a step.

        Args:
            rows: which rows: shape (k,).
            steps: for each of them: shape (k, s).

        """
        loss, centres = self._loss, self._centres[rows]
        ends = np.stack([self._moved(rows, steps), self._moved(rows, -steps)], axis=-1)
        lengths = np.abs(ends - centres[..., None])
        uneven = abs(lengths - steps[..., None]) > STEP_ROUNDING * steps[..., None]
        taken = ~(uneven.all(axis=-1) | (steps > self._widest[rows]) | loss.blind)
        made = Difference(*np.full((3, *steps.shape), np.nan))
        for row, column, changes in self._changes(rows, taken, ends):
            here = row, column
            length, step = lengths[here], steps[here]
            rise = np.einsum("...k,k->...", changes, loss.upstream)
            slopes = np.where(uneven[here], np.nan, rise / length) * (1.0, -1.0)
            up, down = slopes.T
            size = abs(slopes)
            lost = ~np.isfinite(size.sum(axis=-1))  # beyond the edge of the domain on one side, or on both
            if lost.any():
                self.outside[rows[row[lost]]] = True
                size[~np.isfinite(size[:, 0]), 0] = 0.0
                size[lost & np.isfinite(slopes[:, 0]), 1] = 0.0
            above, below = length.T
            # By a rounding, the derivative at the point may not be the mean of the slopes.
            tilt = np.where(lost | (above == below), 0.0, (above - below) / (above + below) * (up - down) / 2)
            up, down = up - tilt, down - tilt
            rounding = self._rounding(rows[row], changes, abs(up + down) * step) / step
            more = self._hidden[rows[row]] + loss.survey.relative * size.sum(axis=-1) / 2
            made.up[here], made.down[here], made.rounding[here] = up, down, rounding + more
        return made

    def at(self, row: int, step: float) -> Difference | None:
        """Return the slopes of one row over a step up and a step down; None where rounding leaves too little of it."""
        made = Difference(*(float(part[0, 0]) for part in self(np.array([row]), np.array([[step]]))))
        if self.missing[row] and self.ended:
            raise self.ended
        return None if math.isnan(made.rounding) else made

    def _changes(self, rows: Rows, taken: Mask, ends: Any) -> Any:
        """Yield which differences are taken, one step of each row at a time, and how the outputs change up and down.

        They are evaluated row by row: where that comes to an end before its time, those that are whole are left.
        """
        row, column = taken.nonzero()
        made = self._loss.changes_at(np.repeat(self._places[rows[row]], 2), ends[taken].reshape(-1))
        whole = len(made) // 2
        made = made[: 2 * whole].reshape(whole, 2, self._loss.outputs.size)
        if whole < len(row):
            self.missing[rows[row[whole:]]] = True
        for each in range(taken.shape[1]):
            these = slice(each, whole, taken.shape[1]) if taken.all() else (column[:whole] == each).nonzero()[0]
            yield row[these], column[these], made[these]

    @property
    def ended(self) -> Exception | None:
        """What ended the differences before their time; None for nothing."""
        return self._loss.vicinity.ended

    def slopes(self, rows: Rows, steps: Floats) -> tuple[Floats, Floats]:
        """Return what each output adds to the slope of the loss over a step up and over a step down, by row."""
        ends = self._moved(rows, np.stack([steps, -steps], axis=-1))
        changes = self._both_ways(rows, ends) * self._loss.upstream / abs(ends - self._centres[rows])[..., None]
        return changes[:, 0], -changes[:, 1]

    def are_flat(self, rows: Rows, slopes: Floats) -> Mask:
        """Whether the outputs do not change at all where such slopes would show, were they rounded as declared."""
        visible = np.where(slopes != 0.0, HEADROOM * self._loss.declared_noise / abs(slopes), 0.0)
        reach = np.maximum(visible, MIN_MOVE * self._loss.grid * abs(self._centres[rows, 0]))
        flat = (visible > LEAST_STEP) & (visible <= reach) & (reach <= self._widest[rows, 0])
        if flat.any():
            ends = self._moved(rows[flat], np.stack([reach[flat], -reach[flat]], axis=-1))
            flat[flat] = (self._both_ways(rows[flat], ends) == 0.0).all(axis=(1, 2))
        return np.asarray(flat)

    def close_steps(self, rows: Rows, changes: Floats) -> Floats:
        """Return the powers of two nearest to some displacements, none too small for its element."""
        nearest = np.exp2(np.round(np.log2(np.where(changes > 0.0, changes, 1.0))))
        return np.asarray(np.maximum(nearest, MIN_MOVE * self._loss.grid * abs(self._centres[rows, 0])))

    def stair(self, row: int, slope: float) -> Stair | None:
        """Return the stair that the outputs climb beside the point, None where they change as with such a slope.

        A function that is constant so close to the point and changes further on rounds to a coarser dtype inside: with
        what it was taken for, its slope between two stairs would be zero beyond doubt.
        """
        magnitude, rows = float(abs(self._centres[row, 0])), np.array([row])
        visible = HEADROOM * self._loss.noise / slope if slope else 0.0
        nearest = reach = max(visible, HEADROOM * self._loss.grid * magnitude)
        while LEAST_STEP < reach <= self._widest[row, 0]:
            for heights in abs(self._both_ways(rows, self._moved(rows, np.array([[reach, -reach]])))[0]):
                if heights.any():
                    size = float(np.linalg.norm(self._loss.outputs[heights != 0.0]))
                    height = float(np.linalg.norm(heights))
                    place = reach / magnitude if magnitude else math.inf
                    relative = min(place, height / size if size else math.inf)
                    return Stair(heights, relative) if reach > nearest and relative <= HIGHEST_STAIR else None
            reach *= 2
        return None

    def _rounding(self, rows: Rows, changes: Floats, change: Floats) -> Floats:
        """Return what the rounding of the outputs that depend on each element may add up to."""
        loss = self._loss
        self._samples[rows] += 1
        self._mark_dependent(rows, (changes[:, 0] != 0.0) | (changes[:, 1] != 0.0))
        seen = change > HEADROOM * loss.noise  # elsewhere outputs may have been rounded back to where they were
        early = ~seen & (self._samples[rows] <= CONFIRMATIONS)
        far = ~(seen | early)
        if (new := rows[far & ~self._gone_far[rows]]).size:
            self._go_far(new)
        made = np.where(early, loss.noise, self._noise[rows])
        unseen = far & ~self._dependent[rows].any(axis=1)
        return np.where(unseen, loss.noise_of(~loss.survey.moved), made) if unseen.any() else made

    def _mark_dependent(self, rows: Rows, changed: Mask) -> None:
        """Take outputs that change for dependent on the elements."""
        known = self._dependent[rows]
        changed |= known
        if (new := (changed != known).any(axis=1)).any():
            self._dependent[rows[new]] = changed[new]
            self._noise[rows[new]] = self._loss.noise_of(changed[new])

    def _go_far(self, rows: Rows) -> None:
        """Take notice of outputs that change when elements move by their own magnitude, or by much more.

        Those that do not may still hide a slope whose changes were rounded away.
        """
        self._gone_far[rows] = True
        magnitudes = np.maximum(self._scales[rows], abs(self._centres[rows]))
        for far in FAR:
            changes = self._both_ways(rows, self._moved(rows, far * magnitudes * (1.0, -1.0)))
            self._mark_dependent(rows, (changes != 0.0).any(axis=1))
        self._hidden[rows] = self._loss.noise_of(~self._dependent[rows]) / (FAR[-1] * magnitudes[:, 0])

    def _moved(self, rows: Rows, displacements: Floats) -> Any:
        """Return where elements really lie after displacements, of shape (rows, any number)."""
        units = self._units if isinstance(self._units, float) else self._units[rows]
        return (self._centres[rows] + displacements * units).astype(self._dtype).astype(self._number)

    def _both_ways(self, rows: Rows, ends: Any) -> Floats:
        """Return how the outputs change where elements are moved to their two ends: shape (rows, 2, outputs)."""
        made = self._loss.changes_at(np.repeat(self._places[rows], 2), ends.reshape(-1), whole=True)
        return made.reshape(len(rows), 2, self._loss.outputs.size)
