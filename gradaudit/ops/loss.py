"""Loss functions, and the backward of each. All return a scalar, the mean over elements or over distributions.

`upstream` is the scalar gradient with respect to the loss. Targets of classification losses are data: they have no
gradient. The other losses are differentiable in both inputs, since either may be a network's output.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.ops.activation import log_softmax, sigmoid, softmax, softplus
from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]


@computed_in_float32
def cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0, ignore_index: int = -100) -> Array:
    """Cross-entropy of softmax(logits) with integer labels: -mean_n sum_c q_nc log p_nc, p = softmax(logits).

    q mixes the one-hot distribution with the uniform one: q_nc = (1 - s) * [c = label_n] + s / C, s = label_smoothing.
    Rows labelled ignore_index count neither in the sum nor in the mean; the loss of no rows at all is 0.

    Shapes: logits are (..., C), labels (...) with values in 0..C-1 or ignore_index; returns a scalar.

    Source: textbook identity; smoothing from Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, Rethinking the Inception
    Architecture for Computer Vision, 2016.
    """
    q = _target_distributions(labels, label_smoothing, ignore_index, like=logits)
    return -(q * log_softmax(logits)).sum()


@computed_in_float32
def cross_entropy_backward(
    upstream: Array, logits: Array, labels: Array, *, label_smoothing: float = 0.0, ignore_index: int = -100
) -> Array:
    """VJP of cross_entropy with respect to logits: upstream * (p - q) / N in the N rows that count, 0 in the others.

    Shapes: upstream is a scalar, logits (..., C), labels (...); returns (..., C).
    """
    q = _target_distributions(labels, label_smoothing, ignore_index, like=logits)
    return upstream * (softmax(logits) * q.sum(axis=-1, keepdims=True) - q)


def _target_distributions(labels: Array, label_smoothing: float, ignore_index: int, *, like: Array) -> Array:
    """Return the target distribution of each row times the row's weight in the mean: 1 / N, or 0 if ignored."""
    classes = like.shape[-1]
    one_hot = labels[..., None] == np.arange(classes)
    kept = labels != ignore_index
    weight = kept[..., None] / max(np.count_nonzero(kept), 1)
    return (((1.0 - label_smoothing) * one_hot + label_smoothing / classes) * weight).astype(like.dtype)


@computed_in_float32
def binary_cross_entropy(probability: Array, target: Array) -> Array:
    """Cross-entropy of Bernoulli probabilities p with targets t: -mean(t log p + (1 - t) log(1 - p)).

    Shapes: both (...), probabilities in the open interval (0, 1), targets in [0, 1]; returns a scalar.

    Source: textbook identity.
    """
    return -(target * np.log(probability) + (1.0 - target) * np.log1p(-probability)).mean()


@computed_in_float32
def binary_cross_entropy_backward(upstream: Array, probability: Array, target: Array) -> Array:
    """VJP of binary_cross_entropy with respect to p: upstream * (p - t) / (p (1 - p)) / N, N the number of elements.

    Shapes: upstream is a scalar, the others (...); returns (...).
    """
    return upstream * (probability - target) / (probability * (1.0 - probability) * probability.size)


@computed_in_float32
def binary_cross_entropy_with_logits(logits: Array, target: Array, *, positive_weight: float = 1.0) -> Array:
    """Cross-entropy of sigmoid(x) with targets t: mean(w t softplus(-x) + (1 - t) softplus(x)), w = positive_weight.

    Shapes: logits x and target are (...), targets in [0, 1]; returns a scalar.

    Source: textbook identity; -log sigmoid(x) = softplus(-x) stays finite where sigmoid(x) rounds to 0.
    """
    return (positive_weight * target * softplus(-logits) + (1.0 - target) * softplus(logits)).mean()


@computed_in_float32
def binary_cross_entropy_with_logits_backward(
    upstream: Array, logits: Array, target: Array, *, positive_weight: float = 1.0
) -> Array:
    """VJP of binary_cross_entropy_with_logits with respect to x.

    upstream * ((1 - t) sigmoid(x) - w t sigmoid(-x)) / N. For w = 1 the bracket is sigmoid(x) - t, written so that it
    does not cancel where the prediction is confident and right.

    Shapes: upstream is a scalar, the others (...); returns (...).
    """
    slope = (1.0 - target) * sigmoid(logits) - positive_weight * target * sigmoid(-logits)
    return upstream * slope / logits.size


@computed_in_float32
def mean_squared_error(prediction: Array, target: Array) -> Array:
    """Mean squared error: mean((prediction - target)^2).

    Shapes: both (...); returns a scalar.

    Source: textbook identity.
    """
    return np.square(prediction - target).mean()


@computed_in_float32
def mean_squared_error_backward(upstream: Array, prediction: Array, target: Array) -> tuple[Array, Array]:
    """VJP of mean_squared_error: upstream * 2 (prediction - target) / N, and minus that for target.

    Shapes: upstream is a scalar, the others (...); returns two of (...).
    """
    grad_prediction = upstream * (prediction - target) * (2.0 / prediction.size)
    return grad_prediction, -grad_prediction


