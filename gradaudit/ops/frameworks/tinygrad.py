"""Reference ops in tinygrad, differentiated by it."""

from __future__ import annotations

from tinygrad import Tensor


def swiglu(x: Tensor, gate: Tensor, scale: Tensor) -> Tensor:
    """Return ``scale * x * silu(gate)`` for x and gate of one shape and a scalar scale."""
    return scale * x * gate * gate.sigmoid()


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return ``softmax(Q K^T / sqrt(d)) V`` for matrices of shapes (n, d), (m, d) and (m, e)."""
    return (query @ key.transpose() / query.shape[-1] ** 0.5).softmax() @ value
