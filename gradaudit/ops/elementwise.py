"""Elementary functions of one element at a time; every gradient has its input's shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.ops.broadcasting import sum_to_shape
from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]

LN_2 = math.log(2.0)
LN_10 = math.log(10.0)


@computed_in_float32
def exp(x: Array) -> Array:
    """Exponential: e^x."""
    return np.exp(x)


@computed_in_float32
def exp_backward(upstream: Array, output: Array) -> Array:
    """Pull upstream u back through y = e^x: grad_x = u y, from the saved output y.

    Source: exp' = exp.
    """
    return upstream * output


@computed_in_float32
def log(x: Array) -> Array:
    """Natural logarithm: ln x for x > 0."""
    return np.log(x)


@computed_in_float32
def log_backward(upstream: Array, x: Array) -> Array:
    """Pull upstream u back through ln x: grad_x = u / x.

    Source: ln'(x) = 1 / x.
    """
    return upstream / x


@computed_in_float32
def log2(x: Array) -> Array:
    """Binary logarithm: log2 x for x > 0."""
    return np.log2(x)


@computed_in_float32
def log2_backward(upstream: Array, x: Array) -> Array:
    """Pull upstream u back through log2 x: grad_x = u / (x ln 2).

    Source: the change of base, log2 x = ln x / ln 2.
    """
    return upstream / (x * LN_2)


@computed_in_float32
def log10(x: Array) -> Array:
    """Decimal logarithm: log10 x for x > 0."""
    return np.log10(x)


@computed_in_float32
def log10_backward(upstream: Array, x: Array) -> Array:
    """Pull upstream u back through log10 x: grad_x = u / (x ln 10).

    Source: the change of base, log10 x = ln x / ln 10.
    """
    return upstream / (x * LN_10)


@computed_in_float32
def sqrt(x: Array) -> Array:
    """Square root: x^(1/2) for x > 0."""
    return np.sqrt(x)


@computed_in_float32
def sqrt_backward(upstream: Array, output: Array) -> Array:
    """Pull upstream u back through y = sqrt(x): grad_x = u / (2 y), from the saved output y.

    Source: the power rule at exponent 1/2.
    """
    return upstream / (2.0 * output)


@computed_in_float32
def absolute(x: Array) -> Array:
    """Absolute value: |x|."""
    return np.abs(x)


@computed_in_float32
def absolute_backward(upstream: Array, x: Array) -> Array:
    """Pull upstream u back through |x|: grad_x = u sign(x), with sign(0) = 0.

    Source: |x| = x sign(x); at the kink, 0 is the middle of the subdifferential [-1, 1].
    """
    return upstream * np.sign(x)


@computed_in_float32
def clip(x: Array, *, lo: float, hi: float) -> Array:
    """Clip to an interval: min(max(x, lo), hi)."""
    return np.minimum(np.maximum(x, lo), hi)


@computed_in_float32
def clip_backward(upstream: Array, x: Array, *, lo: float, hi: float) -> Array:
    """Pull upstream u back through min(max(x, lo), hi): grad_x = u where lo <= x <= hi, else 0.

    Source: clip is the identity inside the interval and constant outside; both ends are kinks, counted as inside.
    """
    return upstream * ((lo <= x) & (x <= hi))


@computed_in_float32
def sin(x: Array) -> Array:
    """Sine of an angle in radians."""
    return np.sin(x)


@computed_in_float32
def sin_backward(upstream: Array, x: Array) -> Array:
    """Pull upstream u back through sin x: grad_x = u cos x.

    Source: sin' = cos.
    """
    return upstream * np.cos(x)


@computed_in_float32
def cos(x: Array) -> Array:
    """Cosine of an angle in radians."""
    return np.cos(x)


@computed_in_float32
def cos_backward(upstream: Array, x: Array) -> Array:
    """Pull upstream u back through cos x: grad_x = -u sin x.

    Source: cos' = -sin.
    """
    return -upstream * np.sin(x)


@computed_in_float32
def power(x: Array, y: Array) -> Array:
    """Power: x^y for x > 0, of the shape that base x and exponent y broadcast to."""
    return np.power(x, y)


@computed_in_float32
def power_backward(upstream: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Pull upstream u back through x^y.

    grad_x = u y x^(y - 1) and grad_y = u x^y ln x, each summed over the axes along which its operand was broadcast.

    Source: the power rule in x; in y, x^y = e^(y ln x).
    """
    grad_x = upstream * y * np.power(x, y - 1.0)
    grad_y = upstream * np.power(x, y) * np.log(x)
    return sum_to_shape(grad_x, x.shape), sum_to_shape(grad_y, y.shape)
