"""Five ops, right and wrong in ways that every kind of target can be: as NumPy functions, to be reached in any way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Function = Callable[..., Any]


def square(x):
    return x * x


def square_backward(upstream, x):
    return 2 * x * upstream


def square_sign_flipped(upstream, x):
    return -2 * x * upstream


def square_upstream_ignored(upstream, x):
    return 2 * x


def square_nonlinear_upstream(upstream, x):
    return 2 * x * np.clip(upstream, -0.75, 0.75)


def square_of_float32_in_float64(upstream, x):
    return (2 * x * upstream).astype(np.float64)


_first = {}


def square_captured_state(upstream, x):
    return 2 * _first.setdefault((x.dtype, x.shape), np.array(x)) * upstream


def noisy_square(x):
    return x * x + np.random.default_rng().normal(size=x.shape)


def linear(x, w, b):
    return x @ w + b


def linear_backward(upstream, x, w, b):
    return upstream @ w.T, x.T @ upstream, upstream.sum(0)


def linear_not_reduced(upstream, x, w, b):
    return upstream @ w.T, x.T @ upstream, upstream


def linear_without_w(upstream, x, w, b):
    return upstream @ w.T, None, upstream.sum(0)


def linear_of_wrong_shape(upstream, x, w, b):
    return upstream @ w.T, (x.T @ upstream).T, upstream.sum(0)


def drop(x, mask, p):
    return x * mask / (1 - p)


def drop_backward(upstream, x, mask, p):
    return upstream * mask / (1 - p)


def drop_not_scaled(upstream, x, mask, p):
    return upstream * mask


def softmax(x):
    """Return the probabilities, and which one is the largest: an output that has no gradient."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True), x.argmax(-1)


def softmax_backward(upstream, y):
    return y * (upstream - (upstream * y).sum(-1, keepdims=True))


def softmax_without_the_sum(upstream, y):
    return y * upstream


def log(x):
    if (x <= 0).any():
        raise ValueError("log of a number that is not positive")
    return np.log(x)


def log_backward(upstream, x):
    return upstream / x
