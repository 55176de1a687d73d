"""Modules of torch that lose gradients, or change them, in ways of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from modules_by_name import Computing, by_name, drawn
from torch import nn
from torch.nn import functional

module, build = by_name()


class WithoutInput(torch.autograd.Function):
    """A product whose backward keeps the gradient of its first factor to itself."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any) -> Any:
        ctx.save_for_backward(x)
        return x @ weight

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return None, ctx.saved_tensors[0].T @ upstream


def two_layers(between: Callable[[Any], Any]) -> Any:
    compute = lambda m, x: m.second(between(m.first(x)))  # noqa: E731
    return Computing(compute, first=nn.Linear(6, 5), second=nn.Linear(5, 3))


@module
def in_dict() -> Any:
    made = Computing(lambda m, x: m.layer(x) * m.held["scale"], layer=nn.Linear(6, 3))
    made.held = {"scale": drawn(3)}
    return made


@module
def in_list() -> Any:
    made = Computing(lambda m, x: m.layers[1](torch.tanh(m.layers[0](x))) + m.shift, shift=drawn(3))
    made.layers = [nn.Linear(6, 5), nn.Linear(5, 3)]
    return made


@module
def keeps_a_gradient() -> Any:
    def compute(m: Any, x: Any) -> Any:
        return WithoutInput.apply(torch.tanh(m.first(x)), m.weight)

    return Computing(compute, first=nn.Linear(6, 5), weight=drawn(5, 3))


@module
def made_anew() -> Any:
    def compute(m: Any, x: Any) -> Any:
        m.weight = nn.Parameter(m.weight.data.clone())
        return x @ m.weight

    return Computing(compute, weight=drawn(6, 3))


@module
def through_numpy() -> Any:
    return two_layers(lambda h: torch.from_numpy(np.tanh(h.detach().numpy())))


@module
def tied_and_detached() -> Any:
    def compute(m: Any, x: Any) -> Any:
        hidden = torch.tanh(functional.linear(x, m.weight))
        return functional.linear(hidden, m.weight.detach())

    return Computing(compute, weight=drawn(6, 6))


@module
def hook_on_the_way() -> Any:
    def between(h: Any) -> Any:
        h = torch.tanh(h)
        h.register_hook(lambda gradient: gradient * 0.5)
        return h

    return two_layers(between)


@module
def hook_on_a_weight() -> Any:
    made = two_layers(torch.tanh)
    made.first.weight.register_hook(lambda gradient: gradient.clamp(-0.01, 0.01))
    return made


@module
def casting() -> Any:
    return Computing(lambda m, x: m.layer(x.float()), layer=nn.Linear(6, 3))


@module
def hook_that_looks_on() -> Any:
    seen: list[float] = []
    made = two_layers(torch.tanh)
    made.first.weight.register_hook(lambda gradient: seen.append(float(gradient.norm())))
    return made


@module
def used_twice() -> Any:
    return Computing(lambda m, x: torch.tanh(x @ m.weight) @ m.weight, weight=drawn(6, 6))


@module
def zero_biases() -> Any:
    made = two_layers(torch.relu)
    nn.init.zeros_(made.first.bias)
    nn.init.zeros_(made.second.bias)
    return made


@module
def in_place() -> Any:
    return two_layers(lambda h: functional.relu(h.mul(2.0).add_(1.0), inplace=True))


@module
def bias_before_norm() -> Any:
    def compute(m: Any, x: Any) -> Any:
        return m.second(torch.tanh(m.norm(m.first(x))))

    return Computing(compute, first=nn.Linear(6, 5), norm=nn.BatchNorm1d(5), second=nn.Linear(5, 3))


@module
def complex_weight() -> Any:
    weight = nn.Parameter(torch.randn(6, 3, dtype=torch.complex128))
    return Computing(lambda m, x: (x.to(m.weight.dtype) @ m.weight).abs(), weight=weight)


@module
def frozen_in_a_list() -> Any:
    made = Computing(lambda m, x: m.layer(m.before[0](x)), layer=nn.Linear(6, 3))
    made.before = [nn.Linear(6, 6).requires_grad_(False)]
    return made


@module
def imaginary_part_off() -> Any:
    made = complex_weight()
    made.weight.register_hook(lambda gradient: torch.complex(gradient.real, 1.01 * gradient.imag))
    return made


@module
def sparse_rows() -> Any:
    def compute(m: Any, x: Any) -> Any:
        return m.table((x[:, 0].abs() * 3).long()) @ m.weight

    return Computing(compute, table=nn.Embedding(8, 4, sparse=True), weight=drawn(4, 3))


@module
def half_precision() -> Any:
    return nn.Linear(6, 3).bfloat16()


@module
def lazy() -> Any:
    return nn.Sequential(nn.LazyLinear(3))


@module
def changed_in_place() -> Any:
    def between(h: Any) -> Any:
        h = torch.tanh(h)
        h.data.clamp_(min=0.0)
        return h

    return two_layers(between)
