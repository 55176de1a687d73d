"""Kernels as people write them by hand for speed: norms, activations, softmaxes, products, attention, a scan."""

from __future__ import annotations

import math

import numpy as np
import torch
from kernel import Kernel, Tensors, narrowed
from torch import Tensor


def layer_norm(dtype: str, rows: int, columns: int) -> Kernel:
    def parts(x: Tensor) -> tuple[Tensor, Tensor]:
        centred = x - x.mean(-1, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)
        return centred * scale, scale

    def forward(i: Tensors) -> Tensor:
        return parts(i["x"])[0] * i["w"] + i["b"]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        h, scale = parts(i["x"])
        g = u * i["w"]
        dx = scale * (g - g.mean(-1, keepdim=True) - h * (g * h).mean(-1, keepdim=True))
        return {"x": dx, "w": (u * h).sum(0), "b": u.sum(0)}

    shapes = {"x": (rows, columns), "w": (columns,), "b": (columns,)}
    ranges = {"x": (-2.0, 2.0), "w": (0.5, 1.5), "b": (-1.0, 1.0)}
    return Kernel("layer_norm", dtype, shapes, ranges, forward, backward)


def rms_norm(dtype: str, rows: int, columns: int) -> Kernel:
    def forward(i: Tensors) -> Tensor:
        return i["x"] * torch.rsqrt((i["x"] ** 2).mean(-1, keepdim=True) + 1e-6) * i["w"]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        scale = torch.rsqrt((i["x"] ** 2).mean(-1, keepdim=True) + 1e-6)
        h, g = i["x"] * scale, u * i["w"]
        return {"x": scale * (g - h * (g * h).mean(-1, keepdim=True)), "w": (u * h).sum(0)}

    shapes = {"x": (rows, columns), "w": (columns,)}
    return Kernel("rms_norm", dtype, shapes, {"x": (-2.0, 2.0), "w": (0.5, 1.5)}, forward, backward)


def group_norm(dtype: str, items: int, channels: int, groups: int, side: int) -> Kernel:
    def parts(x: Tensor) -> tuple[Tensor, Tensor]:
        grouped = x.reshape(items, groups, -1)
        centred = grouped - grouped.mean(-1, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)
        return centred * scale, scale

    def forward(i: Tensors) -> Tensor:
        h = parts(i["x"])[0].reshape(i["x"].shape)
        return h * i["w"][:, None, None] + i["b"][:, None, None]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        h, scale = parts(i["x"])
        g = (u * i["w"][:, None, None]).reshape(h.shape)
        dx = scale * (g - g.mean(-1, keepdim=True) - h * (g * h).mean(-1, keepdim=True))
        return {"x": dx.reshape(u.shape), "w": (u * h.reshape(u.shape)).sum((0, 2, 3)), "b": u.sum((0, 2, 3))}

    shapes = {"x": (items, channels, side, side), "w": (channels,), "b": (channels,)}
    ranges = {"x": (-2.0, 2.0), "w": (0.5, 1.5), "b": (-1.0, 1.0)}
    return Kernel("group_norm", dtype, shapes, ranges, forward, backward)


def swiglu(dtype: str, rows: int, columns: int) -> Kernel:
    def forward(i: Tensors) -> Tensor:
        return i["a"] * torch.sigmoid(i["a"]) * i["b"]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        s = torch.sigmoid(i["a"])
        return {"a": u * i["b"] * (s + i["a"] * s * (1 - s)), "b": u * i["a"] * s}

    shapes = {"a": (rows, columns), "b": (rows, columns)}
    return Kernel("swiglu", dtype, shapes, {"a": (-3.0, 3.0), "b": (-2.0, 2.0)}, forward, backward)


def gelu(dtype: str, rows: int, columns: int) -> Kernel:
    k = math.sqrt(2 / math.pi)

    def forward(i: Tensors) -> Tensor:
        return torch.nn.functional.gelu(i["x"], approximate="tanh")

    def backward(u: Tensor, i: Tensors) -> Tensors:
        x = i["x"]
        t = torch.tanh(k * (x + 0.044715 * x**3))
        return {"x": u * ((1 + t) / 2 + x / 2 * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x))}

    return Kernel("gelu", dtype, {"x": (rows, columns)}, {"x": (-3.0, 3.0)}, forward, backward)


def relu(dtype: str, rows: int, columns: int) -> Kernel:
    return Kernel(
        "relu",
        dtype,
        {"x": (rows, columns)},
        {"x": (-2.0, 2.0)},
        lambda i: torch.relu(i["x"]),
        lambda u, i: {"x": u * (i["x"] > 0)},
    )


