"""Attention, and the backward of each: every query takes a mean of the values, weighted by how its keys match it.

With T queries, S keys and values: q is (..., T, d), k (..., S, d), v (..., S, e) and the output (..., T, e).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.ops.half_precision import computed_in_float32

Array = NDArray[Any]


@computed_in_float32
def scaled_dot_product_attention(q: Array, k: Array, v: Array, *, causal: bool = False) -> Array:
    """Scaled dot-product attention: y = A v, A = softmax(q k^T / sqrt(d)) over the keys.

    Where attention is causal, query i sees the keys 0..i only.

    Source: Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser and Polosukhin, Attention Is All You Need, 2017,
    equation 1.
    """
    return _attention_weights(q, k, _causally_visible(q, k) if causal else None) @ v


@computed_in_float32
def scaled_dot_product_attention_backward(
    upstream: Array, q: Array, k: Array, v: Array, *, causal: bool = False
) -> tuple[Array, Array, Array]:
    """VJP of scaled_dot_product_attention with upstream u: back through the mean, the softmax and the products.

    grad_v = A^T u; grad_A = u v^T; P = A * (grad_A - sum over keys of A * grad_A) / sqrt(d) is the gradient of q k^T;
    grad_q = P k and grad_k = P^T q. A hidden key has A = 0 and so receives nothing.

    Source: as for forward, and the derivative of softmax.
    """
    return _attention_backward(upstream, q, k, v, _causally_visible(q, k) if causal else None)


@computed_in_float32
def masked_attention(q: Array, k: Array, v: Array, mask: Array) -> Array:
    """Scaled dot-product attention to the keys that a mask shows: y = A v, A a softmax over these and 0 elsewhere.

    Shapes: mask broadcasts to (..., T, S), 1 where a query sees a key and 0 where it does not, and shows every query
    at least one key.

    Source: Vaswani et al., Attention Is All You Need, 2017, section 3.2.3.
    """
    return _attention_weights(q, k, mask != 0) @ v


@computed_in_float32
def masked_attention_backward(upstream: Array, q: Array, k: Array, v: Array, mask: Array) -> tuple[Array, Array, Array]:
    """VJP of masked_attention with respect to q, k and v: that of scaled_dot_product_attention, with the masked A."""
    return _attention_backward(upstream, q, k, v, mask != 0)


@computed_in_float32
def multi_head_attention(
    query: Array,
    key: Array,
    value: Array,
    w_query: Array,
    w_key: Array,
    w_value: Array,
    w_output: Array,
    b_query: Array,
    b_value: Array,
    b_output: Array,
    *,
    heads: int,
    causal: bool = False,
) -> Array:
    """Attention with several heads, each on its own projections: y = concatenate(y_1, y_2, ...) w_output + b_output.

    y_h = attention(q_h, k_h, v_h), the h-th of `heads` equal slices, along the last axis, of the projections
    q = query w_query + b_query, k = key w_key and v = value w_value + b_value. Keys have no bias: it would add the same
    number to all scores of a query, softmax ignores that, and its gradient would be zero whatever the loss.

    Shapes: query is (..., T, D), key (..., S, D), value (..., S, E), w_query and w_key (D, heads d),
    w_value (E, heads e), w_output (heads e, O), each bias has the columns of its weight; returns (..., T, O).

    Source: Vaswani et al., Attention Is All You Need, 2017, section 3.2.2.
    """
    q, k, v = _projections(query, key, value, w_query, w_key, w_value, b_query, b_value, heads)
    weights = _attention_weights(q, k, _causally_visible(q, k) if causal else None)
    return _joined(weights @ v) @ w_output + b_output


@computed_in_float32
def multi_head_attention_backward(
    upstream: Array,
    query: Array,
    key: Array,
    value: Array,
    w_query: Array,
    w_key: Array,
    w_value: Array,
    w_output: Array,
    b_query: Array,
    b_value: Array,
    b_output: Array,
    *,
    heads: int,
    causal: bool = False,
) -> tuple[Array, Array, Array, Array, Array, Array, Array, Array, Array, Array]:
    """VJP of multi_head_attention: back through the output projection, the heads and the input projections.

    A projection x w + b has, with its upstream u, grad_x = u w^T, grad_w = x^T u and grad_b = sum of u over tokens; the
    heads have the VJP of scaled_dot_product_attention.

    Shapes: upstream is (..., T, O); returns gradients of the shapes of the ten inputs.
    """
    q, k, v = _projections(query, key, value, w_query, w_key, w_value, b_query, b_value, heads)
    visible = _causally_visible(q, k) if causal else None
    joined = _joined(_attention_weights(q, k, visible) @ v)
    grad_joined, grad_w_output, grad_b_output = _projection_backward(upstream, joined, w_output)
    grad_q, grad_k, grad_v = _attention_backward(_split(grad_joined, heads), q, k, v, visible)
    grad_query, grad_w_query, grad_b_query = _projection_backward(_joined(grad_q), query, w_query)
    grad_key, grad_w_key, _ = _projection_backward(_joined(grad_k), key, w_key)
    grad_value, grad_w_value, grad_b_value = _projection_backward(_joined(grad_v), value, w_value)
    return (
        grad_query,
        grad_key,
        grad_value,
        grad_w_query,
        grad_w_key,
        grad_w_value,
        grad_w_output,
        grad_b_query,
        grad_b_value,
        grad_b_output,
    )


def _attention_weights(q: Array, k: Array, visible: Array | None) -> Array:
    """Return A = softmax(q k^T / sqrt(d)) over the visible keys; the rows of A sum to 1."""
    scores = (q @ k.mT) / math.sqrt(q.shape[-1])
    if visible is not None:
        scores = np.where(visible, scores, -math.inf)
    odds = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights: Array = odds / odds.sum(axis=-1, keepdims=True)
    return weights


def _attention_backward(
    upstream: Array, q: Array, k: Array, v: Array, visible: Array | None
) -> tuple[Array, Array, Array]:
    weights = _attention_weights(q, k, visible)
    grad_weights = upstream @ v.mT
    grad_scores = weights * (grad_weights - (weights * grad_weights).sum(axis=-1, keepdims=True))
    grad_products = grad_scores / math.sqrt(q.shape[-1])
    return grad_products @ k, grad_products.mT @ q, weights.mT @ upstream


def _causally_visible(q: Array, k: Array) -> Array:
    return np.tri(q.shape[-2], k.shape[-2], dtype=np.bool_)


def _projections(
    query: Array,
    key: Array,
    value: Array,
    w_query: Array,
    w_key: Array,
    w_value: Array,
    b_query: Array,
    b_value: Array,
    heads: int,
) -> tuple[Array, Array, Array]:
    q, k, v = query @ w_query + b_query, key @ w_key, value @ w_value + b_value
    return _split(q, heads), _split(k, heads), _split(v, heads)


def _projection_backward(upstream: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
    by_token = upstream.reshape(-1, upstream.shape[-1])
    return upstream @ weight.T, x.reshape(-1, x.shape[-1]).T @ by_token, by_token.sum(axis=0)


def _split(tokens: Array, heads: int) -> Array:
    """Turn (..., T, heads d) into (..., heads, T, d)."""
    return tokens.reshape(*tokens.shape[:-1], heads, -1).swapaxes(-2, -3)


def _joined(by_head: Array) -> Array:
    """Turn (..., heads, T, d) into (..., T, heads d)."""
    tokens = by_head.swapaxes(-2, -3)
    return tokens.reshape(*tokens.shape[:-2], -1)
