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
