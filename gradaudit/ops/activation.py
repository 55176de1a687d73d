"""Activation functions, and the backward of each.

`x` has any shape unless a docstring says otherwise; `upstream`, `output` and the gradient have the shape of `x`.
At a kink the backward takes the derivative from the left.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
GELU_CUBIC = 0.044715


@computed_in_float32
def relu(x: Array) -> Array:
    """Rectified linear unit: max(x, 0).

    Source: Nair and Hinton, Rectified Linear Units Improve Restricted Boltzmann Machines, 2010.
    """
    return np.maximum(x, 0.0)


@computed_in_float32
def relu_backward(upstream: Array, x: Array) -> Array:
    """VJP of relu: upstream where x > 0, else 0."""
    return np.where(x > 0.0, upstream, 0.0)


@computed_in_float32
def leaky_relu(x: Array, *, slope: float = 0.01) -> Array:
    """Leaky rectifier: x where x > 0, else slope * x.

    Source: Maas, Hannun and Ng, Rectifier Nonlinearities Improve Neural Network Acoustic Models, 2013.
    """
    return np.where(x > 0.0, x, slope * x)


@computed_in_float32
def leaky_relu_backward(upstream: Array, x: Array, *, slope: float = 0.01) -> Array:
    """VJP of leaky_relu: upstream where x > 0, else slope * upstream."""
    return np.where(x > 0.0, upstream, slope * upstream)


@computed_in_float32
def prelu(x: Array, slope: Array) -> Array:
    """Leaky rectifier with a learned slope for each channel: x where x > 0, else slope * x.

    Shapes: x is (N, C, ...), slope is (C,).

    Source: He, Zhang, Ren and Sun, Delving Deep into Rectifiers, 2015.
    """
    return np.where(x > 0.0, x, _along_channels(slope, x.ndim) * x)


@computed_in_float32
def prelu_backward(upstream: Array, x: Array, slope: Array) -> tuple[Array, Array]:
    """VJP of prelu.

    grad_x is upstream where x > 0, else slope * upstream; grad_slope is the sum of upstream * min(x, 0) over every
    axis but the channels'.

    Shapes: upstream and x are (N, C, ...), slope is (C,); returns (N, C, ...) and (C,).
    """
    grad_x = np.where(x > 0.0, upstream, _along_channels(slope, x.ndim) * upstream)
    grad_slope = (upstream * np.minimum(x, 0.0)).sum(axis=(0, *range(2, x.ndim)))
    return grad_x, grad_slope


def _along_channels(per_channel: Array, ndim: int) -> Array:
    return per_channel.reshape(-1, *(1,) * (ndim - 2))


@computed_in_float32
def sigmoid(x: Array) -> Array:
    """Logistic function: 1 / (1 + exp(-x)).

    Source: textbook identity.
    """
    # exp(-|x|) never overflows, and keeps the relative precision of the left tail, which (1 + tanh(x / 2)) / 2 loses.
    decay = np.exp(-np.abs(x))
    return np.where(x >= 0.0, 1.0, decay) / (1.0 + decay)


@computed_in_float32
def sigmoid_backward(upstream: Array, output: Array) -> Array:
    """VJP of sigmoid, in terms of its output: upstream * output * (1 - output)."""
    return upstream * output * (1.0 - output)


@computed_in_float32
def tanh(x: Array) -> Array:
    """Hyperbolic tangent.

    Source: textbook identity.
    """
    return np.tanh(x)


@computed_in_float32
def tanh_backward(upstream: Array, output: Array) -> Array:
    """VJP of tanh, in terms of its output: upstream * (1 - output^2)."""
    # 1 - output is exact where |output| is near 1; 1 - output^2 would cancel there.
    return upstream * (1.0 - output) * (1.0 + output)


@computed_in_float32
def softmax(x: Array, *, axis: int = -1) -> Array:
    """Normalised exponentials along an axis: exp(x_i) / sum_j exp(x_j).

    Shapes: x has at least one axis.

    Source: Bridle, Probabilistic Interpretation of Feedforward Classification Network Outputs, 1990.
    """
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


@computed_in_float32
def softmax_backward(upstream: Array, output: Array, *, axis: int = -1) -> Array:
    """VJP of softmax, in terms of its output y: y_i * (upstream_i - sum_j upstream_j y_j)."""
    return output * (upstream - (upstream * output).sum(axis=axis, keepdims=True))


@computed_in_float32
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """Logarithm of softmax along an axis: x_i - log sum_j exp(x_j).

    Shapes: x has at least one axis.

    Source: textbook identity; subtracting the maximum first leaves it unchanged and keeps exp from overflowing.
    """
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


@computed_in_float32
def log_softmax_backward(upstream: Array, output: Array, *, axis: int = -1) -> Array:
    """VJP of log_softmax, in terms of its output y: upstream_i - exp(y_i) * sum_j upstream_j."""
    return upstream - np.exp(output) * upstream.sum(axis=axis, keepdims=True)


@computed_in_float32
def gelu(x: Array) -> Array:
    """Gaussian error linear unit: x * Phi(x), Phi the standard normal distribution function.

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (GELUs), 2016.
    """
    return x * _normal_cdf(x)


@computed_in_float32
def gelu_backward(upstream: Array, x: Array) -> Array:
    """VJP of gelu: upstream * (Phi(x) + x * phi(x)), phi the standard normal density."""
    density = np.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    return upstream * (_normal_cdf(x) + x * density)


def _normal_cdf(x: Array) -> Array:
    # Importing scipy.special takes 0.3 s, which every start of gradaudit would pay if this stood at the top.
    from scipy.special import erfc

    # Phi(x) = (1 + erf(x / sqrt(2))) / 2 cancels in the left tail; the complementary function does not.
    return 0.5 * erfc(x / -math.sqrt(2.0))


@computed_in_float32
def gelu_tanh(x: Array) -> Array:
    """GELU with Phi approximated by a tanh: x * (1 + tanh(z)) / 2, z = sqrt(2 / pi) * (x + 0.044715 x^3).

    Source: Hendrycks and Gimpel, Gaussian Error Linear Units (GELUs), 2016.
    """
    return x * sigmoid(2.0 * _gelu_tanh_argument(x))


@computed_in_float32
def gelu_tanh_backward(upstream: Array, x: Array) -> Array:
    """VJP of gelu_tanh: upstream * (s + x * s * (1 - s) * 2 dz/dx), s = sigmoid(2 z) = (1 + tanh(z)) / 2."""
    s = sigmoid(2.0 * _gelu_tanh_argument(x))
    slope = math.sqrt(2.0 / math.pi) * (1.0 + 3.0 * GELU_CUBIC * x * x)
    return upstream * (s + x * s * (1.0 - s) * 2.0 * slope)


def _gelu_tanh_argument(x: Array) -> Array:
    return math.sqrt(2.0 / math.pi) * x * (1.0 + GELU_CUBIC * x * x)


@computed_in_float32
def swish(x: Array, *, beta: float = 1.0) -> Array:
    """Swish, for beta = 1 also called SiLU: x * sigmoid(beta * x).

    Source: Ramachandran, Zoph and Le, Searching for Activation Functions, 2017.
    """
    return x * sigmoid(beta * x)


@computed_in_float32
def swish_backward(upstream: Array, x: Array, *, beta: float = 1.0) -> Array:
    """VJP of swish: upstream * (s + beta * x * s * (1 - s)), s = sigmoid(beta * x)."""
    s = sigmoid(beta * x)
    return upstream * (s + beta * x * s * (1.0 - s))


@computed_in_float32
def mish(x: Array) -> Array:
    """Mish: x * tanh(softplus(x)).

    Source: Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019.
    """
    return x * np.tanh(softplus(x))


@computed_in_float32
def mish_backward(upstream: Array, x: Array) -> Array:
    """VJP of mish: upstream * (t + x * (1 - t^2) * sigmoid(x)), t = tanh(softplus(x))."""
    t = np.tanh(softplus(x))
    return upstream * (t + x * (1.0 - t) * (1.0 + t) * sigmoid(x))


@computed_in_float32
def elu(x: Array, *, alpha: float = 1.0) -> Array:
    """Exponential linear unit: x where x > 0, else alpha * (exp(x) - 1).

    Source: Clevert, Unterthiner and Hochreiter, Fast and Accurate Deep Network Learning by Exponential Linear Units
    (ELUs), 2015.
    """
    # np.where evaluates both branches: without the minimum, a large positive x would overflow in the one not taken.
    return np.where(x > 0.0, x, alpha * np.expm1(np.minimum(x, 0.0)))


@computed_in_float32
def elu_backward(upstream: Array, x: Array, *, alpha: float = 1.0) -> Array:
    """VJP of elu: upstream where x > 0, else upstream * alpha * exp(x)."""
    return upstream * np.where(x > 0.0, 1.0, alpha * np.exp(np.minimum(x, 0.0)))


@computed_in_float32
def selu(x: Array) -> Array:
    """Scaled exponential linear unit: SELU_SCALE * elu(x, alpha=SELU_ALPHA).

    The two constants make mean 0 and variance 1 a fixed point from layer to layer.

    Source: Klambauer, Unterthiner, Mayr and Hochreiter, Self-Normalizing Neural Networks, 2017.
    """
    return SELU_SCALE * elu(x, alpha=SELU_ALPHA)


@computed_in_float32
def selu_backward(upstream: Array, output: Array) -> Array:
    """VJP of selu, in terms of its output y.

    upstream * SELU_SCALE where y > 0, else upstream * (y + SELU_SCALE * SELU_ALPHA).
    """
    return upstream * np.where(output > 0.0, SELU_SCALE, output + SELU_SCALE * SELU_ALPHA)


@computed_in_float32
def hard_sigmoid(x: Array) -> Array:
    """Piecewise linear sigmoid: x / 6 + 1 / 2, clipped to [0, 1].

    Source: Howard et al., Searching for MobileNetV3, 2019.
    """
    return np.clip(x / 6.0 + 0.5, 0.0, 1.0)


@computed_in_float32
def hard_sigmoid_backward(upstream: Array, x: Array) -> Array:
    """VJP of hard_sigmoid: upstream / 6 where -3 < x <= 3, else 0."""
    return np.where((x > -3.0) & (x <= 3.0), upstream / 6.0, 0.0)


@computed_in_float32
def hard_swish(x: Array) -> Array:
    """Piecewise quadratic swish: x * hard_sigmoid(x).

    Source: Howard et al., Searching for MobileNetV3, 2019.
    """
    return x * hard_sigmoid(x)


@computed_in_float32
def hard_swish_backward(upstream: Array, x: Array) -> Array:
    """VJP of hard_swish: 0 where x <= -3, upstream where x > 3, upstream * (x / 3 + 1 / 2) between."""
    return upstream * np.where(x > 3.0, 1.0, np.where(x > -3.0, x / 3.0 + 0.5, 0.0))


@computed_in_float32
def hard_tanh(x: Array, *, lower: float = -1.0, upper: float = 1.0) -> Array:
    """Piecewise linear tanh: x clipped to [lower, upper].

    Source: Collobert, Large Scale Machine Learning, 2004.
    """
    return np.clip(x, lower, upper)


@computed_in_float32
def hard_tanh_backward(upstream: Array, x: Array, *, lower: float = -1.0, upper: float = 1.0) -> Array:
    """VJP of hard_tanh: upstream where lower < x <= upper, else 0."""
    return np.where((x > lower) & (x <= upper), upstream, 0.0)


@computed_in_float32
def softplus(x: Array, *, beta: float = 1.0) -> Array:
    """Smooth rectifier: log(1 + exp(beta * x)) / beta.

    Source: Dugas, Bengio, Belisle, Nadeau and Garcia, Incorporating Second-Order Functional Knowledge for Better
    Option Pricing, 2000.
    """
    return np.logaddexp(0.0, beta * x) / beta


@computed_in_float32
def softplus_backward(upstream: Array, x: Array, *, beta: float = 1.0) -> Array:
    """VJP of softplus: upstream * sigmoid(beta * x)."""
    return upstream * sigmoid(beta * x)
