"""Dropout with the mask as an input, and the backward of each.

The caller draws the mask, once. A forward that drew its own would be another function at every call, and no gradient
belongs to that.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]


@computed_in_float32
def dropout(x: Array, mask: Array, *, p: float) -> Array:
    """Keep elements with probability 1 - p and scale them up, so that y is x on average: y = x * mask / (1 - p).

    Shapes: both are (...), mask is 1 where an element is kept and 0 where it is dropped; returns (...).

    Source: Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, Dropout: A Simple Way to Prevent Neural
    Networks from Overfitting, 2014; its scaling is at test time, here it is at training time ("inverted dropout").
    """
    return x * mask / (1.0 - p)


@computed_in_float32
def dropout_backward(upstream: Array, mask: Array, *, p: float) -> Array:
    """VJP of dropout with respect to x, with forward's own mask: upstream * mask / (1 - p).

    Shapes: both are (...); returns (...).
    """
    return upstream * mask / (1.0 - p)


@computed_in_float32
def dropout2d(x: Array, mask: Array, *, p: float) -> Array:
    """Keep whole channels with probability 1 - p: y[n, c, h, w] = x[n, c, h, w] * mask[n, c] / (1 - p).

    Shapes: x is (N, C, H, W), mask (N, C), 1 where a channel is kept and 0 where it is dropped; returns (N, C, H, W).

    Source: Tompson, Goroshin, Jain, LeCun and Bregler, Efficient Object Localization Using Convolutional Networks,
    2015 (who call it SpatialDropout).
    """
    return x * mask[:, :, None, None] / (1.0 - p)


@computed_in_float32
def dropout2d_backward(upstream: Array, mask: Array, *, p: float) -> Array:
    """VJP of dropout2d with respect to x: upstream[n, c, h, w] * mask[n, c] / (1 - p).

    Shapes: upstream is (N, C, H, W), mask (N, C); returns (N, C, H, W).
    """
    return upstream * mask[:, :, None, None] / (1.0 - p)
