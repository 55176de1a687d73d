"""The transformer milestone as a torch module, with one fault in each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gradaudit.milestones import torch as milestones


class Halved(torch.autograd.Function):
    """The identity, with half of its gradient."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(context: Any, upstream: Tensor) -> Tensor:
        return 0.5 * upstream


class DetachedEmbedding(nn.Embedding):
    def forward(self, indices: Tensor) -> Tensor:
        return super().forward(indices).detach()


class HalvedLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return Halved.apply(super().forward(x))


class HiddenBias(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight, self.aside[0])


def detached_embedding() -> nn.Module:
    model = milestones.transformer()
    model.symbols.__class__ = DetachedEmbedding
    return model


def scaled_attention_gradient() -> nn.Module:
    model = milestones.transformer()
    model.blocks[0].attention.query.__class__ = HalvedLinear
    return model


def unregistered_bias() -> nn.Module:
    model = milestones.transformer()
    output = model.output
    output.__class__ = HiddenBias
    output.aside = [output.bias.detach().clone().requires_grad_()]
    del output.bias
    return model


def ordinary() -> nn.Module:
    """A module as most are: in single precision, its weights from torch's generator, with running means and dropout."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10)
    )


MASKS: list[Any] = []


class Masked(nn.Module):
    """A perceptron that notes what its dropout draws."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.dropout(torch.ones_like(x))
        if self.training:
            MASKS.append(mask.detach().numpy().copy())
        return self.linear(x * mask)
