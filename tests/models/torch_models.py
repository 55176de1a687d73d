"""PyTorch's own modules, which are right."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class First(nn.Module):
    """The first output of a module."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Any) -> Any:
        return self.module(x)[0]


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        return self.second(torch.tanh(self.first(x)))


class Attending(nn.Module):
    """Attention, whose bias of the keys a softmax takes out again."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.attention(x, x, x)[0]


def frozen() -> Any:
    made = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    made[0].requires_grad_(False)
    return made


MADE: dict[str, Any] = {
    "norm": lambda: nn.Sequential(
        nn.Flatten(1), nn.Linear(24, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)
    ),
    "lstm": lambda: First(nn.LSTM(6, 5, batch_first=True)),
    "tied": Tied,
    "attending": Attending,
    "frozen": frozen,
    "saturating": lambda: nn.Sequential(*[layer for _ in range(12) for layer in (nn.Linear(6, 6), nn.Sigmoid())]),
    "convolving": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(1)
    ),
}


def build(kind: str) -> Any:
    torch.manual_seed(0)
    return MADE[kind]()


def loss(output: Any) -> Any:
    return (output**2).mean() + 0.1 * output.sum()


def deep(layers: int, width: int, gain: float) -> Any:
    torch.manual_seed(0)
    parts: list[Any] = []
    for _ in range(layers):
        parts += [torch.nn.Linear(width, width), torch.nn.GELU()]
        with torch.no_grad():
            parts[-2].weight.mul_(gain)
    return torch.nn.Sequential(*parts, torch.nn.Linear(width, 2))


def squared(output: Any, wanted: Any) -> Any:
    return ((output - wanted) ** 2).mean()
