"""Backwards that only a relation shows, or a shape that no case has, each beside a right one."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from corner_faults import MATRIX, Array, Fault, tanh, tanh_backward

SHARED = np.empty(2**16)


def something_of_other_rows(u: Array, x: Array) -> Array:
    gradient = tanh_backward(u, x)
    return gradient + np.float32(1e-7) * gradient.mean(axis=0)


def scaled_by_the_largest(u: Array, x: Array) -> Array:
    most = np.abs(u).max(initial=0.0)
    return tanh_backward(u / most, x) * most


def inputs_used_as_room(u: Array, x: Array) -> Array:
    np.negative(x, out=x)
    gradient = tanh_backward(u, x)
    np.negative(x, out=x)
    return gradient


def buffer_shared_by_threads(u: Array, x: Array) -> Array:
    held = SHARED[: x.size].reshape(x.shape)
    np.tanh(x, out=held)
    time.sleep(1e-4)
    return u * (1 - held**2)


def mean_square(x: Array) -> Array:
    return (x**2).mean(axis=-1)


def mean_square_backward(u: Array, x: Array) -> Array:
    return 2.0 * u[..., None] * x / x.shape[-1]


def columns_are_the_second_axis(u: Array, x: Array) -> Array:
    return 2.0 * u[..., None] * x / x.shape[1]


def magnitude(z: Array) -> Array:
    return np.abs(z)


def magnitude_backward(u: Array, z: Array) -> Array:
    return u * np.divide(z, np.abs(z), out=np.zeros_like(z), where=z != 0)


def divided_by_magnitude(u: Array, z: Array) -> Array:
    with np.errstate(all="ignore"):
        return u * z / np.abs(z)


FLOAT32: Any = {"dtype": "float32"}

RELATION_FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "rows that get something of others", tanh, tanh_backward, something_of_other_rows, MATRIX, 2, (), FLOAT32
        ),
        Fault("an upstream of zeros", tanh, tanh_backward, scaled_by_the_largest, MATRIX, 2),
        Fault("an input that is read-only", tanh, tanh_backward, inputs_used_as_room, MATRIX, 1),
        Fault("a buffer that threads share", tanh, tanh_backward, buffer_shared_by_threads, MATRIX, 1),
        Fault("one more axis", mean_square, mean_square_backward, columns_are_the_second_axis, MATRIX, 2),
        Fault(
            "a complex zero",
            magnitude,
            magnitude_backward,
            divided_by_magnitude,
            {"z": {"shape": [3, 4]}},
            1,
            (),
            {"dtype": "complex128"},
        ),
    )
}
