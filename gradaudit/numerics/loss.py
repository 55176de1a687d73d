"""The op as a scalar function of one input: ``phi(x) = <u, f(x)>``, evaluated in pairs around a point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.numerics.derivative import Difference, Sampler
from gradaudit.numerics.noise import NOISE_POINTS, noise_along_line

Array = NDArray[Any]
Floats = NDArray[np.float64]

ROUNDINGS = 2.0
"""Rounding of one output, in units of the dtype's spacing, that is taken for granted before anything is measured."""

NOISE_MARGIN = 4.0
"""Standard deviations of measured noise that a rounding bound covers."""

WALK = range(-(NOISE_POINTS // 2), NOISE_POINTS // 2 + 1)

MAX_WALKS = 4
"""How often the noise is measured again at an eighth of the spacing, in search of where only noise is left."""


def lifted(outputs: tuple[Array, ...]) -> Floats:
    """Return all outputs as one fresh float64 vector; a complex number becomes its real and imaginary parts.

    The copy matters: an op may return a view of its input, or the same buffer at every call.
    """
    flat = joined(outputs)
    return flat.copy() if any(np.may_share_memory(flat, out) for out in outputs) else flat


def joined(arrays: tuple[Array, ...]) -> Floats:
    """Return the numbers of several arrays as one vector, which may be a view of a single one."""
    return as_reals(arrays[0]) if len(arrays) == 1 else np.concatenate([as_reals(array) for array in arrays])


def as_reals(array: Array) -> Floats:
    """Return the numbers of an array in C order as float64; a complex one becomes its real and imaginary parts.

    A view where the array is in double precision and contiguous already.
    """
    if array.dtype.kind == "c":
        return np.ascontiguousarray(array, dtype=np.complex128).reshape(-1).view(np.float64)
    return np.ascontiguousarray(array, dtype=np.float64).reshape(-1)


class Loss:
    """The scalar ``<u, f(x)>`` around one point, by differences of outputs and never of losses.

    Args:
        forward: returns the outputs for the present contents of ``x``, as ``lifted`` does.
        x: the input to perturb, of any shape and layout; changed in place and restored bit by bit.
        upstream: as ``lifted`` returns it.
        outputs: ``forward()`` at the unperturbed point.
        spacing: distance from 1 to the next number of the dtype that forward computes in.

    Attributes:
        evaluations: calls of forward so far.
        disturbed: whether ``x`` was ever not bit-identical after a perturbation was undone.

    """

    def __init__(
        self, forward: Callable[[], Floats], x: Array, upstream: Floats, outputs: Floats, spacing: float
    ) -> None:
        self._forward = forward
        self._x = x
        self._base = x.copy()
        self._bits = x.tobytes()
        self._upstream = upstream
        self._outputs = outputs
        self._spacing = spacing
        self._set_noise(ROUNDINGS * spacing * np.abs(outputs))
        self.evaluations = 0
        self.disturbed = False

    def measure_noise(self, rng: np.random.Generator, index: tuple[int, ...] | None = None) -> None:
        """Raise the noise of each output to what it really is, from values along a line through the point.

        The line is a random one, or that along the element at an index.

        An output near zero that is the difference of large numbers shows here, and so does a function that returns
        float64 and computes in float32 inside.
        """
        signs = np.where(rng.random(self._base.shape) < 0.5, -1.0, 1.0)
        direction = signs * np.maximum(np.abs(self._base), 1.0)
        if index is not None:
            direction = np.where(
                np.arange(direction.size).reshape(direction.shape) == np.ravel_multi_index(index, direction.shape),
                direction,
                0.0,
            )
        step = max(power_of_two(self._level ** (1 / 3)) / 4, 8 * self._spacing)
        for _ in range(MAX_WALKS):
            walk = np.array([self._outputs_at(self._base + k * step * direction) for k in WALK])
            if np.isfinite(walk).all():
                noise, fine_enough = noise_along_line(walk - walk[len(WALK) // 2])
                if fine_enough:
                    break
            step /= 8
        else:
            return
        self._set_noise(np.maximum(NOISE_MARGIN * noise, ROUNDINGS * self._spacing * np.abs(self._outputs)))

    def _set_noise(self, noise: Floats) -> None:
        weights = np.abs(self._upstream) * noise
        self._unit = float(weights.max(initial=0.0)) or 1.0
        self._weights_squared = (weights / self._unit) ** 2
        signal = rms(self._upstream * self._outputs)
        self._level = max(ROUNDINGS * self._spacing, rms(weights) / signal if signal else 0.0)

    def step_at(self, index: tuple[int, ...]) -> float:
        """Return the power of two to start from at an index: the cube root of the noise, scaled by the element."""
        return power_of_two(self._level ** (1 / 3) * max(1.0, abs(complex(self._base[index]))))

    def along_element(self, index: tuple[int, ...], unit: complex = 1.0) -> Sampler:
        """Return the sampler of central differences in one element, along its real or imaginary axis."""
        value = self._base[index]
        number, direction = (complex, unit) if self._base.dtype.kind == "c" else (float, unit.real)
        touched = np.zeros(self._outputs.shape, dtype=bool)  # outputs that depend on this element, as far as seen

        def sample(step: float) -> Difference | None:
            x, centre = self._x, number(value)
            try:
                x[index] = centre + step * direction
                above, plus = abs(number(x[index]) - centre), self._evaluate()
                x[index] = centre - step * direction
                below, minus = abs(centre - number(x[index])), self._evaluate()
            finally:
                x[index] = value
                self._verify_restored()
            if above == 0.0 or below == 0.0:
                return None
            plus -= self._outputs
            minus -= self._outputs
            np.logical_or(touched, plus != minus, out=touched)
            noise = self._unit * math.sqrt(float(self._weights_squared @ touched))
            up, down = float(self._upstream @ plus) / above, -float(self._upstream @ minus) / below
            if not math.isfinite(up + down):
                return None
            tilt = (above - below) / (above + below) * 0.5 * (up - down)  # the two steps differ by a rounding
            return Difference(up - tilt, down - tilt, 2.0 * noise / (above + below))

        return sample

    def _outputs_at(self, point: Array) -> Floats:
        try:
            self._x[...] = point
            return self._evaluate()
        finally:
            self._x[...] = self._base
            self._verify_restored()

    def _verify_restored(self) -> None:
        if self._x.tobytes() != self._bits:
            self.disturbed = True
            self._x[...] = self._base

    def _evaluate(self) -> Floats:
        self.evaluations += 1
        return self._forward()


def power_of_two(value: float) -> float:
    """Return the power of two nearest to a positive number, in ratio; 1 where there is none."""
    return math.ldexp(1.0, round(math.log2(value))) if 0.0 < value < math.inf else 1.0


def rms(values: Array) -> float:
    """Return the root mean square of the magnitudes, without overflow; 0 for no values."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    return largest * math.sqrt(float(np.mean(np.abs(values / largest) ** 2)))
