"""Modules of torch that stop gradients on purpose, or do not use all that they have."""

from __future__ import annotations

from typing import Any

import torch
from modules_by_name import Computing, by_name
from torch import nn

module, build = by_name()


@module
def straight_through() -> Any:
    def compute(m: Any, x: Any) -> Any:
        h = torch.tanh(m.first(x))
        return m.second(h + (torch.round(4 * h) / 4 - h).detach())

    return Computing(compute, first=nn.Linear(4, 3), second=nn.Linear(3, 3))


@module
def two_views() -> Any:
    """One view of the inputs is the target of the other; its encoder is trained by the other view alone."""

    def compute(m: Any, x: Any) -> Any:
        one, other = m.encode(x), m.encode(x.flip(1))
        return m.predict(torch.tanh(one)) - torch.tanh(other).detach()

    return Computing(compute, encode=nn.Linear(4, 3), predict=nn.Linear(3, 3))


@module
def two_views_scaled() -> Any:
    """The same, with a hook that halves what arrives."""
    made = two_views()
    made.encode.weight.register_hook(lambda gradient: 0.5 * gradient)
    return made


@module
def no_grad_target() -> Any:
    def compute(m: Any, x: Any) -> Any:
        with torch.no_grad():
            target = m.teacher(x)
        return m.student(x) - target

    return Computing(compute, teacher=nn.Linear(4, 3), student=nn.Linear(4, 3))


class Experts(nn.Module):
    """Each batch goes to one expert, chosen by its sign; the third is for none."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(4, 3) for _ in range(3)])

    def forward(self, x: Any) -> Any:
        return self.experts[int(x.sum() > 0)](x)


@module
def experts() -> Any:
    return Experts()
