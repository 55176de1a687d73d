"""Reductions over one axis or several, and the cumulative sum.

`axes` is one axis, several, or None for all; a negative axis counts from the last. Whether the forward kept the reduced
axes (`keepdims`) makes no difference to a backward: it gives them back to its upstream before it does anything else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]
Axes = int | Sequence[int] | None


@computed_in_float32
def sum_reduce(x: Array, *, axes: Axes = None, keepdims: bool = False) -> Array:
    """Sum over axes: y = sum_i x_i."""
    output: Array = x.sum(axis=_reduced_axes(axes, x.ndim), keepdims=keepdims)
    return output


@computed_in_float32
def sum_reduce_backward(upstream: Array, x: Array, *, axes: Axes = None) -> Array:
    """Pull upstream u back through a sum: grad_x_i = u, the same for every summand.

    Source: linearity of the derivative.
    """
    return np.full(x.shape, _with_reduced_axes(upstream, x.shape, axes))


@computed_in_float32
def mean(x: Array, *, axes: Axes = None, keepdims: bool = False) -> Array:
    """Arithmetic mean over axes: y = (1 / n) sum_i x_i."""
    output: Array = x.mean(axis=_reduced_axes(axes, x.ndim), keepdims=keepdims)
    return output


@computed_in_float32
def mean_backward(upstream: Array, x: Array, *, axes: Axes = None) -> Array:
    """Pull upstream u back through a mean of n elements: grad_x_i = u / n.

    Source: linearity of the derivative.
    """
    return np.full(x.shape, _with_reduced_axes(upstream, x.shape, axes) / _count(x.shape, axes))


@computed_in_float32
def max_reduce(x: Array, *, axes: Axes = None, keepdims: bool = False) -> Array:
    """Maximum over axes: y = max_i x_i."""
    output: Array = x.max(axis=_reduced_axes(axes, x.ndim), keepdims=keepdims)
    return output


@computed_in_float32
def max_reduce_backward(upstream: Array, x: Array, output: Array, *, axes: Axes = None) -> Array:
    """Pull upstream u back through y = max_i x_i, from the saved output y.

    grad_x_i = u / k where x_i is one of the k elements equal to y, else 0.

    Source: Danskin, The Theory of Max-Min, 1967; k > 1 is a kink, and even shares lie in its subdifferential.
    """
    return _share_among_attaining(upstream, x, output, axes)


@computed_in_float32
def min_reduce(x: Array, *, axes: Axes = None, keepdims: bool = False) -> Array:
    """Minimum over axes: y = min_i x_i."""
    output: Array = x.min(axis=_reduced_axes(axes, x.ndim), keepdims=keepdims)
    return output


@computed_in_float32
def min_reduce_backward(upstream: Array, x: Array, output: Array, *, axes: Axes = None) -> Array:
    """Pull upstream u back through y = min_i x_i, from the saved output y.

    grad_x_i = u / k where x_i is one of the k elements equal to y, else 0.

    Source: min_i x_i = -max_i (-x_i), and the rule for the maximum.
    """
    return _share_among_attaining(upstream, x, output, axes)


@computed_in_float32
def variance(x: Array, *, axes: Axes = None, keepdims: bool = False, ddof: int = 0) -> Array:
    """Variance of n elements over axes: y = sum_i (x_i - mean(x))^2 / (n - ddof)."""
    output: Array = x.var(axis=_reduced_axes(axes, x.ndim), keepdims=keepdims, ddof=ddof)
    return output


@computed_in_float32
def variance_backward(upstream: Array, x: Array, *, axes: Axes = None, ddof: int = 0) -> Array:
    """Pull upstream u back through a variance: grad_x_i = 2 u (x_i - mean(x)) / (n - ddof).

    Source: the chain rule; the term through the mean is a multiple of sum_i (x_i - mean(x)) = 0.
    """
    freedom = _count(x.shape, axes) - ddof
    scale = 2.0 / freedom if freedom else np.inf  # as forward divides, which says nothing where it has no elements
    return scale * _with_reduced_axes(upstream, x.shape, axes) * _centred(x, axes)


@computed_in_float32
def std(x: Array, *, axes: Axes = None, keepdims: bool = False, ddof: int = 0) -> Array:
    """Take the standard deviation of n elements over axes: y = sqrt(sum_i (x_i - mean(x))^2 / (n - ddof))."""
    output: Array = x.std(axis=_reduced_axes(axes, x.ndim), keepdims=keepdims, ddof=ddof)
    return output


@computed_in_float32
def std_backward(upstream: Array, x: Array, output: Array, *, axes: Axes = None, ddof: int = 0) -> Array:
    """Pull upstream u back through a standard deviation y, from the saved output.

    grad_x_i = u (x_i - mean(x)) / ((n - ddof) y), and 0 where all x_i are equal: of one element y is always zero.

    Source: the chain rule, with y = sqrt(variance) and dy = d(variance) / (2 y).
    """
    by_output = np.divide(upstream, output, out=np.zeros_like(upstream), where=output > 0)
    grad_deviation = _with_reduced_axes(by_output, x.shape, axes) / (_count(x.shape, axes) - ddof)
    return grad_deviation * _centred(x, axes)


@computed_in_float32
def median(x: Array, *, axis: int = -1, keepdims: bool = False) -> Array:
    """Median along an axis: the middle order statistic, or the mean of the middle two."""
    return _interpolated_order_statistic(x, 50.0, axis, keepdims)


@computed_in_float32
def median_backward(upstream: Array, x: Array, *, axis: int = -1) -> Array:
    """Pull upstream u back through a median.

    grad_x_i = u at the middle element, or u / 2 at each of the middle two; 0 elsewhere.

    Source: away from ties the order is locally constant, and so the median is linear in x.
    """
    return _scattered_to_ranks(upstream, x, 50.0, axis)


@computed_in_float32
def percentile(x: Array, *, q: float, axis: int = -1, keepdims: bool = False) -> Array:
    """Percentile along an axis, for 0 <= q <= 100, with linear interpolation.

    With x_(0) <= ... <= x_(n-1) in order, p = (n - 1) q / 100, k = floor(p) and t = p - k: (1 - t) x_(k) + t x_(k+1).

    Source: definition 7 of Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996.
    """
    return _interpolated_order_statistic(x, q, axis, keepdims)


@computed_in_float32
def percentile_backward(upstream: Array, x: Array, *, q: float, axis: int = -1) -> Array:
    """Pull upstream u back through a percentile.

    grad_x_i = u (1 - t) at x_(k), u t at x_(k+1), 0 elsewhere; k and t as in the forward.

    Source: away from ties the order is locally constant, and so the percentile is linear in x.
    """
    return _scattered_to_ranks(upstream, x, q, axis)


@computed_in_float32
def logsumexp(x: Array, *, axes: Axes = None, keepdims: bool = False) -> Array:
    """Logarithm of a sum of exponentials over axes: y = m + ln sum_i e^(x_i - m), with m = max_i x_i.

    Source: Blanchard, Higham and Higham, Accurately Computing the Log-Sum-Exp and Softmax Functions, 2021.
    """
    reduced = _reduced_axes(axes, x.ndim)
    maximum = x.max(axis=reduced, keepdims=True)
    output: Array = maximum + np.log(np.exp(x - maximum).sum(axis=reduced, keepdims=True))
    return output if keepdims else output.squeeze(axis=reduced)


@computed_in_float32
def logsumexp_backward(upstream: Array, x: Array, *, axes: Axes = None) -> Array:
    """Pull upstream u back through logsumexp: grad_x = u softmax(x) over the reduced axes.

    The softmax is computed afresh: e^(x - y) from the saved output y would carry y's rounding, which grows with |y|.

    Source: as the forward.
    """
    reduced = _reduced_axes(axes, x.ndim)
    weight = np.exp(x - x.max(axis=reduced, keepdims=True))
    softmax: Array = weight / weight.sum(axis=reduced, keepdims=True)
    return _with_reduced_axes(upstream, x.shape, axes) * softmax


@computed_in_float32
def cumsum(x: Array, *, axis: int = -1) -> Array:
    """Cumulative sum along an axis: y_j = sum_{i <= j} x_i."""
    output: Array = x.cumsum(axis=axis)
    return output


@computed_in_float32
def cumsum_backward(upstream: Array, *, axis: int = -1) -> Array:
    """Pull upstream u back through a cumulative sum: grad_x_i = sum_{j >= i} u_j, a cumulative sum from the end.

    Source: the transpose of the lower triangular matrix of ones.
    """
    return np.flip(np.flip(upstream, axis).cumsum(axis=axis), axis)


def _reduced_axes(axes: Axes, ndim: int) -> tuple[int, ...]:
    if axes is None:
        return tuple(range(ndim))
    if isinstance(axes, int):
        return (axes % ndim,)
    return tuple(axis % ndim for axis in axes)


def _with_reduced_axes(reduction: Array, shape: tuple[int, ...], axes: Axes) -> Array:
    """Reshape the result of a reduction so that it broadcasts against the input: reduced axes have size one."""
    reduced = _reduced_axes(axes, len(shape))
    return reduction.reshape([1 if axis in reduced else size for axis, size in enumerate(shape)])


def _count(shape: tuple[int, ...], axes: Axes) -> int:
    return math.prod(shape[axis] for axis in _reduced_axes(axes, len(shape)))


def _centred(x: Array, axes: Axes) -> Array:
    reduced = _reduced_axes(axes, x.ndim)
    deviation: Array = x - x.mean(axis=reduced, keepdims=True)
    # Far from zero the mean is rounded by more than a small deviation is worth; what it lost is the mean that is left.
    remainder: Array = deviation.mean(axis=reduced, keepdims=True)
    return deviation - remainder


def _share_among_attaining(upstream: Array, x: Array, extremum: Array, axes: Axes) -> Array:
    attaining: Array = x == _with_reduced_axes(extremum, x.shape, axes)
    ties: Array = attaining.sum(axis=_reduced_axes(axes, x.ndim), keepdims=True, dtype=x.dtype)
    return _with_reduced_axes(upstream, x.shape, axes) / ties * attaining


def _interpolated_order_statistic(x: Array, q: float, axis: int, keepdims: bool) -> Array:
    lower, upper, fraction = _position(x.shape[axis], q)
    ordered = np.sort(x, axis=axis)
    below, above = ordered.take([lower], axis=axis), ordered.take([upper], axis=axis)
    output: Array = below + fraction * (above - below)
    return output if keepdims else output.squeeze(axis=axis)


def _scattered_to_ranks(upstream: Array, x: Array, q: float, axis: int) -> Array:
    if not x.size:
        return np.zeros_like(x)
    lower, upper, fraction = _position(x.shape[axis], q)
    weight = np.zeros(x.shape[axis], dtype=x.dtype)
    weight[lower] = 1.0 - fraction
    weight[upper] += fraction
    # Sorting twice ranks: the inverse of a permutation is its argsort.
    rank = x.argsort(axis=axis).argsort(axis=axis)
    return _with_reduced_axes(upstream, x.shape, axis) * weight[rank]


def _position(count: int, q: float) -> tuple[int, int, float]:
    """Find the two neighbouring ranks that the percentile q lies between, and how far past the lower one."""
    position = (count - 1) * q / 100.0
    lower = math.floor(position)
    return lower, math.ceil(position), position - lower
