"""The layers that the milestones are made of; their weights are drawn uniformly within 1 / sqrt(inputs of a unit).

Source: LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998, section 4.6, for the scale.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, DTypeLike

from gradaudit.tape import Module, Tensor, functions


class Linear(Module):
    """An affine map of the last axis: weight is (outputs, inputs), bias (outputs,) where there is one."""

    def __init__(self, inputs: int, outputs: int, rng: Generator, dtype: DTypeLike, *, bias: bool = True) -> None:
        self.weight = _drawn(rng, (outputs, inputs), inputs, dtype)
        self.bias = _drawn(rng, (outputs,), inputs, dtype) if bias else None

    def __call__(self, x: Tensor) -> Tensor:
        """Return x W^T + b for x of shape (..., inputs)."""
        if self.bias is None:
            return functions.linear_no_bias(x, self.weight)
        return functions.linear(x, self.weight, self.bias)


class Conv2d(Module):
    """A convolution that keeps height and width: weight is (filters, channels, kernel, kernel), bias (filters,)."""

    def __init__(self, channels: int, filters: int, kernel: int, rng: Generator, dtype: DTypeLike) -> None:
        inputs = channels * kernel**2
        self.weight = _drawn(rng, (filters, channels, kernel, kernel), inputs, dtype)
        self.bias = _drawn(rng, (filters,), inputs, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return (N, filters, H, W) for images of shape (N, channels, H, W)."""
        return functions.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)


class Embedding(Module):
    """A table of vectors, one a row."""

    def __init__(self, rows: int, width: int, rng: Generator, dtype: DTypeLike) -> None:
        self.weight = _drawn(rng, (rows, width), 1, dtype)

    def __call__(self, indices: Tensor | ArrayLike) -> Tensor:
        """Return the rows (..., width) of integer indices (...)."""
        return functions.embedding(self.weight, indices)


class LayerNorm(Module):
    """Standardization over the last axis, then a scale and a shift, which begin as 1 and 0."""

    def __init__(self, width: int, dtype: DTypeLike) -> None:
        self.weight = Tensor(np.ones(width, dtype), requires_grad=True)
        self.bias = Tensor(np.zeros(width, dtype), requires_grad=True)

    def __call__(self, x: Tensor) -> Tensor:
        """Return x of shape (..., width), standardized."""
        return functions.layer_norm(x, self.weight, self.bias)


class Attention(Module):
    """Self-attention with several heads.

    Keys have no bias: it would add the same to all scores of a query, which softmax ignores, and so its gradient would
    be zero.
    """

    def __init__(self, width: int, heads: int, rng: Generator, dtype: DTypeLike) -> None:
        self.heads = heads
        self.query = Linear(width, width, rng, dtype)
        self.key = Linear(width, width, rng, dtype, bias=False)
        self.value = Linear(width, width, rng, dtype)
        self.output = Linear(width, width, rng, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Return (N, T, width) for tokens of shape (N, T, width)."""
        q, k, v = (self._by_head(projection(x)) for projection in (self.query, self.key, self.value))
        seen = functions.scaled_dot_product_attention(q, k, v)
        return self.output(seen.transpose(axes=(0, 2, 1, 3)).reshape(*x.shape))

    def _by_head(self, x: Tensor) -> Tensor:
        """Return (N, heads, T, width / heads)."""
        sequences, tokens, width = x.shape
        return x.reshape(sequences, tokens, self.heads, width // self.heads).transpose(axes=(0, 2, 1, 3))


def _drawn(rng: Generator, shape: tuple[int, ...], inputs: int, dtype: DTypeLike) -> Tensor:
    bound = 1.0 / math.sqrt(inputs)
    return Tensor(rng.uniform(-bound, bound, shape).astype(dtype), requires_grad=True)
