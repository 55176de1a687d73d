"""Look-up of rows in a table of vectors, and its backward."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]


@computed_in_float32
def embedding(weight: Array, indices: Array) -> Array:
    """Rows of a table: y[..., :] = weight[indices[...], :].

    Shapes: weight is (V, D), indices (...) with integers in 0..V-1; returns (..., D).

    Source: Bengio, Ducharme, Vincent and Jauvin, A Neural Probabilistic Language Model, 2003.
    """
    return np.take(weight, indices, axis=0)


@computed_in_float32
def embedding_backward(upstream: Array, weight: Array, indices: Array) -> Array:
    """VJP of embedding with respect to weight: each row adds up the upstream of all its look-ups.

    grad_weight[v, :] = sum of upstream[t, :] over the positions t with indices[t] = v, 0 if there are none.

    Shapes: upstream is (..., D), weight (V, D), indices (...); returns (V, D).
    """
    grad_weight = np.zeros_like(weight)
    # Not `grad_weight[indices] += upstream`, which counts a row once, however often it is looked up.
    np.add.at(grad_weight, indices, upstream)
    return grad_weight
