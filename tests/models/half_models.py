"""A model in half precision, as it is or by an autocast, with a backward that is right or wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import mse_loss


class Tanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, wrong: bool) -> Any:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        ctx.wrong = wrong
        return y

    @staticmethod
    def backward(ctx: Any, u: Any) -> Any:
        (y,) = ctx.saved_tensors
        return u * (1 - y if ctx.wrong else 1 - y * y), None


class Model(nn.Module):
    def __init__(self, wrong: bool, casts: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.last = nn.Linear(4, 6), nn.LayerNorm(6), nn.Linear(6, 2)
        self.wrong, self.casts = wrong, casts

    def forward(self, x: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.casts):
            return self.last(self.between(self.norm(self.first(x))))

    def between(self, x: Any) -> Any:
        return Tanh.apply(x, self.wrong)


class Casting(Model):
    """It casts what passes its activation, by itself."""

    def between(self, x: Any) -> Any:
        return super().between(x.to(torch.bfloat16)).to(x)


class Halving(Model):
    def between(self, x: Any) -> Any:
        return super().between(x.half()).float()


def casting(wrong: bool) -> Any:
    return Casting(wrong, casts=False)


def halving(wrong: bool) -> Any:
    return Halving(wrong, casts=False)


def build(wrong: bool, made_in: str = "float32", casts: bool = False) -> Any:
    return Model(wrong, casts).to(getattr(torch, made_in))


def loss_in_float32(output: Any, wanted: Any) -> Any:
    return mse_loss(output.float(), wanted.float())


def loss(output: Any, wanted: Any) -> Any:
    return mse_loss(output, wanted)
