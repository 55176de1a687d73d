"""Reference ops in PyTorch: functions with hand-written backwards, and modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Swish(torch.autograd.Function):
    """``x * sigmoid(beta * x)``, which saves its inputs and no more."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor) -> Tensor:
        """Return the activation for x of any shape and a scalar beta."""
        ctx.save_for_backward(x, beta)
        return x * torch.sigmoid(beta * x)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of x and beta."""
        x, beta = ctx.saved_tensors
        s = torch.sigmoid(beta * x)
        slope = s * (1 - s)
        return upstream * (s + beta * x * slope), (upstream * x * x * slope).sum()


class RMSNorm(torch.autograd.Function):
    """``weight * x / sqrt(mean(x^2) + eps)`` over the last axis, with the inverse norm as a second output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
        """Return the normalised x, and the inverse norms, which are for logging only."""
        inverse = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, inverse)
        ctx.mark_non_differentiable(inverse)
        return weight * x * inverse, inverse

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of x and weight."""
        x, weight, inverse = ctx.saved_tensors
        normalised = x * inverse
        scaled = upstream * weight
        along = (scaled * normalised).mean(-1, keepdim=True)
        rows = tuple(range(x.ndim - 1))
        return inverse * (scaled - normalised * along), (upstream * normalised).sum(rows), None


def rotate(z: Tensor, angle: Tensor) -> Tensor:
    """Return complex z of shape (..., n) turned by real angles of shape (n,), as rotary embeddings turn pairs."""
    return z * torch.polar(torch.ones_like(angle), angle)


def perceptron() -> nn.Module:
    """Return two layers with dropout between them, in training."""
    return nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Dropout(0.3), nn.Linear(6, 3))


def batch_norm() -> nn.Module:
    """Return a batch norm in training: it normalises with the batch's own moments, and moves its running ones."""
    return nn.BatchNorm1d(5)


def batch_norm_evaluated() -> nn.Module:
    """Return a batch norm that normalises with its running moments."""
    norm = nn.BatchNorm1d(5)
    norm.running_mean = torch.linspace(-1.0, 1.0, 5)
    norm.running_var = torch.linspace(0.5, 2.0, 5)
    return norm.eval()


class Gate(nn.Module):
    """A gated recurrent cell over a sequence, whose weights appear at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return all states, and the last, for x of shape (batch, steps, 3)."""
        state = x.new_zeros(x.shape[0], 4)
        states = []
        for step in x.unbind(1):
            state = self.cell(step, state)
            states.append(state)
        return torch.stack(states, 1), state
