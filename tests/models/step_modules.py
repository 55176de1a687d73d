"""Modules of torch with steps of users' own, some of which are wrong."""

from __future__ import annotations

from typing import Any

import torch
from modules_by_name import Computing, by_name, drawn
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

module, build = by_name()


class Scaled(torch.autograd.Function):
    """Twice its input, with a gradient that is as many times the upstream as is said."""

    @staticmethod
    def forward(ctx: Any, x: Any, factor: float) -> Any:
        ctx.factor = factor
        return 2 * x

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        return ctx.factor * upstream, None


class Remembering(torch.autograd.Function):
    """A product that keeps what it needs in its class, where the next call puts its own."""

    @staticmethod
    def forward(ctx: Any, x: Any, y: Any) -> Any:
        Remembering.kept = (x, y)  # type: ignore[attr-defined]
        return x * y

    @staticmethod
    def backward(ctx: Any, upstream: Any) -> Any:
        x, y = Remembering.kept  # type: ignore[attr-defined]
        return upstream * y, upstream * x


def wrong(x: Any) -> Any:
    return Scaled.apply(x, 3.0)


def right(x: Any) -> Any:
    return Scaled.apply(x, 2.0)


def layers(compute: Any, **more: Any) -> Any:
    parts = {"first": nn.Linear(4, 3), "second": nn.Linear(3, 3), "third": nn.Linear(4, 3)}
    return Computing(compute, **parts, **more)


@module
def before_norm() -> Any:
    """Running buffers change with the parameters too."""
    return layers(
        lambda m, x: m.second(m.norm(Scaled.apply(m.first(x), 3.0))) + m.third(x),  # wrong
        norm=nn.BatchNorm1d(3, affine=False, eps=0.3),
    )


@module
def after_norm_and_dropout() -> Any:
    def compute(m: Any, x: Any) -> Any:
        h = functional.dropout(m.norm(m.first(x)), 0.4)
        h = Scaled.apply(h, 3.0)  # wrong
        return m.second(torch.sin(h)) + right(m.third(x))

    return layers(compute, norm=nn.BatchNorm1d(3))


@module
def in_three_branches() -> Any:
    def compute(m: Any, x: Any) -> Any:
        made = 0
        for part in (m.first(x), m.third(x), m.third(x) * m.second.bias):
            made = made + torch.sin(Scaled.apply(part, 3.0))  # wrong
        return m.second(made)

    return layers(compute)


@module
def masked_scores() -> Any:
    def compute(m: Any, x: Any) -> Any:
        scores = (m.first(x) @ m.third(x).T).masked_fill(torch.ones(4, 4, dtype=torch.bool).triu(1), -1e4)
        return torch.softmax(Scaled.apply(scores, 3.0), -1) @ m.second(m.third(x))  # wrong

    return layers(compute)


@module
def infinite_scores() -> Any:
    def compute(m: Any, x: Any) -> Any:
        scores = m.first(x) @ m.third(x).T
        scores = scores.masked_fill(torch.ones(4, 4, dtype=torch.bool).triu(1), -torch.inf)
        return torch.softmax(Scaled.apply(scores, 3.0), -1) @ m.second(m.third(x))  # wrong

    return layers(compute)


@module
def views_and_in_place() -> Any:
    def compute(m: Any, x: Any) -> Any:
        h = m.first(x)
        made = torch.zeros_like(h)
        made[:, ::2] = torch.tanh(h[:, ::2])
        made[:, 1::2] = Scaled.apply(h[:, 1::2], 3.0)  # wrong
        made.mul_(0.5)
        return m.second(made.view(-1, 3)) + m.third(x)

    return layers(compute)


@module
def cut_and_wrong() -> Any:
    def compute(m: Any, x: Any) -> Any:
        side = torch.tanh(m.third(x)).detach()  # cut
        return m.second(Scaled.apply(m.first(x), 3.0)) + side  # wrong

    return layers(compute)


@module
def number_read_off() -> Any:
    def compute(m: Any, x: Any) -> Any:
        h = m.first(x)
        h = h / h.norm().item()  # cut
        return m.second(h) + m.third(x)

    return layers(compute)


@module
def in_a_checkpoint() -> Any:
    def inner(m: Any, x: Any) -> Any:
        return torch.tanh(Scaled.apply(m.first(x), 3.0))  # wrong

    def compute(m: Any, x: Any) -> Any:
        return m.second(checkpoint(inner, m, x, use_reentrant=False)) + m.third(x)

    return layers(compute)


@module
def in_a_reentrant_checkpoint() -> Any:
    def inner(m: Any, h: Any) -> Any:
        return torch.tanh(Scaled.apply(m.second(h), 3.0))  # wrong

    def compute(m: Any, x: Any) -> Any:
        return checkpoint(inner, m, m.first(x), use_reentrant=True) + m.third(x)

    return layers(compute)


@module
def what_another_call_left() -> Any:
    def compute(m: Any, x: Any) -> Any:
        h = Remembering.apply(m.first(x), m.third(x))  # wrong
        return Remembering.apply(m.second(h), torch.sin(x[:, :3]))

    return layers(compute)


@module
def compiled() -> Any:
    made = layers(lambda m, x: m.second(torch.tanh(m.first(x)).detach()) + m.third(x))  # cut
    return torch.compile(made, backend="eager")


@module
def deep_and_cut() -> Any:
    def compute(m: Any, x: Any) -> Any:
        h = x
        for layer in m.layers:
            h = h + 0.2 * torch.tanh(layer(h))
        return m.first(h.detach())  # cut

    return layers(compute, layers=nn.ModuleList([nn.Linear(4, 4) for _ in range(60)]))


@module
def right_in_two_checkpoints() -> Any:
    def compute(m: Any, x: Any) -> Any:
        h = checkpoint(lambda h: functional.dropout(torch.tanh(m.first(h)), 0.3), x, use_reentrant=False)
        return checkpoint(lambda h: torch.sin(right(m.second(h))), h, use_reentrant=True) + m.third(x)

    return layers(compute)


@module
def right_in_torch_func() -> Any:
    def compute(m: Any, x: Any) -> Any:
        each = torch.func.vmap(lambda row: torch.tanh(row @ m.weight).sum() * row[:3])(x)
        slope = torch.func.grad(lambda h: torch.sin(h).sum())(m.first(x))
        return m.second(each + slope) + m.third(x)

    return layers(compute, weight=drawn(4, 3))


@module
def right_and_compiled() -> Any:
    return torch.compile(layers(lambda m, x: m.second(torch.tanh(m.first(x))) + m.third(x)), backend="aot_eager")


@module
def right_channels_last() -> Any:
    def compute(m: Any, x: Any) -> Any:
        h = m.first(x).view(4, 3, 1, 1).expand(-1, -1, 3, 2).contiguous(memory_format=torch.channels_last)
        return m.second(m.conv(h).mean((2, 3))) + m.third(x)

    return layers(compute, conv=nn.Conv2d(3, 3, 2).to(memory_format=torch.channels_last))
