"""Modules of torch by name: of parts, and of a function that computes with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Make = Callable[[], Any]


class Computing(nn.Module):
    def __init__(self, compute: Any, **parts: Any) -> None:
        super().__init__()
        self.compute = compute
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Any) -> Any:
        return self.compute(self, x)


def drawn(*shape: int) -> Any:
    return nn.Parameter(torch.randn(*shape))


def loss(output: Any) -> Any:
    return (output**2).mean() + 0.3 * output.mean()


def by_name() -> tuple[Callable[[Make], Make], Callable[[str], Any]]:
    """Return a decorator that keeps what makes a module, and what builds the one of a name, the same each time."""
    made: dict[str, Make] = {}

    def module(make: Make) -> Make:
        made[make.__name__] = make
        return make

    def build(kind: str) -> Any:
        torch.manual_seed(0)
        return made[kind]()

    return module, build