@computed_in_float32
def smooth_l1(prediction: Array, target: Array, *, beta: float = 1.0) -> Array:
    """Squared error near 0, absolute error beyond: mean of d^2 / (2 beta) where |d| < beta, else |d| - beta / 2.

    d = prediction - target. This is Huber's loss divided by beta.

    Shapes: both (...); returns a scalar.

    Source: Girshick, Fast R-CNN, 2015; Huber, Robust Estimation of a Location Parameter, 1964.
    """
    distance = np.abs(prediction - target)
    quadratic = np.minimum(distance, beta)
    return (quadratic * quadratic / (2.0 * beta) + (distance - quadratic)).mean()


@computed_in_float32
def smooth_l1_backward(upstream: Array, prediction: Array, target: Array, *, beta: float = 1.0) -> tuple[Array, Array]:
    """VJP of smooth_l1: upstream * (d / beta clipped to [-1, 1]) / N, and minus that for target.

    Shapes: upstream is a scalar, the others (...); returns two of (...).
    """
    grad_prediction = upstream * np.clip((prediction - target) / beta, -1.0, 1.0) / prediction.size
    return grad_prediction, -grad_prediction


@computed_in_float32
def hinge(score: Array, target: Array, *, margin: float = 1.0) -> Array:
    """Hinge loss of a binary classifier: mean(max(0, margin - target * score)).

    Shapes: both (...), targets -1 or 1; returns a scalar.

    Source: Cortes and Vapnik, Support-Vector Networks, 1995.
    """
    return np.maximum(margin - target * score, 0.0).mean()


@computed_in_float32
def hinge_backward(upstream: Array, score: Array, target: Array, *, margin: float = 1.0) -> Array:
    """VJP of hinge with respect to score: -upstream * target / N where target * score < margin, else 0.

    Shapes: upstream is a scalar, the others (...); returns (...).
    """
    return np.where(target * score < margin, -upstream * target / score.size, 0.0)


@computed_in_float32
def focal(logits: Array, target: Array, *, gamma: float = 2.0, alpha: float = 0.25) -> Array:
    """Focal loss of a binary classifier: mean(-alpha_t (1 - p_t)^gamma log p_t).

    p_t is the probability given to the true class: with z = x for target 1 and z = -x for target 0, p_t = sigmoid(z),
    1 - p_t = sigmoid(-z) and -log p_t = softplus(-z). alpha_t is alpha for target 1, 1 - alpha for target 0.

    Shapes: logits x and target are (...), targets 0 or 1; returns a scalar.

    Source: Lin, Goyal, Girshick, He and Dollar, Focal Loss for Dense Object Detection, 2017.
    """
    z = (2.0 * target - 1.0) * logits
    return (_class_weight(target, alpha) * sigmoid(-z) ** gamma * softplus(-z)).mean()


@computed_in_float32
def focal_backward(upstream: Array, logits: Array, target: Array, *, gamma: float = 2.0, alpha: float = 0.25) -> Array:
    """VJP of focal with respect to x.

    -upstream * (dz/dx) * alpha_t (1 - p_t)^gamma * (1 - p_t - gamma p_t log p_t) / N, where dz/dx is 1 for target 1
    and -1 for target 0.

    Shapes: upstream is a scalar, the others (...); returns (...).
    """
    sign = 2.0 * target - 1.0
    z = sign * logits
    miss = sigmoid(-z)
    slope = miss**gamma * (miss + gamma * sigmoid(z) * softplus(-z))
    return -upstream * sign * _class_weight(target, alpha) * slope / logits.size


def _class_weight(target: Array, alpha: float) -> Array:
    return alpha * target + (1.0 - alpha) * (1.0 - target)


@computed_in_float32
def kl_divergence(log_p: Array, log_q: Array) -> Array:
    """Kullback-Leibler divergence of Q from P: mean_n sum_c p_nc (log p_nc - log q_nc).

    Both come as log-probabilities, so that no probability can underflow to a zero whose logarithm is infinite.

    Shapes: both (..., C), finite; returns a scalar, the mean over all axes but the last.

    Source: Kullback and Leibler, On Information and Sufficiency, 1951.
    """
    return (np.exp(log_p) * (log_p - log_q)).sum(axis=-1).mean()


@computed_in_float32
def kl_divergence_backward(upstream: Array, log_p: Array, log_q: Array) -> tuple[Array, Array]:
    """VJP of kl_divergence: upstream * p (log p - log q + 1) / N for log_p, -upstream * p / N for log_q.

    N is the number of distributions.

    Shapes: upstream is a scalar, the others (..., C); returns two of (..., C).
    """
    weighted_p = upstream * np.exp(log_p) * (log_p.shape[-1] / log_p.size)
    return weighted_p * (log_p - log_q + 1.0), -weighted_p
