"""Reference ops in HIPS autograd: a primitive with its own rule, and functions that it differentiates through."""

from __future__ import annotations

from typing import Any

import autograd.numpy as np
from autograd.extend import defvjp, primitive

Array = Any


@primitive
def logsumexp(x: Array, axis: int = -1) -> Array:
    """Return ``log(sum(exp(x)))`` along an axis, without overflow."""
    largest = np.max(x, axis=axis, keepdims=True)
    return np.squeeze(largest + np.log(np.sum(np.exp(x - largest), axis=axis, keepdims=True)), axis)


def _logsumexp_pullback(made: Array, x: Array, axis: int = -1) -> Any:
    return lambda upstream: np.expand_dims(upstream, axis) * np.exp(x - np.expand_dims(made, axis))


defvjp(logsumexp, _logsumexp_pullback)


def log_softmax(x: Array) -> Array:
    """Return x of shape (..., n) less its log-sum-exp."""
    return x - np.expand_dims(logsumexp(x), -1)


def moments(x: Array, weight: Array) -> tuple[Array, Array]:
    """Return the weighted mean and standard deviation of x of shape (n, d) over its rows, for weights of shape (n,).

    The deviation of equal rows is zero, and so is its gradient.
    """
    share = weight / np.sum(weight)
    mean = np.dot(share, x)
    variance = np.dot(share, (x - mean) ** 2)
    return mean, np.where(variance > 0, np.sqrt(np.where(variance > 0, variance, 1.0)), 0.0)


def spectrum(x: Array) -> Array:
    """Return the Fourier transform of real or complex x of shape (n,), by its matrix, and times its conjugate."""
    n = x.shape[0]
    turns = np.outer(np.arange(n), np.arange(n)) / n
    made = np.dot(np.exp(-2j * np.pi * turns), x)
    return made * (1 + np.conj(made) / 4)
