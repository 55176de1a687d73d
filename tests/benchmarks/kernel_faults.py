"""What goes wrong with kernels: parts that are lost, factors, signs, shifts, and terms of the formula left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from kernel import Kernel, Tensors
from torch import Tensor

Change = Callable[[Tensor], Tensor]


def broken(kernel: Kernel, fault: str, name: str, change: Change) -> Kernel:
    """Return a kernel whose gradient of an input is changed."""

    def backward(u: Tensor, i: Tensors) -> Tensors:
        made = kernel.backward(u, i)
        return {**made, name: change(made[name])}

    return replace(kernel, backward=backward, fault=f"{name}: {fault}")


def _at(place: tuple[object, ...], factor: float) -> Change:
    def change(gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        gradient[place] *= factor
        return gradient

    return change


def _one_index(gradient: Tensor) -> Tensor:
    flat = gradient.reshape(-1).clone()
    flat[flat.numel() * 2 // 3] += 0.6 * flat.square().mean().sqrt()
    return flat.reshape(gradient.shape)


def parts(kernel: Kernel) -> Iterator[Kernel]:
    """Yield a kernel with each of the faults that a gradient of its shapes can have."""
    for name, shape in kernel.shapes.items():
        yield broken(kernel, "x 1.02", name, _at((...,), 1.02))
        yield broken(kernel, "one index + 0.6 rms", name, _one_index)
        yield broken(kernel, "x 1.05", name, _at((...,), 1.05))
        last = max(1, shape[-1] // 8)
        yield broken(kernel, "last block of columns lost", name, _at((..., slice(shape[-1] - last, None)), 0.0))
        yield broken(kernel, "sign", name, _at((...,), -1.0))
        if len(shape) > 1:
            yield broken(kernel, "a single row zero", name, _at((shape[0] // 3,), 0.0))
            yield broken(kernel, "upper rows x 1.05", name, _at((slice(shape[0] // 2, None),), 1.05))
        yield broken(kernel, "shifted by one", name, lambda gradient: torch.roll(gradient, 1, -1))
        if len(shape) == 4:
            yield broken(kernel, "one head lost", name, _at((slice(None), 1), 0.0))
        if len(shape) > 1 and shape[-1] == shape[-2]:
            yield broken(kernel, "transposed", name, lambda gradient: gradient.transpose(-1, -2).contiguous())


def formulas(kernel: Kernel) -> Iterator[Kernel]:
    """Yield a kernel with the mistakes that people make in its formula."""
    for fault, backward in FORMULAS.get(kernel.name, {}).items():
        yield replace(kernel, fault=fault, backward=backward)
    if kernel.name in ("attention", "alibi"):
        scale = math.sqrt(kernel.shapes["q"][-1])
        yield broken(kernel, "scale missing", "q", lambda gradient: gradient * scale)


def matters(kernel: Kernel, right: Kernel) -> bool:
    """Whether a fault changes any entry by more than a hundredth of what is typical, at the inputs drawn here."""
    rng = torch.Generator().manual_seed(0)
    given = {
        name: torch.empty(shape).uniform_(*kernel.ranges[name], generator=rng) for name, shape in kernel.shapes.items()
    }
    upstream = torch.empty(kernel.forward(given).shape).uniform_(0.5, 1.5, generator=rng)
    found, wanted = kernel.backward(upstream, given), right.backward(upstream, given)
    return any(
        bool(((found[name] - wanted[name]).abs() > 0.01 * wanted[name].square().mean().sqrt()).any())
        for name in kernel.shapes
    )


def _standardised(i: Tensors) -> tuple[Tensor, Tensor]:
    centred = i["x"] - i["x"].mean(-1, keepdim=True)
    scale = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)
    return centred * scale, scale


def _layer_norm_without_mean(u: Tensor, i: Tensors) -> Tensors:
    h, scale = _standardised(i)
    g = u * i["w"]
    return {"x": scale * (g - h * (g * h).mean(-1, keepdim=True)), "w": (u * h).sum(0), "b": u.sum(0)}


def _layer_norm_across_rows(u: Tensor, i: Tensors) -> Tensors:
    h, scale = _standardised(i)
    g = u * i["w"]
    dx = scale * (g - g.mean(0, keepdim=True) - h * (g * h).mean(-1, keepdim=True))
    return {"x": dx, "w": (u * h).sum(0), "b": u.sum(0)}


def _layer_norm_weights_of_inputs(u: Tensor, i: Tensors) -> Tensors:
    h, scale = _standardised(i)
    g = u * i["w"]
    dx = scale * (g - g.mean(-1, keepdim=True) - h * (g * h).mean(-1, keepdim=True))
    return {"x": dx, "w": (u * i["x"] * scale).sum(0), "b": u.sum(0)}


def _rms_norm_without_weights(u: Tensor, i: Tensors) -> Tensors:
    scale = torch.rsqrt((i["x"] ** 2).mean(-1, keepdim=True) + 1e-6)
    h = i["x"] * scale
    return {"x": scale * (u - h * (u * h).mean(-1, keepdim=True)), "w": (u * h).sum(0)}


def _swiglu_without_second_term(u: Tensor, i: Tensors) -> Tensors:
    s = torch.sigmoid(i["a"])
    return {"a": u * i["b"] * s, "b": u * i["a"] * s}


def _softmax_diagonal(u: Tensor, i: Tensors) -> Tensors:
    p = torch.softmax(i["x"], -1)
    return {"x": p * (1 - p) * u}


FORMULAS: dict[str, dict[str, Callable[[Tensor, Tensors], Tensors]]] = {
    "layer_norm": {
        "no mean term": _layer_norm_without_mean,
        "mean over the wrong axis": _layer_norm_across_rows,
        "gradient of the weights without the mean": _layer_norm_weights_of_inputs,
    },
    "rms_norm": {"weights left out": _rms_norm_without_weights},
    "swiglu": {"second term left out": _swiglu_without_second_term},
    "relu": {"leak of 0.1": lambda u, i: {"x": u * torch.where(i["x"] > 0, 1.0, 0.1)}},
    "softmax": {"diagonal only": _softmax_diagonal},
    "log_softmax": {"sum of the upstream left out": lambda u, i: {"x": u - torch.softmax(i["x"], -1) * u}},
    "cross_entropy": {
        "label not subtracted": lambda u, i: {"logits": torch.softmax(i["logits"], -1) * u[:, None]},
    },
    "running_sum": {"summed forwards": lambda u, i: {"x": u.cumsum(-1)}},
}
