"""The guide's model, with each of its mistakes, in PyTorch."""

from __future__ import annotations

from typing import Any

import torch

TAPE = "torch"


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, fault: str) -> Any:
        ctx.save_for_backward(x, w)
        ctx.fault = fault
        return x @ w

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        x, w = ctx.saved_tensors
        of_x, of_w = u @ w.T, x.reshape(-1, 4).T @ u.reshape(-1, 4)
        if ctx.fault == "zero":
            of_w = 0 * of_w
        if ctx.fault == "scaled":
            of_x, of_w = 0.5 * of_x, 0.5 * of_w
        if ctx.fault == "entry":
            of_w[2, 1] *= 1.01
        return of_x, of_w, None


class Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, h: Any, weight: Any, bias: Any, fault: str) -> Any:
        ctx.save_for_backward(h, weight)
        ctx.fault = fault
        return h @ weight + bias

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        h, weight = ctx.saved_tensors
        if ctx.fault == "single":
            return h.T @ u
        return u @ weight.T, h.T @ u, None if ctx.fault == "none" else u.sum(0), None


class Guide(torch.nn.Module):
    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        generator = torch.Generator().manual_seed(0)
        made = [torch.randn(*shape, generator=generator) for shape in ((5, 4), (4, 4), (12, 3), (3,))]
        self.table, self.mix, self.weight = (torch.nn.Parameter(one * 0.5) for one in made[:3])
        bias = torch.nn.Parameter(made[3])
        self.held = [bias] if fault == "unregistered" else None
        self.bias = None if self.held else bias

    def forward(self, tokens: Any) -> Any:
        fault = self.fault
        h = self.table[tokens]
        if fault == "embedding":
            h = h.detach()
        mixed = torch.tanh(Product.apply(h, self.mix, fault))
        if fault == "branch":
            mixed = mixed.detach()
        h = torch.tensor((h.detach() + mixed.detach()).numpy()) if fault == "residual" else h + mixed
        h = h.data.reshape(4, 12) if fault == "reshape" else h.reshape(4, 12)
        bias = self.held[0] if self.held else self.bias
        out = Linear.apply(h, self.weight, bias.detach() if fault == "bias" else bias, fault)
        return out.detach() if fault == "output" else out


def build(fault: str = "") -> Guide:
    return Guide(fault)


def loss(output: Any, wanted: Any) -> Any:
    return torch.nn.functional.mse_loss(output, wanted)
