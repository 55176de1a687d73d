"""Normalizations, and the backward of each: standardize over some axes, then scale and shift.

They differ in the axes that share a mean and a variance. With z = (x - mean) / sqrt(var + eps) all of them are
y = gamma * z + beta, and where mean and var are those of x the gradients are, with upstream u and g = gamma * u,

    grad_x = (g - mean(g) - z * mean(g * z)) / sqrt(var + eps),  grad_gamma = sum(u * z),  grad_beta = sum(u),

means over the axes that share statistics, sums over those that share gamma and beta. var is the biased variance, the
mean of the squared deviations. Channels are axis 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]
Axes = tuple[int, ...]


@computed_in_float32
def batch_norm2d(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    eps: float = 1e-5,
    training: bool = True,
) -> Array:
    """Standardize each channel, by the statistics of the batch in training and by the running ones in inference.

    In training mean and var are those of x over (N, H, W). To update the running statistics by them is a side effect of
    a training step and no part of this function, which ignores them then.

    Shapes: x is (N, C, H, W), the others (C,); returns (N, C, H, W).

    Raises ValueError in inference without running statistics.

    Source: Ioffe and Szegedy, Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate
    Shift, 2015, algorithms 1 and 2.
    """
    z, _ = _batch_standardized(x, running_mean, running_var, eps, training)
    return _along_channels(gamma, x.ndim) * z + _along_channels(beta, x.ndim)


@computed_in_float32
def batch_norm2d_backward(
    upstream: Array,
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    *,
    eps: float = 1e-5,
    training: bool = True,
) -> tuple[Array, Array, Array]:
    """VJP of batch_norm2d with respect to x, gamma and beta.

    In training as at the top of this module, with means and sums over (N, H, W). In inference the statistics do not
    depend on x, and grad_x = gamma * upstream / sqrt(running_var + eps).

    Shapes: upstream is (N, C, H, W); returns (N, C, H, W), (C,) and (C,).
    """
    z, inverse_std = _batch_standardized(x, running_mean, running_var, eps, training)
    grad_z = _along_channels(gamma, x.ndim) * upstream
    grad_x = _standardized_backward(grad_z, z, inverse_std, (0, 2, 3)) if training else grad_z * inverse_std
    return grad_x, (upstream * z).sum(axis=(0, 2, 3)), upstream.sum(axis=(0, 2, 3))


def _batch_standardized(
    x: Array, running_mean: Array | None, running_var: Array | None, eps: float, training: bool
) -> tuple[Array, Array]:
    if training:
        return _standardized(x, (0, 2, 3), eps)
    if running_mean is None or running_var is None:
        raise ValueError("batch_norm2d with training=False needs the inputs running_mean and running_var")
    inverse_std = 1.0 / np.sqrt(_along_channels(running_var, x.ndim) + eps)
    return (x - _along_channels(running_mean, x.ndim)) * inverse_std, inverse_std


@computed_in_float32
def layer_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> Array:
    """Standardize over the last axes, as many as gamma has.

    Shapes: x is (..., *S), gamma and beta are S; returns (..., *S).

    Source: Ba, Kiros and Hinton, Layer Normalization, 2016.
    """
    z, _ = _standardized(x, _last_axes(gamma.ndim), eps)
    return gamma * z + beta


@computed_in_float32
def layer_norm_backward(
    upstream: Array, x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """VJP of layer_norm, as at the top of this module: means over the last axes, sums over the others.

    Shapes: upstream is (..., *S); returns gradients of the shapes of x, gamma and beta.
    """
    z, inverse_std = _standardized(x, _last_axes(gamma.ndim), eps)
    grad_x = _standardized_backward(gamma * upstream, z, inverse_std, _last_axes(gamma.ndim))
    leading = tuple(range(x.ndim - gamma.ndim))
    return grad_x, (upstream * z).sum(axis=leading), upstream.sum(axis=leading)


@computed_in_float32
def group_norm(x: Array, gamma: Array, beta: Array, *, groups: int, eps: float = 1e-5) -> Array:
    """Standardize groups of C / groups neighbouring channels, each image by itself.

    Shapes: x is (N, C, ...), gamma and beta are (C,); returns (N, C, ...).

    Source: Wu and He, Group Normalization, 2018.
    """
    z, _ = _standardized(x.reshape(len(x), groups, -1), (2,), eps)
    return _along_channels(gamma, x.ndim) * z.reshape(x.shape) + _along_channels(beta, x.ndim)


@computed_in_float32
def group_norm_backward(
    upstream: Array, x: Array, gamma: Array, beta: Array, *, groups: int, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """VJP of group_norm, as at the top of this module: means over a group, sums over all axes but the channels'.

    Shapes: upstream is (N, C, ...); returns (N, C, ...), (C,) and (C,).
    """
    grouped = len(x), groups, -1
    z, inverse_std = _standardized(x.reshape(grouped), (2,), eps)
    grad_z = (_along_channels(gamma, x.ndim) * upstream).reshape(grouped)
    grad_x = _standardized_backward(grad_z, z, inverse_std, (2,)).reshape(x.shape)
    others = _all_but_channels(x.ndim)
    return grad_x, (upstream * z.reshape(x.shape)).sum(axis=others), upstream.sum(axis=others)


@computed_in_float32
def instance_norm(x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5) -> Array:
    """Standardize each channel of each image by itself.

    Shapes: x is (N, C, ...) with at least one axis after C, gamma and beta are (C,); returns (N, C, ...).

    Source: Ulyanov, Vedaldi and Lempitsky, Instance Normalization: The Missing Ingredient for Fast Stylization, 2016.
    """
    z, _ = _standardized(x, _last_axes(x.ndim - 2), eps)
    return _along_channels(gamma, x.ndim) * z + _along_channels(beta, x.ndim)


@computed_in_float32
def instance_norm_backward(
    upstream: Array, x: Array, gamma: Array, beta: Array, *, eps: float = 1e-5
) -> tuple[Array, Array, Array]:
    """VJP of instance_norm, as at the top of this module: means over a channel of an image, sums over all channels.

    Shapes: upstream is (N, C, ...); returns (N, C, ...), (C,) and (C,).
    """
    axes = _last_axes(x.ndim - 2)
    z, inverse_std = _standardized(x, axes, eps)
    grad_x = _standardized_backward(_along_channels(gamma, x.ndim) * upstream, z, inverse_std, axes)
    others = _all_but_channels(x.ndim)
    return grad_x, (upstream * z).sum(axis=others), upstream.sum(axis=others)


def _standardized(x: Array, axes: Axes, eps: float) -> tuple[Array, Array]:
    """Return z = (x - mean) / sqrt(var + eps) and 1 / sqrt(var + eps), with statistics over the axes."""
    # Where the mean is large beside the deviation, E[x^2] - E[x]^2 cancels, and the rounding of the mean alone shifts
    # every deviation; their own mean is that shift.
    deviation = x - x.mean(axis=axes, keepdims=True)
    deviation = deviation - deviation.mean(axis=axes, keepdims=True)
    inverse_std = 1.0 / np.sqrt(np.square(deviation).mean(axis=axes, keepdims=True) + eps)
    return deviation * inverse_std, inverse_std


def _standardized_backward(upstream: Array, z: Array, inverse_std: Array, axes: Axes) -> Array:
    """Return (g - mean(g) - z * mean(g * z)) / sqrt(var + eps), g the upstream.

    Standardizing forgets offset and scale, so what is left of g has no component along either (but for eps).
    """
    offset = upstream.mean(axis=axes, keepdims=True)
    scale = (upstream * z).mean(axis=axes, keepdims=True)
    remainder: Array = upstream - offset - z * scale
    return remainder * inverse_std


def _along_channels(per_channel: Array, ndim: int) -> Array:
    return per_channel.reshape(-1, *(1,) * (ndim - 2))


def _all_but_channels(ndim: int) -> Axes:
    return 0, *range(2, ndim)


def _last_axes(count: int) -> Axes:
    return tuple(range(-count, 0))
