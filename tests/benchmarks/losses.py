"""Reductions and losses that composed kernels end with, with backwards by hand."""

from __future__ import annotations

import numpy as np
import torch
from kernel import Tensors
from pieces import Maker, Piece, Shape
from torch import Tensor


def mean(rng: np.random.Generator, shape: Shape) -> Piece:
    axis = int(rng.integers(2))

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return (u.unsqueeze(axis) / shape[axis]).expand(shape), {}

    return Piece(f"mean_{axis}", (shape[1 - axis],), {}, lambda h, i: h.mean(axis), backward)


def variance(rng: np.random.Generator, shape: Shape) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return u[:, None] * 2 * (h - h.mean(1, keepdim=True)) / shape[1], {}

    return Piece("variance", shape[:1], {}, lambda h, i: h.var(1, correction=0), backward)


def length(rng: np.random.Generator, shape: Shape) -> Piece:
    def lengths(h: Tensor) -> Tensor:
        return torch.sqrt((h * h).sum(1) + 1e-3)

    return Piece(
        "length", shape[:1], {}, lambda h, i: lengths(h), lambda u, h, i: (h * (u / lengths(h))[:, None], {})
    )  # fmt: skip


def logsumexp(rng: np.random.Generator, shape: Shape) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return u[:, None] * torch.softmax(h, 1), {}

    return Piece("logsumexp", shape[:1], {}, lambda h, i: torch.logsumexp(h, 1), backward)


def maximum(rng: np.random.Generator, shape: Shape) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return torch.zeros_like(h).scatter(1, h.argmax(1, keepdim=True), u[:, None]), {}

    return Piece("maximum", shape[:1], {}, lambda h, i: h.amax(1), backward)


def cosine(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return the cosine between each row and one of another matrix."""

    def parts(h: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b = (torch.sqrt((x * x).sum(1, keepdim=True) + 1e-3) for x in (h, r))
        return (h * r).sum(1, keepdim=True) / (a * b), a, b

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        r, (c, a, b), each = i["r"], parts(h, i["r"]), u[:, None]
        return each * (r / (a * b) - c * h / a**2), {"r": each * (h / (a * b) - c * r / b**2)}

    inputs = {"r": (shape, (-1.0, 1.0))}
    return Piece("cosine", shape[:1], inputs, lambda h, i: parts(h, i["r"])[0][:, 0], backward)


def mean_square(rng: np.random.Generator, shape: Shape) -> Piece:
    return Piece(
        "mean_square", (), {}, lambda h, i: (h * h).mean(), lambda u, h, i: (u * 2 * h / h.numel(), {})
    )  # fmt: skip


def squared_error(rng: np.random.Generator, shape: Shape) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        g = u * 2 * (h - i["y"]) / h.numel()
        return g, {"y": -g}

    inputs = {"y": (shape, (-1.0, 1.0))}
    return Piece("squared_error", (), inputs, lambda h, i: ((h - i["y"]) ** 2).mean(), backward)


def absolute_error(rng: np.random.Generator, shape: Shape) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        g = u * torch.sign(h - i["y"]) / h.numel()
        return g, {"y": -g}

    inputs = {"y": (shape, (-1.0, 1.0))}
    return Piece("absolute_error", (), inputs, lambda h, i: (h - i["y"]).abs().mean(), backward)


def huber(rng: np.random.Generator, shape: Shape) -> Piece:
    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        g = u * (h - i["y"]).clamp(-0.5, 0.5) / h.numel()
        return g, {"y": -g}

    def forward(h: Tensor, i: Tensors) -> Tensor:
        off = (h - i["y"]).abs()
        return torch.where(off < 0.5, off * off, off - 0.25).mean() / 2

    return Piece("huber", (), {"y": (shape, (-1.0, 1.0))}, forward, backward)


def cross_entropy(rng: np.random.Generator, shape: Shape) -> Piece:
    labels = torch.from_numpy(rng.integers(0, shape[1], shape[0]))

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        p = torch.softmax(h, 1)
        p[torch.arange(shape[0]), labels] -= 1
        return u * p / shape[0], {}

    return Piece("cross_entropy", (), {}, lambda h, i: torch.nn.functional.cross_entropy(h, labels), backward)


def binary(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return a binary cross entropy of logits, with labels that some elements weigh more than others."""
    labels = torch.from_numpy(rng.integers(0, 2, shape).astype(np.float32))
    weights = torch.from_numpy(rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def forward(h: Tensor, i: Tensors) -> Tensor:
        return (weights * (torch.nn.functional.softplus(h) - h * labels)).mean()

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return u * weights * (torch.sigmoid(h) - labels) / h.numel(), {}

    return Piece("binary", (), {}, forward, backward)


def hinge(rng: np.random.Generator, shape: Shape) -> Piece:
    signs = torch.from_numpy(2.0 * rng.integers(0, 2, shape).astype(np.float32) - 1.0)

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        return -u * signs * (signs * h < 1).to(h.dtype) / h.numel(), {}

    return Piece("hinge", (), {}, lambda h, i: torch.relu(1 - signs * h).mean(), backward)


def entropy(rng: np.random.Generator, shape: Shape) -> Piece:
    """Return the mean entropy of the rows' softmaxes."""

    def parts(h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logs = torch.log_softmax(h, 1)
        p = logs.exp()
        return p, logs, -(p * logs).sum(1, keepdim=True)

    def backward(u: Tensor, h: Tensor, i: Tensors) -> tuple[Tensor, Tensors]:
        p, logs, each = parts(h)
        return -u * p * (logs + each) / shape[0], {}

    return Piece("entropy", (), {}, lambda h, i: parts(h)[2].mean(), backward)


REDUCTIONS: tuple[Maker, ...] = (mean, variance, length, logsumexp, maximum, cosine)

LOSSES: tuple[Maker, ...] = (
    mean_square, squared_error, absolute_error, huber, cross_entropy, binary, hinge, entropy,
)  # fmt: skip
