"""A softmax over the last axis and its right backward, in terms of its input."""

from __future__ import annotations

from typing import Any

import numpy as np


def softmax(x: Any) -> Any:
    odds = np.exp(x - x.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def softmax_backward(u: Any, x: Any) -> Any:
    y = softmax(x)
    return y * (u - (u * y).sum(axis=-1, keepdims=True))
