"""A SwiGLU in Triton: one kernel forwards, one backwards."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024


@triton.jit
def _forward(a_at: Any, b_at: Any, out_at: Any, size: Any, BLOCK: tl.constexpr) -> None:
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < size
    a = tl.load(a_at + places, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(b_at + places, mask=inside, other=0.0).to(tl.float32)
    tl.store(out_at + places, a / (1.0 + tl.exp(-a)) * b, mask=inside)


@triton.jit
def _backward(u_at: Any, a_at: Any, b_at: Any, da_at: Any, db_at: Any, size: Any, BLOCK: tl.constexpr) -> None:
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < size
    u = tl.load(u_at + places, mask=inside, other=0.0).to(tl.float32)
    a = tl.load(a_at + places, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(b_at + places, mask=inside, other=0.0).to(tl.float32)
    s = 1.0 / (1.0 + tl.exp(-a))
    tl.store(da_at + places, u * b * (s + a * s * (1.0 - s)), mask=inside)
    tl.store(db_at + places, u * a * s, mask=inside)


def swiglu(a: Tensor, b: Tensor) -> Tensor:
    """Return ``a sigmoid(a) b``, element by element, for contiguous tensors."""
    a, b = a.contiguous(), b.contiguous()
    out = torch.empty_like(a)
    _forward[(triton.cdiv(a.numel(), BLOCK),)](a, b, out, a.numel(), BLOCK=BLOCK)
    return out


def swiglu_backward(upstream: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of both inputs."""
    upstream, a, b = upstream.contiguous(), a.contiguous(), b.contiguous()
    da, db = torch.empty_like(a), torch.empty_like(b)
    _backward[(triton.cdiv(a.numel(), BLOCK),)](upstream, a, b, da, db, a.numel(), BLOCK=BLOCK)
    return da, db