def rope(dtype: str, items: int, length: int, heads: int, width: int) -> Kernel:
    angles = torch.arange(length)[:, None] * 10000.0 ** (-torch.arange(0, width, 2) / width)
    cos, sin = torch.cos(angles)[:, None, :], torch.sin(angles)[:, None, :]

    def rotated(x: Tensor, sign: float) -> Tensor:
        first, second = x[..., : width // 2], x[..., width // 2 :]
        return torch.cat([first * cos - sign * second * sin, second * cos + sign * first * sin], -1)

    return Kernel(
        "rope",
        dtype,
        {"x": (items, length, heads, width)},
        {"x": (-2.0, 2.0)},
        lambda i: rotated(i["x"], 1.0),
        lambda u, i: {"x": rotated(u, -1.0)},
    )


def softmax(dtype: str, rows: int, columns: int) -> Kernel:
    def backward(u: Tensor, i: Tensors) -> Tensors:
        p = torch.softmax(i["x"], -1)
        return {"x": p * (u - (u * p).sum(-1, keepdim=True))}

    shapes = {"x": (rows, columns)}
    return Kernel("softmax", dtype, shapes, {"x": (-3.0, 3.0)}, lambda i: torch.softmax(i["x"], -1), backward)


def cross_entropy(dtype: str, rows: int, classes: int) -> Kernel:
    """Return a fused cross entropy: logits in the dtype, one loss in float32 for each row."""
    labels = torch.from_numpy(np.random.default_rng(5).integers(0, classes, rows))

    def forward(i: Tensors) -> Tensor:
        x = i["logits"]
        return torch.logsumexp(x, -1) - x[torch.arange(rows), labels]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        p = torch.softmax(i["logits"], -1)
        p[torch.arange(rows), labels] -= 1
        return {"logits": p * u[:, None]}

    shapes = {"logits": (rows, classes)}
    ranges = {"logits": (-3.0, 3.0)}
    return Kernel("cross_entropy", dtype, shapes, ranges, forward, backward, output="float32")


def matmul(dtype: str, rows: int, inner: int, columns: int) -> Kernel:
    read = narrowed if dtype == "tf32" else (lambda x: x)

    def forward(i: Tensors) -> Tensor:
        return read(i["x"]) @ read(i["w"])

    def backward(u: Tensor, i: Tensors) -> Tensors:
        return {"x": read(u) @ read(i["w"]).T, "w": read(i["x"]).T @ read(u)}

    width = 2 / math.sqrt(inner)
    shapes = {"x": (rows, inner), "w": (inner, columns)}
    return Kernel("matmul", dtype, shapes, {"x": (-1.0, 1.0), "w": (-width, width)}, forward, backward)


def attention(dtype: str, items: int, heads: int, length: int, width: int, block: int = 16) -> Kernel:
    """Return a causal attention as flash kernels compute it: by blocks of keys, backwards from each row's sum."""
    scale = 1 / math.sqrt(width)
    stored = torch.float32 if dtype == "tf32" else getattr(torch, dtype)
    read = narrowed if dtype == "tf32" else (lambda x: x.to(stored).float())
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)

    def scores(i: Tensors) -> Tensor:
        made = read(i["q"]) @ read(i["k"]).transpose(-1, -2) * scale
        return made.masked_fill(hidden, -math.inf)

    def forward(i: Tensors) -> Tensor:
        s = scores(i)
        top = torch.full((*s.shape[:-1], 1), -math.inf)
        total, out = torch.zeros_like(top), torch.zeros_like(i["q"])
        for first in range(0, length, block):
            part = s[..., first : first + block]
            new = torch.maximum(top, part.max(-1, keepdim=True).values)
            p, shrink = torch.exp(part - new), torch.exp(top - new)
            total = total * shrink + p.sum(-1, keepdim=True)
            out = out * shrink + read(p) @ read(i["v"][..., first : first + block, :])
            top = new
        return out / total

    def backward(u: Tensor, i: Tensors) -> Tensors:
        s = scores(i)
        p = torch.exp(s - torch.logsumexp(s, -1, keepdim=True))
        out = read(p) @ read(i["v"])
        delta = (u * out).sum(-1, keepdim=True)
        ds = p * (read(u) @ read(i["v"]).transpose(-1, -2) - delta)
        return {
            "q": read(ds) @ read(i["k"]) * scale,
            "k": read(ds).transpose(-1, -2) @ read(i["q"]) * scale,
            "v": read(p).transpose(-1, -2) @ read(u),
        }

    shape = (items, heads, length, width)
    ranges = dict.fromkeys("qkv", (-2.0, 2.0))
    return Kernel("attention", dtype, dict.fromkeys("qkv", shape), ranges, forward, backward)


def scan(dtype: str, rows: int, length: int) -> Kernel:
    """Return the recurrence ``h_t = a_t h_(t-1) + b_t`` along each row, with its state in float32."""

    def states(i: Tensors) -> list[Tensor]:
        h, made = torch.zeros(rows), []
        for t in range(length):
            h = i["a"][:, t] * h + i["b"][:, t]
            made.append(h)
        return made

    def backward(u: Tensor, i: Tensors) -> Tensors:
        h = states(i)
        da, db = torch.zeros_like(u), torch.zeros_like(u)
        carried = torch.zeros(rows)
        for t in reversed(range(length)):
            carried = carried + u[:, t]
            db[:, t] = carried
            da[:, t] = carried * (h[t - 1] if t else 0.0)
            carried = carried * i["a"][:, t]
        return {"a": da, "b": db}

    shapes = {"a": (rows, length), "b": (rows, length)}
    ranges = {"a": (0.5, 0.95), "b": (-1.0, 1.0)}
    return Kernel("scan", dtype, shapes, ranges, lambda i: torch.stack(states(i), 1), backward)
