"""Products of vectors and matrices, and the rearrangements of axes that go with them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.ops.broadcasting import sum_to_shape
from gradaudit.ops.half_precision import computed_in_float32

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]


@computed_in_float32
def matmul(a: Array, b: Array) -> Array:
    """Matrix product A B with NumPy's rules: (..., m, k) and (..., k, n) give (..., m, n).

    Leading axes broadcast. A vector on the left is a row, a vector on the right a column, and the axis of size one that
    it adds is dropped from the output: (k,) and (k, n) give (n,), (m, k) and (k,) give (m,), (k,) and (k,) a scalar.
    """
    product: Array = np.matmul(a, b)
    return product


@computed_in_float32
def matmul_backward(upstream: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Pull upstream U back through A B: grad_A = U B^T and grad_B = A^T U, summed over broadcast leading axes.

    Source: Giles, Collected Matrix Derivative Results for Forward and Reverse Mode Algorithmic Differentiation, 2008.
    """
    A, B, U = a, b, upstream
    if b.ndim == 1:
        B, U = b[:, np.newaxis], U[..., np.newaxis]
    if a.ndim == 1:
        A, U = a[np.newaxis, :], U[..., np.newaxis, :]
    grad_a = sum_to_shape(U @ B.mT, A.shape)
    grad_b = sum_to_shape(A.mT @ U, B.shape)
    return grad_a.reshape(a.shape), grad_b.reshape(b.shape)


def transpose(x: Array, *, axes: Sequence[int] | None = None) -> Array:
    """Permute axes: axis i of the output is axis axes[i] of x; None reverses them all."""
    return x.transpose(axes)


def transpose_backward(upstream: Array, *, axes: Sequence[int] | None = None) -> Array:
    """Pull upstream u back through a permutation of axes: permute u by the inverse.

    Source: the transpose of a permutation is its inverse.
    """
    if axes is None:
        return upstream.transpose()
    return upstream.transpose(np.argsort([axis % upstream.ndim for axis in axes]))


def reshape(x: Array, *, shape: Sequence[int]) -> Array:
    """Reshape in row-major order of the indices; one size may be -1, for what is left."""
    return x.reshape(shape)


def reshape_backward(upstream: Array, x: Array) -> Array:
    """Pull upstream u back through a reshape: u in the shape of x.

    Source: a reshape is the identity on the elements in their order.
    """
    return upstream.reshape(x.shape)


@computed_in_float32
def dot(x: Array, y: Array) -> Array:
    """Inner product of two vectors of one length: sum_i x_i y_i, a scalar."""
    product: Array = np.dot(x, y)
    return product


@computed_in_float32
def dot_backward(upstream: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Pull a scalar upstream u back through <x, y>: grad_x = u y and grad_y = u x.

    Source: bilinearity of the inner product.
    """
    return upstream * y, upstream * x


@computed_in_float32
def outer(x: Array, y: Array) -> Array:
    """Outer product of two vectors: x y^T, of shape (m, n) for x of shape (m,) and y of shape (n,)."""
    return x[:, np.newaxis] * y


@computed_in_float32
def outer_backward(upstream: Array, x: Array, y: Array) -> tuple[Array, Array]:
    """Pull upstream U of shape (m, n) back through x y^T: grad_x = U y and grad_y = U^T x.

    Source: Giles 2008 (see matmul_backward), for a product of a column and a row.
    """
    return upstream @ y, x @ upstream


@computed_in_float32
def linear(x: Array, weight: Array, bias: Array) -> Array:
    """Affine map of the last axis: y = x W^T + b.

    Shapes: x (..., in), weight (out, in), bias (out,), y (..., out).
    """
    return x @ weight.T + bias


@computed_in_float32
def linear_backward(upstream: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Pull upstream u of shape (..., out) back through x W^T + b.

    grad_x = u W, grad_W = u^T x and grad_b = sum u, the latter two summed over all leading axes.

    Source: Rumelhart, Hinton and Williams, Learning Representations by Back-Propagating Errors, 1986.
    """
    grad_x, grad_weight = _linear_map_backward(upstream, x, weight)
    return grad_x, grad_weight, upstream.reshape(-1, len(weight)).sum(axis=0)


@computed_in_float32
def linear_no_bias(x: Array, weight: Array) -> Array:
    """Linear map of the last axis: y = x W^T.

    Shapes: x (..., in), weight (out, in), y (..., out).
    """
    return x @ weight.T


@computed_in_float32
def linear_no_bias_backward(upstream: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    """Pull upstream u of shape (..., out) back through x W^T.

    grad_x = u W, and grad_W = u^T x summed over all leading axes.

    Source: as linear_backward.
    """
    return _linear_map_backward(upstream, x, weight)


def _linear_map_backward(upstream: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    out_features, in_features = weight.shape
    rows = math.prod(x.shape[:-1])  # which NumPy cannot infer of an array without elements
    grad_weight = upstream.reshape(rows, out_features).T @ x.reshape(rows, in_features)
    return upstream @ weight, grad_weight
