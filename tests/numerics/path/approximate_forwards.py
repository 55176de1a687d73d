"""Forwards that round, iterate, tabulate or step, with right and with wrong backwards; all elementwise or x @ W."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Forward = Callable[[Array], Array]
Backward = Callable[[Array, Array], Array]


@dataclass(frozen=True)
class Approximate:
    """``backward(upstream, x)`` claims to be the gradient of ``forward(x)``; x lies between ``low`` and ``high``."""

    forward: Forward
    backward: Backward
    low: float = -2.0
    high: float = 2.0


W = np.random.default_rng(3).uniform(-1, 1, (8, 6))


def _bf16(x: Array) -> Array:
    return x.astype(ml_dtypes.bfloat16).astype(np.float64)


def _f16(x: Array) -> Array:
    return x.astype(np.float16).astype(np.float64)


def _tanh_backward(upstream: Array, x: Array) -> Array:
    return upstream * (1 - np.tanh(x) ** 2)


def _scaled(factor: float, backward: Backward) -> Backward:
    return lambda upstream, x: factor * backward(upstream, x)


def _series(x: Array) -> Array:
    """Return exp(x) of a Taylor series that stops where its next term is below 1e-7."""
    total, term, k = np.zeros_like(x), np.ones_like(x), 0
    while abs(term).max() > 1e-7:
        total, k = total + term, k + 1
        term = term * x / k
    return total


def _bisected(tolerance: float) -> Forward:
    def forward(x: Array) -> Array:
        """Return y with y^3 + y = x."""
        low, high = np.full_like(x, -3.0), np.full_like(x, 3.0)
        while (high - low).max() > tolerance:
            middle = (low + high) / 2
            below = middle**3 + middle < x
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    return forward


def _cubic_backward(upstream: Array, x: Array) -> Array:
    return upstream / (3 * _bisected(1e-12)(x) ** 2 + 1)


def _fixed_point(x: Array) -> Array:
    """Return y with y = cos(y) / 2 + x, iterated until it moves by less than 1e-4."""
    y = np.zeros_like(x)
    while True:
        nearer = np.cos(y) / 2 + x
        if abs(nearer - y).max() < 1e-4:
            return nearer
        y = nearer


def _fixed_point_backward(upstream: Array, x: Array) -> Array:
    return upstream / (1 + np.sin(_fixed_point(x)) / 2)


TABLE = np.linspace(-3, 3, 4097)


def _nearest(x: Array) -> Array:
    return np.tanh(TABLE)[np.round((x + 3) / 6 * 4096).astype(int)]


def _interpolated(x: Array) -> Array:
    return np.interp(x, TABLE, np.tanh(TABLE))


def _fake_quantised(x: Array) -> Array:
    return np.clip(np.round(16 * x), -16, 15) / 16


def _gelu(x: Array) -> Array:
    return x / 2 * (1 + np.tanh(0.7978845608028654 * (x + 0.044715 * x**3)))


def _gelu_backward(cube: float) -> Backward:
    def backward(upstream: Array, x: Array) -> Array:
        t = np.tanh(0.7978845608028654 * (x + cube * x**3))
        return upstream * ((1 + t) / 2 + x / 2 * (1 - t * t) * 0.7978845608028654 * (1 + 3 * cube * x * x))

    return backward


def _region(low: float, high: float, factor: float) -> Backward:
    return lambda upstream, x: _tanh_backward(upstream, x) * np.where((x > low) & (x < high), factor, 1.0)


RIGHT = {
    "ripple, saturated": Approximate(lambda x: np.tanh(x) + 1e-7 * np.sin(9 * x), _tanh_backward, -12.0, 12.0),
    "ripple": Approximate(lambda x: np.tanh(x) + 1e-7 * np.sin(9 * x), _tanh_backward),
    "float32 inside": Approximate(lambda x: np.tanh(x.astype(np.float32)).astype(np.float64), _tanh_backward),
    "bfloat16 inside": Approximate(lambda x: np.tanh(_bf16(x)), _tanh_backward),
    "float16 inside": Approximate(lambda x: np.tanh(_f16(x)), _tanh_backward),
    "bfloat16 matmul": Approximate(lambda x: _bf16(x) @ _bf16(W), lambda u, x: u @ W.T),
    "partly bfloat16": Approximate(lambda x: np.sin(x) + _bf16(x) / 10, lambda u, x: u * (np.cos(x) + 0.1)),
    "table": Approximate(_nearest, _tanh_backward),
    "interpolated table": Approximate(_interpolated, _tanh_backward),
    "bisection 1e-4": Approximate(_bisected(1e-4), _cubic_backward),
    "bisection 1e-6": Approximate(_bisected(1e-6), _cubic_backward),
    "bisection 1e-9": Approximate(_bisected(1e-9), _cubic_backward),
    "fixed point 1e-4": Approximate(_fixed_point, _fixed_point_backward),
    "round": Approximate(np.round, lambda u, x: u, -20.0, 20.0),
    "round to eighths": Approximate(lambda x: np.round(8 * x) / 8, lambda u, x: u),
    "fake quantised": Approximate(_fake_quantised, lambda u, x: u * ((x > -16.5 / 16) & (x < 15.5 / 16))),
    "ripple over many periods": Approximate(
        lambda x: np.sin(x) + 1e-7 * np.sin(9 * x), lambda u, x: u * np.cos(x), 60.0, 100.0
    ),
    "float32 over many periods": Approximate(
        lambda x: np.sin(x.astype(np.float32)).astype(np.float64), lambda u, x: u * np.cos(x), 60.0, 100.0
    ),
    "staircase over a slope": Approximate(lambda x: np.floor(x) + x, lambda u, x: 2 * u),
}
"""Right gradients whose local slopes central differences accuse."""

STRAIGHT_THROUGH = ("round", "round to eighths", "fake quantised", "staircase over a slope")

WRONG = {
    "factor 1.01": Approximate(np.tanh, _scaled(1.01, _tanh_backward)),
    "factor 1 + 1e-5": Approximate(np.tanh, _scaled(1 + 1e-5, _tanh_backward)),
    "many periods, factor 1 + 1e-5": Approximate(np.sin, lambda u, x: (1 + 1e-5) * u * np.cos(x), 60.0, 100.0),
    "many periods, factor 0.99": Approximate(np.sin, lambda u, x: 0.99 * u * np.cos(x), 60.0, 100.0),
    "many periods, out of phase": Approximate(np.sin, lambda u, x: u * np.cos(x + 1e-5), 60.0, 100.0),
    "gelu's constant": Approximate(_gelu, _gelu_backward(0.0447)),
    "no upstream": Approximate(np.sin, lambda u, x: np.cos(x)),
    "epsilon": Approximate(np.sqrt, lambda u, x: u / 2 / np.sqrt(x + 1e-5), 0.1, 3.0),
    "series, factor 1.01": Approximate(_series, lambda u, x: 1.01 * u * np.exp(x)),
    "zeros": Approximate(np.tanh, lambda u, x: 0 * u),
    "zeros, partly bfloat16": Approximate(lambda x: np.sin(x) + _bf16(x) / 10, lambda u, x: 0 * u),
    "flipped below 0": Approximate(np.tanh, _region(-9.0, 0.0, -1.0)),
    "flipped from 0.5 to 1": Approximate(np.tanh, _region(0.5, 1.0, -1.0)),
    "5% from 0.5 to 0.6": Approximate(np.tanh, _region(0.5, 0.6, 1.05)),
    "leak": Approximate(lambda x: np.maximum(x, 0), lambda u, x: u * np.where(x > 0, 1, 0.01)),
    "bfloat16, factor 1.05": Approximate(lambda x: np.tanh(_bf16(x)), _scaled(1.05, _tanh_backward)),
    "bfloat16 matmul, factor 1.02": Approximate(lambda x: _bf16(x) @ _bf16(W), lambda u, x: 1.02 * u @ W.T),
    "fixed point, factor 1.01": Approximate(_fixed_point, _scaled(1.01, _fixed_point_backward)),
    "fixed point, term left out": Approximate(_fixed_point, lambda u, x: u),
    "round, factor 1.5": Approximate(np.round, lambda u, x: 1.5 * u, -20.0, 20.0),
    "round, flipped": Approximate(np.round, lambda u, x: -u, -20.0, 20.0),
    "fake quantised, no mask": Approximate(_fake_quantised, lambda u, x: u),
    "hard shrink, factor 1.01": Approximate(lambda x: x * (abs(x) > 0.5), lambda u, x: 1.01 * u * (abs(x) > 0.5)),
    "a jump far away, factor 1.01": Approximate(lambda x: np.tanh(x) + (x > 0.3), _scaled(1.01, _tanh_backward)),
}
"""Wrong gradients, some of forwards that jump."""
