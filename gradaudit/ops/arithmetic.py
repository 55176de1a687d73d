"""The four operations of arithmetic, with NumPy's broadcasting: each operand's gradient has the operand's own shape."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from gradaudit.ops.broadcasting import sum_to_shape
from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]


@computed_in_float32
def add(x: Array, y: Array) -> Array:
    """Add: x + y, of the shape that x and y broadcast to."""
    return x + y


@computed_in_float32
def add_backward(upstream: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Pull upstream u back through x + y.

    grad_x = u and grad_y = u, each summed over the axes along which its operand was broadcast.

    Source: linearity of the derivative.
    """
    return sum_to_shape(upstream, x.shape), sum_to_shape(upstream, y.shape)


@computed_in_float32
def subtract(x: Array, y: Array) -> Array:
    """Subtract: x - y, of the shape that x and y broadcast to."""
    return x - y


@computed_in_float32
def subtract_backward(upstream: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Pull upstream u back through x - y.

    grad_x = u and grad_y = -u, each summed over the axes along which its operand was broadcast.

    Source: linearity of the derivative.
    """
    return sum_to_shape(upstream, x.shape), -sum_to_shape(upstream, y.shape)


@computed_in_float32
def multiply(x: Array, y: Array) -> Array:
    """Multiply elementwise: x y, of the shape that x and y broadcast to."""
    return x * y


@computed_in_float32
def multiply_backward(upstream: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Pull upstream u back through x y.

    grad_x = u y and grad_y = u x, each summed over the axes along which its operand was broadcast.

    Source: the product rule.
    """
    return sum_to_shape(upstream * y, x.shape), sum_to_shape(upstream * x, y.shape)


@computed_in_float32
def divide(x: Array, y: Array) -> Array:
    """Divide elementwise: x / y for y != 0, of the shape that x and y broadcast to."""
    return x / y


@computed_in_float32
def divide_backward(upstream: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Pull upstream u back through x / y.

    grad_x = u / y and grad_y = -u x / y^2, each summed over the axes along which its operand was broadcast.
    The square is never formed: it overflows, or underflows to zero, long before the quotients do.

    Source: the quotient rule.
    """
    grad_quotient = upstream / y
    return sum_to_shape(grad_quotient, x.shape), -sum_to_shape(grad_quotient * (x / y), y.shape)
