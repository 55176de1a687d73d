"""The op as a scalar function of one input: ``phi(x) = <u, f(x)>``, evaluated in pairs around a point."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.derivative import Difference
from gradaudit.numerics.magnitude import power_of_two
from gradaudit.numerics.margins import CONFIRMATIONS, HEADROOM, MIN_MOVE, NEAR, SAFETY, SIGNIFICANT, WIDE_STEP
from gradaudit.numerics.survey import HIGHEST_STAIR, Stair, Survey, Surveyor
from gradaudit.numerics.vicinity import Floats, Index, Together, Vicinity

Array = NDArray[Any]

FAR = (1.0, 1.0 / WIDE_STEP)
"""How far, relative to the element or to one, it is moved to see which outputs depend on it."""

_FLOAT64 = np.finfo(np.float64)

LEAST_STEP = float(_FLOAT64.tiny / _FLOAT64.eps)
"""Least step: closer to the end of the exponents' range, differences over a step lose digits."""

LARGEST_STEP = float(_FLOAT64.max) / 2
"""No step is larger than this, whatever the element: twice as much has an end."""


STEP_ROUNDING = 1 / (2 * SAFETY)
"""Part of a step by which rounding of the element may change it: half a spacing of the narrowest step."""


class Loss:
    """The scalar ``<u, f(x)>`` around one point, by differences of outputs and never of losses.

    It is evaluated beside the point too, where the domain of forward may end: silence NumPy's warnings around it.

    Args:
        forward: returns the outputs for the present contents of ``x``, as ``lifted`` does; an array of its own, that
            may be changed.
        x: the input to perturb, of any shape and layout; changed in place and restored bit by bit.
        upstream: as ``lifted`` returns it.
        outputs: ``forward()`` at the unperturbed point.
        spacing: distance from 1 to the next number of the dtype that forward computes in.
        together: the same as ``forward`` for several contents of ``x``; None where it takes one point at a time.

    Attributes:
        vicinity: forward around the point.
        blind: whether measuring found nothing but noise at any scale, so that no difference means anything.

    """

    def __init__(
        self,
        forward: Callable[[], Floats],
        x: Array,
        upstream: Floats,
        outputs: Floats,
        spacing: float,
        together: Together | None = None,
    ) -> None:
        self.vicinity = Vicinity(forward, x, outputs.size, together)
        self._base = self.vicinity.base
        self._upstream = upstream
        self._outputs = outputs
        sizes = np.abs(self._base).astype(np.float64)
        grid = float(ml_dtypes.finfo(x.dtype).eps)  # type: ignore[no-untyped-call]
        self._surveyor = Surveyor(self._displaced, sizes, outputs, spacing, grid)
        self.assume_noise()

    def measure_noise(self, rng: np.random.Generator, index: Index | None = None) -> None:
        """Find out how noisy each output really is, and at what scale, from values along a line.

        The line is a random one, or runs along the element at an index.

        An output near zero that is the difference of large numbers shows here, and so does a function that returns
        float64 and computes in float32 inside, or one whose scale is far below its argument's magnitude.
        """
        if index is None:
            self._use(self._surveyor.survey(rng))
            return
        axis = self._surveyor.of_element(index, partial(self._displaced_at, index))
        if found := axis.survey(rng):
            reach, scale = (np.broadcast_to(each, self.shape) for each in (found.reach, found.scale))
            found = replace(found, reach=reach, scale=scale)
        self._use(found)

    def assume_noise(self) -> None:
        """Take it again that the outputs are rounded to what forward computes in, and no more."""
        self._use(self._surveyor.assumed())

    def _use(self, survey: Survey | None) -> None:
        self.blind = survey is None
        if survey is None:
            return
        self._survey = survey
        weights = np.abs(self._upstream) * survey.noise
        self._unit = float(weights.max(initial=0.0)) or 1.0
        self._weights_squared = (weights / self._unit) ** 2
        self._noise = self.noise_of(np.ones(weights.shape, dtype=bool))

    @contextmanager
    def climbing(self, stair: Stair) -> Iterator[None]:
        """Take the outputs for rounded as coarsely as a stair is high, as long as the context lasts."""
        before, blind = self._survey, self.blind
        self._use(self._surveyor.rounded(stair))
        try:
            yield
        finally:
            self._use(before)
            self.blind = blind

    def noise_of(self, outputs: NDArray[np.bool_]) -> float:
        """Return what the rounding of the marked outputs may add up to in the loss."""
        return self._unit * math.sqrt(float(self._weights_squared @ outputs))

    @property
    def declared_noise(self) -> float:
        """What the rounding of outputs to the input's dtype may add up to in the loss."""
        return self._surveyor.grid * float(np.linalg.norm(self._upstream * self._outputs))

    def step_at(self, index: Index) -> float:
        """Return the power of two to start from at an index."""
        return max(power_of_two(self._survey.reach[index]), LEAST_STEP)

    def along_element(self, index: Index, unit: complex = 1.0) -> Axis:
        """Return the sampler of differences in one element, along its real or imaginary axis."""
        return Axis(self, index, unit)

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the input."""
        return self._base.shape

    def equals(self, index: Index) -> NDArray[np.bool_]:
        """Return where the input holds what it holds at an index."""
        return np.asarray(self._base == self._base[index])

    def gap_beside(self, index: Index) -> float:
        """Return the distance of the element at an index to the nearest that does not equal it."""
        return float(np.abs(self._base - self._base[index]).min(where=~self.equals(index), initial=math.inf))

    def is_tied(self, index: Index) -> bool:
        """Whether the element at an index equals at least two others: of two, each has the derivatives to its sides."""
        return int(np.count_nonzero(self.equals(index))) > 2

    def slope_beside(self, displacement: Floats, index: Index, unit: complex, step: float) -> tuple[float, float]:
        """Return the central difference in one element, where the input is displaced, and what rounding does to it.

        NaN where rounding leaves too little of the step.
        """
        moved = np.zeros(self.shape, dtype=np.result_type(displacement, np.asarray(unit)))
        moved[index] = step * unit
        ends = [(self._base + displacement + side * moved).astype(self._base.dtype)[index] for side in (1.0, -1.0)]
        distance = abs(complex(ends[0]) - complex(ends[1]))
        if abs(distance - 2 * step) > STEP_ROUNDING * step:
            return math.nan, math.inf
        change, below = self._displaced(displacement + moved, displacement - moved)
        change -= below
        slope = float(self._upstream @ change) / distance
        return slope, 2 * self.noise_of(change != 0.0) / distance + self._survey.relative * abs(slope)

    def _displaced(self, *displacements: Floats) -> list[Floats]:
        return self.vicinity.outputs_at(*(((), self._base + displacement) for displacement in displacements))

    def _displaced_at(self, index: Index, *displacements: Floats) -> list[Floats]:
        return self.vicinity.outputs_at(*((index, self._base[index] + displacement) for displacement in displacements))


class Axis:
    """The sampler of differences in one element of the input, moved along its real or imaginary axis.

    Attributes:
        outside: whether forward was not finite, or raised, beside the point.

    """

    def __init__(self, loss: Loss, index: Index, unit: complex) -> None:
        self._loss = loss
        self._index = index
        self._cast = loss._base.dtype.type
        self._number: type[float | complex] = complex if loss._base.dtype.kind == "c" else float
        self._unit = unit if self._number is complex else unit.real
        self._centre = self._number(loss._base[index])
        self._widest = min(2 * float(loss._survey.scale[index]), LARGEST_STEP)
        self._dependent = np.zeros(loss._outputs.shape, dtype=bool)
        self._known = 0
        self._noise_of_dependent = 0.0
        self._samples = 0
        self._gone_far = False
        self._hidden = 0.0
        self.outside = False

    def __call__(self, step: float) -> Difference | None:
        """Return the slopes over a step up and a step down; None where rounding leaves too little of the step."""
        loss = self._loss
        if loss.blind or step > self._widest:
            return None
        higher, lower = self._moved(step), self._moved(-step)
        above, below = abs(higher - self._centre), abs(self._centre - lower)
        uneven = STEP_ROUNDING * step
        if abs(above - step) > uneven < abs(below - step):
            return None
        plus, minus = self._outputs_at(higher, lower)
        plus -= loss._outputs
        minus -= loss._outputs
        up = float(loss._upstream @ plus) / above if abs(above - step) <= uneven else math.nan
        down = -float(loss._upstream @ minus) / below if abs(below - step) <= uneven else math.nan
        slopes = abs(up) + abs(down)
        if not math.isfinite(slopes):  # beyond the edge of the domain on one side, or on both
            self.outside = True
            slopes = abs(up) if math.isfinite(up) else abs(down)
        elif above != below:  # by a rounding: the derivative at the point is not the mean of the slopes
            tilt = (above - below) / (above + below) * (up - down) / 2
            up, down = up - tilt, down - tilt
        rounding = self._rounding(plus, minus, abs(up + down) * step) / step
        return Difference(up, down, rounding + self._hidden + loss._survey.relative * slopes / 2)

    def slopes(self, step: float) -> tuple[Floats, Floats]:
        """Return what each output adds to the slope of the loss over a step up and over a step down."""
        ends = (self._moved(step), self._moved(-step))
        weights, outputs = self._loss._upstream, self._loss._outputs
        up, down = (
            (moved - outputs) * weights / abs(end - self._centre)
            for moved, end in zip(self._outputs_at(*ends), ends, strict=True)
        )
        return up, -down

    def is_flat(self, slope: float) -> bool:
        """Whether the outputs do not change at all where such a slope would show, were they rounded as declared."""
        visible = HEADROOM * self._loss.declared_noise / abs(slope) if slope else 0.0
        reach = max(visible, MIN_MOVE * self._loss._surveyor.grid * abs(self._centre))
        if not LEAST_STEP < visible <= reach <= self._widest:
            return False
        return all(
            (made == self._loss._outputs).all() for made in self._outputs_at(self._moved(reach), self._moved(-reach))
        )

    def may_be_as_steep(self, claimed: float, slope: float, step: float) -> bool:
        """Whether a function whose slope seems to be far less than claimed may have waves that are as steep.

        One that oscillates has any slope, and none that is meant, at steps that are wider than its waves. So close to
        the point that they would show, its outputs change by more than the slopes at that step explain.
        """
        if not SIGNIFICANT * abs(slope) < abs(claimed) < math.inf:
            return False
        wide = self(step)
        if wide is None or abs(claimed) <= SIGNIFICANT * max(abs(wide.up), abs(wide.down)):
            return False
        loss = self._loss
        change = NEAR * loss.declared_noise / loss._surveyor.grid
        close = max(power_of_two(change / abs(claimed)), MIN_MOVE * loss._surveyor.grid * abs(self._centre))
        near = self(close) if close < step else None
        return near is not None and abs(near.central - wide.central) * close > change / SIGNIFICANT

    def stair(self, slope: float) -> Stair | None:
        """Return the stair that the outputs climb beside the point, None where they change as with such a slope.

        A function that is constant so close to the point and changes further on rounds to a coarser dtype inside: with
        what it was taken for, its slope between two stairs would be zero beyond doubt.
        """
        magnitude = abs(self._centre)
        visible = HEADROOM * self._loss._noise / slope if slope else 0.0
        nearest = reach = max(visible, HEADROOM * self._loss._surveyor.grid * magnitude)
        while LEAST_STEP < reach <= self._widest:
            for outputs in self._outputs_at(self._moved(reach), self._moved(-reach)):
                heights = np.abs(outputs - self._loss._outputs)
                if heights.any():
                    size = float(np.linalg.norm(self._loss._outputs[heights != 0.0]))
                    height = float(np.linalg.norm(heights))
                    place = reach / magnitude if magnitude else math.inf
                    relative = min(place, height / size if size else math.inf)
                    return Stair(heights, relative) if reach > nearest and relative <= HIGHEST_STAIR else None
            reach *= 2
        return None

    def _rounding(self, plus: Floats, minus: Floats, change: float) -> float:
        """Return what the rounding of the outputs that depend on the element may add up to."""
        self._samples += 1
        self._mark_dependent(plus, minus)
        if change > HEADROOM * self._loss._noise:  # elsewhere outputs may have been rounded back to where they were
            return self._noise_of_dependent
        if self._samples <= CONFIRMATIONS:
            return self._loss._noise
        if not self._gone_far:
            self._go_far()
        return self._noise_of_dependent if self._dependent.any() else self._loss.noise_of(~self._loss._survey.moved)

    def _mark_dependent(self, *changes: Array) -> None:
        """Take outputs that change for dependent on the element."""
        for change in changes:
            np.logical_or(self._dependent, change, out=self._dependent)
        if (known := int(np.count_nonzero(self._dependent))) != self._known:
            self._known = known
            self._noise_of_dependent = self._loss.noise_of(self._dependent)

    def _go_far(self) -> None:
        """Take notice of outputs that change when the element moves by its own magnitude, or by much more.

        Those that do not may still hide a slope whose changes were rounded away.
        """
        self._gone_far = True
        magnitude = max(float(self._loss._survey.scale[self._index]), abs(self._centre))
        for far in FAR:
            for outputs in self._outputs_at(self._moved(far * magnitude), self._moved(-far * magnitude)):
                self._mark_dependent(outputs != self._loss._outputs)
        self._hidden = self._loss.noise_of(~self._dependent) / (FAR[-1] * magnitude)

    def _moved(self, displacement: float) -> float | complex:
        """Return where the element really lies after a displacement."""
        return self._number(self._cast(self._centre + displacement * self._unit))

    def _outputs_at(self, *values: float | complex) -> list[Floats]:
        return self._loss.vicinity.outputs_at(*((self._index, value) for value in values))
