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

from gradaudit.numerics.axes import LEAST_STEP, STEP_ROUNDING, Axes
from gradaudit.numerics.derivative import Rows
from gradaudit.numerics.survey import Stair, Survey, Surveyor
from gradaudit.numerics.vicinity import Floats, Index, Together, Vicinity

Array = NDArray[Any]


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
        upstream: likewise.
        outputs: likewise.
        survey: what is known of forward's noise and scale.
        noise: what the rounding of all outputs may add up to.
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
        self.upstream = upstream
        self.outputs = outputs
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
        self.survey = survey
        weights = np.abs(self.upstream) * survey.noise
        self._unit = float(weights.max(initial=0.0)) or 1.0
        self._weights_squared = (weights / self._unit) ** 2
        self.noise = self.noise_of(np.ones(weights.shape, dtype=bool))

    @contextmanager
    def climbing(self, stair: Stair) -> Iterator[None]:
        """Take the outputs for rounded as coarsely as a stair is high, as long as the context lasts."""
        before, blind = self.survey, self.blind
        self._use(self._surveyor.rounded(stair))
        try:
            yield
        finally:
            self._use(before)
            self.blind = blind

    def noise_of(self, outputs: NDArray[np.bool_]) -> Any:
        """Return what the rounding of the marked outputs may add up to in the loss: one number, or one a row."""
        return self._unit * np.sqrt(np.einsum("...k,k->...", outputs, self._weights_squared))

    @property
    def grid(self) -> float:
        """Distance from 1 to the next number of the elements' dtype."""
        return self._surveyor.grid

    @property
    def declared_noise(self) -> float:
        """What the rounding of outputs to the input's dtype may add up to in the loss."""
        return self.grid * float(np.linalg.norm(self.upstream * self.outputs))

    def step_at(self, index: Index) -> float:
        """Return the power of two to start from at an index."""
        return float(self.steps_at(self.place_of(index))[0])

    def steps_at(self, places: Rows) -> Floats:
        """Return the powers of two to start from at some places."""
        reach = np.asarray(self.survey.reach).flat[places]
        known = (reach > 0.0) & (reach < math.inf)
        return np.maximum(np.exp2(np.rint(np.log2(np.where(known, reach, 1.0)))), LEAST_STEP)

    def along(self, places: Rows, units: Any = 1.0) -> Axes:
        """Return the samplers of differences in some elements, along their real or imaginary axes."""
        return Axes(self, places, np.full(len(places), units, np.complex128))

    def place_of(self, index: Index) -> Rows:
        """Return the place of an index in C order, as the only one of an array."""
        return np.array([np.ravel_multi_index(index, self.shape) if index else 0])

    def changes_at(self, places: Rows, values: Array, *, whole: bool = False) -> Floats:
        """Return how the outputs change where one element at a time holds another value: one a row.

        Args:
            places: the elements, each twice.
            values: what they hold.
            whole: whether all are needed; else some pairs, where no more can be had.

        """
        return self.vicinity.changes_along(self.outputs, places, values, whole=whole)

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

    def is_tied(self, place: int) -> bool:
        """Whether the element at a place equals at least two others: of two, each has the derivatives to its sides."""
        return int(np.count_nonzero(self._base == self._base.flat[place])) > 2

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
        slope = float(self.upstream @ change) / distance
        return slope, 2 * self.noise_of(change != 0.0) / distance + self.survey.relative * abs(slope)

    def _displaced(self, *displacements: Floats) -> list[Floats]:
        return self.vicinity.outputs_at(None, [self._base + displacement for displacement in displacements])

    def _displaced_at(self, index: Index, *displacements: Floats) -> list[Floats]:
        places = self.place_of(index).repeat(len(displacements))
        return self.vicinity.outputs_at(places, self._base[index] + np.array(displacements))
