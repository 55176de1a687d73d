"""Pooling of images, and the backward of each.

Images are (N, C, H, W). A `Size` is one integer for both axes or a pair (vertical, horizontal). Where the stride is
missing it is the kernel, so that windows lie side by side.
"""

from __future__ import annotations

import math

import numpy as np

from gradaudit.ops.conv import Array, Size, overlap_add, windows
from gradaudit.ops.half_precision import computed_in_float32


@computed_in_float32
def maxpool2d(x: Array, *, kernel: Size, stride: Size | None = None, padding: Size = 0) -> Array:
    """Maximum of each window: y[n, c, p, q] = max_ij w[n, c, i, j, p, q].

    w are the windows of x in a frame of minus infinity, `padding` wide, which never wins.

    Shapes: x is (N, C, H, W); returns (N, C, P, Q).

    Source: Riesenhuber and Poggio, Hierarchical Models of Object Recognition in Cortex, 1999.
    """
    maxima: Array = _candidates(x, kernel, stride, padding).max(axis=(2, 3))
    return maxima


@computed_in_float32
def maxpool2d_backward(
    upstream: Array, x: Array, *, kernel: Size, stride: Size | None = None, padding: Size = 0
) -> Array:
    """VJP of maxpool2d: each window sends its upstream to its maximum; a pixel adds up what all its windows send.

    grad_x = overlap_add(upstream[n, c, p, q] where (i, j) = argmax w[n, c, :, :, p, q], else 0). Among equals the first
    is the maximum.

    Shapes: upstream is (N, C, P, Q), x (N, C, H, W); returns (N, C, H, W).
    """
    candidates = _candidates(x, kernel, stride, padding)
    images, channels, kernel_h, kernel_w, *positions = candidates.shape
    winner = candidates.reshape(images, channels, kernel_h * kernel_w, *positions).argmax(axis=2)
    wins = np.arange(kernel_h * kernel_w).reshape(kernel_h, kernel_w, 1, 1) == winner[:, :, None, None]
    sent = np.where(wins, upstream[:, :, None, None], 0)
    return overlap_add(sent, x.shape, stride=_or_kernel(stride, kernel), padding=padding)


@computed_in_float32
def maxpool2d_with_indices(
    x: Array, *, kernel: Size, stride: Size | None = None, padding: Size = 0
) -> tuple[Array, Array]:
    """Maximum of each window, and the pixel that attains it: y[n, c, p, q] = x[n, c].flat[winner[n, c, p, q]].

    Shapes: x is (N, C, H, W); returns y and winner (int64, in 0..HW-1), both (N, C, P, Q).

    Source: Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014 (who call them switches).
    """
    images, channels, height, width = x.shape
    candidates = _candidates(x, kernel, stride, padding)
    shape = images, channels, *candidates.shape[4:]
    choice = candidates.reshape(images, channels, -1, math.prod(shape[2:])).argmax(axis=2)
    pixels = np.arange(height * width).reshape(1, 1, height, width)
    seen = windows(pixels, kernel, stride=_or_kernel(stride, kernel), padding=padding).reshape(-1, choice.shape[2])
    winner = np.take_along_axis(seen[None], choice, axis=1)
    maxima = np.take_along_axis(x.reshape(images, channels, -1), winner, axis=2)
    return maxima.reshape(shape), winner.reshape(shape)


@computed_in_float32
def maxpool2d_with_indices_backward(upstream: Array, x: Array, winner: Array) -> Array:
    """VJP of maxpool2d_with_indices with respect to y, from the saved winners.

    grad_x[n, c].flat[k] = sum of upstream[n, c, p, q] over the windows with winner[n, c, p, q] = k.

    Shapes: upstream and winner are (N, C, P, Q), x (N, C, H, W); returns (N, C, H, W).
    """
    images, channels, height, width = x.shape
    planes = images * channels
    grad_x = np.zeros((planes, height * width), x.dtype)
    # Not `grad_x[...] += upstream`, which counts a pixel once, however many windows it wins.
    np.add.at(grad_x, (np.arange(planes)[:, None], winner.reshape(planes, -1)), upstream.reshape(planes, -1))
    return grad_x.reshape(x.shape)


@computed_in_float32
def avgpool2d(x: Array, *, kernel: Size, stride: Size | None = None, padding: Size = 0) -> Array:
    """Mean of each window: y[n, c, p, q] = mean_ij w[n, c, i, j, p, q].

    w are the windows of x in a frame of zeros, `padding` wide; the frame counts in the mean.

    Shapes: x is (N, C, H, W); returns (N, C, P, Q).

    Source: LeCun, Boser, Denker, Henderson, Howard, Hubbard and Jackel, Handwritten Digit Recognition with a
    Back-Propagation Network, 1990.
    """
    means: Array = windows(x, kernel, stride=_or_kernel(stride, kernel), padding=padding).mean(axis=(2, 3))
    return means


@computed_in_float32
def avgpool2d_backward(
    upstream: Array, x: Array, *, kernel: Size, stride: Size | None = None, padding: Size = 0
) -> Array:
    """VJP of avgpool2d: each window shares its upstream evenly; a pixel adds up its shares of all windows.

    grad_x = overlap_add(upstream[n, c, p, q] / n), n the number of elements of a window.

    Shapes: upstream is (N, C, P, Q), x (N, C, H, W); returns (N, C, H, W).
    """
    kernel_h, kernel_w = (kernel, kernel) if isinstance(kernel, int) else kernel
    images, channels, *positions = upstream.shape
    share = (upstream / (kernel_h * kernel_w))[:, :, None, None]
    shares = np.broadcast_to(share, (images, channels, kernel_h, kernel_w, *positions))
    return overlap_add(shares, x.shape, stride=_or_kernel(stride, kernel), padding=padding)


@computed_in_float32
def global_avgpool2d(x: Array) -> Array:
    """Mean of each channel: y[n, c] = mean_hw x[n, c, h, w].

    Shapes: x is (N, C, H, W); returns (N, C).

    Source: Lin, Chen and Yan, Network In Network, 2014.
    """
    means: Array = x.mean(axis=(2, 3))
    return means


@computed_in_float32
def global_avgpool2d_backward(upstream: Array, x: Array) -> Array:
    """VJP of global_avgpool2d: grad_x[n, c, h, w] = upstream[n, c] / (H W).

    Shapes: upstream is (N, C), x (N, C, H, W); returns (N, C, H, W).
    """
    height, width = x.shape[2:]
    return np.full(x.shape, upstream[:, :, None, None] / (height * width))


def _candidates(x: Array, kernel: Size, stride: Size | None, padding: Size) -> Array:
    return windows(x, kernel, stride=_or_kernel(stride, kernel), padding=padding, fill=-math.inf)


def _or_kernel(stride: Size | None, kernel: Size) -> Size:
    return kernel if stride is None else stride
