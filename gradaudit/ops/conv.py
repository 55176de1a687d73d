"""Convolutions of images, and the backward of each.

A convolution is a matrix product with the windows of its input. Its backward is the transpose of that product and then
the transpose of taking windows, which adds overlapping windows up again. As everywhere in deep learning, "convolution"
means cross-correlation: kernels are not flipped.

Images are (N, C, H, W). A `Size` is one integer for both axes or a pair (vertical, horizontal).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]
Size = int | Sequence[int]


def windows(
    x: Array, kernel: Size, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1, fill: float = 0.0
) -> Array:
    """View all that a kernel sees while it slides over images.

    w[n, c, i, j, p, q] = padded[n, c, p * stride + i * dilation, q * stride + j * dilation], where padded is x in a
    frame of `fill`, `padding` wide.

    Shapes: x is (N, C, H, W); returns a read-only view (N, C, *kernel, P, Q), with (P, Q) the number of positions.

    Raises ValueError where the kernel does not fit into the padded image.
    """
    (kernel_h, kernel_w), (stride_h, stride_w), (dilation_h, dilation_w) = _pair(kernel), _pair(stride), _pair(dilation)
    padded = _framed(x, _pair(padding), fill)
    images, channels, height, width = padded.shape
    positions_h = (height - dilation_h * (kernel_h - 1) - 1) // stride_h + 1
    positions_w = (width - dilation_w * (kernel_w - 1) - 1) // stride_w + 1
    if positions_h < 1 or positions_w < 1:
        raise ValueError(f"a kernel of {_pair(kernel)}, dilation {_pair(dilation)}, does not fit into {height, width}")
    step_n, step_c, step_h, step_w = padded.strides
    return as_strided(
        padded,
        (images, channels, kernel_h, kernel_w, positions_h, positions_w),
        (step_n, step_c, dilation_h * step_h, dilation_w * step_w, stride_h * step_h, stride_w * step_w),
        writeable=False,
    )


def overlap_add(
    seen: Array, shape: tuple[int, ...], *, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> Array:
    """Add windows up into images: the transpose of `windows`, with the same stride, padding and dilation.

    Each pixel becomes the sum of all window elements that lie on it; elements on the frame are dropped.

    Shapes: seen is (N, C, *kernel, P, Q), shape is (N, C, H, W); returns an array of that shape.
    """
    (stride_h, stride_w), (frame_h, frame_w), (dilation_h, dilation_w) = _pair(stride), _pair(padding), _pair(dilation)
    images, channels, height, width = shape
    kernel_h, kernel_w, positions_h, positions_w = seen.shape[2:]
    padded = np.zeros((images, channels, height + 2 * frame_h, width + 2 * frame_w), seen.dtype)
    for i in range(kernel_h):
        rows = slice(i * dilation_h, i * dilation_h + positions_h * stride_h, stride_h)
        for j in range(kernel_w):
            columns = slice(j * dilation_w, j * dilation_w + positions_w * stride_w, stride_w)
            padded[:, :, rows, columns] += seen[:, :, i, j]
    return padded[:, :, frame_h : frame_h + height, frame_w : frame_w + width]


@computed_in_float32
def conv2d(x: Array, weight: Array, bias: Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Array:
    """Convolve with K filters: y[n, k, p, q] = bias[k] + sum_cij weight[k, c, i, j] w[n, c, i, j, p, q].

    w are the windows of x in a frame of zeros, `padding` wide; they lie `stride` apart, their elements `dilation`.

    Shapes: x is (N, C, H, W), weight (K, C, *kernel), bias (K,); returns (N, K, P, Q).

    Source: LeCun, Bottou, Bengio and Haffner, Gradient-Based Learning Applied to Document Recognition, 1998; dilation
    from Yu and Koltun, Multi-Scale Context Aggregation by Dilated Convolutions, 2016.
    """
    return _convolved(x, weight, stride, padding, dilation) + bias[:, None, None]


@computed_in_float32
def conv2d_backward(
    upstream: Array, x: Array, weight: Array, bias: Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> tuple[Array, Array, Array]:
    """VJP of conv2d, with upstream u and the windows w of x.

    grad_x = overlap_add(sum_k weight[k, c, i, j] u[n, k, p, q]),
    grad_weight[k, c, i, j] = sum_npq u[n, k, p, q] w[n, c, i, j, p, q] and grad_bias[k] = sum_npq u[n, k, p, q].

    Shapes: upstream is (N, K, P, Q); returns gradients of the shapes of x, weight and bias.
    """
    grad_x, grad_weight = _convolved_backward(upstream, x, weight, stride, padding, dilation)
    return grad_x, grad_weight, upstream.sum(axis=(0, 2, 3))


@computed_in_float32
def conv2d_no_bias(x: Array, weight: Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1) -> Array:
    """Convolve with K filters, without a bias: y[n, k, p, q] = sum_cij weight[k, c, i, j] w[n, c, i, j, p, q].

    Shapes: x is (N, C, H, W), weight (K, C, *kernel); returns (N, K, P, Q).

    Source: as for conv2d.
    """
    return _convolved(x, weight, stride, padding, dilation)


@computed_in_float32
def conv2d_no_bias_backward(
    upstream: Array, x: Array, weight: Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> tuple[Array, Array]:
    """VJP of conv2d_no_bias: grad_x and grad_weight of conv2d.

    Shapes: upstream is (N, K, P, Q); returns gradients of the shapes of x and weight.
    """
    return _convolved_backward(upstream, x, weight, stride, padding, dilation)


def _convolved(x: Array, weight: Array, stride: Size, padding: Size, dilation: Size) -> Array:
    seen = windows(x, weight.shape[2:], stride=stride, padding=padding, dilation=dilation)
    positions = seen.shape[4:]
    responses = _as_matrix(weight) @ _as_columns(seen)
    return responses.reshape(len(x), len(weight), *positions)


def _convolved_backward(
    upstream: Array, x: Array, weight: Array, stride: Size, padding: Size, dilation: Size
) -> tuple[Array, Array]:
    seen = windows(x, weight.shape[2:], stride=stride, padding=padding, dilation=dilation)
    by_position = upstream.reshape(*upstream.shape[:2], math.prod(upstream.shape[2:]))
    grad_weight = (by_position @ _as_columns(seen).mT).sum(axis=0).reshape(weight.shape)
    grad_seen = (_as_matrix(weight).T @ by_position).reshape(seen.shape)
    return overlap_add(grad_seen, x.shape, stride=stride, padding=padding, dilation=dilation), grad_weight


def _as_matrix(weight: Array) -> Array:
    return weight.reshape(len(weight), -1)


def _as_columns(seen: Array) -> Array:
    images, channels, kernel_h, kernel_w, positions_h, positions_w = seen.shape
    return seen.reshape(images, channels * kernel_h * kernel_w, positions_h * positions_w)


@computed_in_float32
def depthwise_conv2d(
    x: Array, weight: Array, bias: Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> Array:
    """Convolve each channel with its own filter: y[n, c, p, q] = bias[c] + sum_ij weight[c, i, j] w[n, c, i, j, p, q].

    Shapes: x is (N, C, H, W), weight (C, *kernel), bias (C,); returns (N, C, P, Q).

    Source: Sifre, Rigid-Motion Scattering for Image Classification, 2014.
    """
    return _convolved_by_channel(x, weight, stride, padding, dilation) + bias[:, None, None]


@computed_in_float32
def depthwise_conv2d_backward(
    upstream: Array, x: Array, weight: Array, bias: Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> tuple[Array, Array, Array]:
    """VJP of depthwise_conv2d, with upstream u and the windows w of x.

    grad_x = overlap_add(weight[c, i, j] u[n, c, p, q]),
    grad_weight[c, i, j] = sum_npq u[n, c, p, q] w[n, c, i, j, p, q] and grad_bias[c] = sum_npq u[n, c, p, q].

    Shapes: upstream is (N, C, P, Q); returns gradients of the shapes of x, weight and bias.
    """
    grad_x, grad_weight = _convolved_by_channel_backward(upstream, x, weight, stride, padding, dilation)
    return grad_x, grad_weight, upstream.sum(axis=(0, 2, 3))


@computed_in_float32
def depthwise_separable_conv2d(
    x: Array,
    depthwise: Array,
    pointwise: Array,
    bias: Array,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> Array:
    """Convolve each channel with its own filter, then mix channels: y[n, k] = bias[k] + sum_c pointwise[k, c] h[n, c].

    h is the depthwise convolution of x, without a bias: a pointwise bias makes up for it.

    Shapes: x is (N, C, H, W), depthwise (C, *kernel), pointwise (K, C), bias (K,); returns (N, K, P, Q).

    Source: Chollet, Xception: Deep Learning with Depthwise Separable Convolutions, 2017.
    """
    hidden = _convolved_by_channel(x, depthwise, stride, padding, dilation)
    images, channels, *positions = hidden.shape
    mixed = pointwise @ hidden.reshape(images, channels, -1)
    return mixed.reshape(images, len(pointwise), *positions) + bias[:, None, None]


@computed_in_float32
def depthwise_separable_conv2d_backward(
    upstream: Array,
    x: Array,
    depthwise: Array,
    pointwise: Array,
    bias: Array,
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> tuple[Array, Array, Array, Array]:
    """VJP of depthwise_separable_conv2d, with upstream u: back through the mixing, then through the filters.

    grad_h[n, c] = sum_k pointwise[k, c] u[n, k] is the upstream of the depthwise convolution, which gives grad_x and
    grad_depthwise; grad_pointwise[k, c] = sum_npq u[n, k, p, q] h[n, c, p, q] and grad_bias[k] = sum_npq u[n, k, p, q].

    Shapes: upstream is (N, K, P, Q); returns gradients of the shapes of x, depthwise, pointwise and bias.
    """
    hidden = _convolved_by_channel(x, depthwise, stride, padding, dilation)
    by_position = upstream.reshape(*upstream.shape[:2], -1)
    grad_pointwise = (by_position @ hidden.reshape(*hidden.shape[:2], -1).mT).sum(axis=0)
    grad_hidden = (pointwise.T @ by_position).reshape(hidden.shape)
    grad_x, grad_depthwise = _convolved_by_channel_backward(grad_hidden, x, depthwise, stride, padding, dilation)
    return grad_x, grad_depthwise, grad_pointwise, upstream.sum(axis=(0, 2, 3))


def _convolved_by_channel(x: Array, weight: Array, stride: Size, padding: Size, dilation: Size) -> Array:
    seen = windows(x, weight.shape[1:], stride=stride, padding=padding, dilation=dilation)
    responses: Array = (weight[..., None, None] * seen).sum(axis=(2, 3))
    return responses


def _convolved_by_channel_backward(
    upstream: Array, x: Array, weight: Array, stride: Size, padding: Size, dilation: Size
) -> tuple[Array, Array]:
    seen = windows(x, weight.shape[1:], stride=stride, padding=padding, dilation=dilation)
    by_window = upstream[:, :, None, None]
    grad_weight = (by_window * seen).sum(axis=(0, 4, 5))
    grad_seen = weight[..., None, None] * by_window
    return overlap_add(grad_seen, x.shape, stride=stride, padding=padding, dilation=dilation), grad_weight


def _framed(x: Array, padding: tuple[int, int], fill: float) -> Array:
    frame_h, frame_w = padding
    if frame_h == frame_w == 0:
        return x
    images, channels, height, width = x.shape
    framed = np.full((images, channels, height + 2 * frame_h, width + 2 * frame_w), fill, x.dtype)
    framed[:, :, frame_h : frame_h + height, frame_w : frame_w + width] = x
    return framed


def _pair(size: Size) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    vertical, horizontal = size
    return vertical, horizontal
