"""More kernels that people write by hand: fused norms and losses, gathers, pools, convolutions, and what is rounded."""

from __future__ import annotations

import math

import numpy as np
import torch
from kernel import Kernel, Tensors
from torch import Tensor


def residual_norm(dtype: str, rows: int, columns: int) -> Kernel:
    """Return an RMS norm of a sum, as it stands before each layer of a transformer."""

    def parts(i: Tensors) -> tuple[Tensor, Tensor]:
        x = i["x"] + i["r"]
        scale = torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6)
        return x * scale, scale

    def backward(u: Tensor, i: Tensors) -> Tensors:
        h, scale = parts(i)
        g = u * i["w"]
        dx = scale * (g - h * (g * h).mean(-1, keepdim=True))
        return {"x": dx, "r": dx, "w": (u * h).sum(0)}

    shapes = {"x": (rows, columns), "r": (rows, columns), "w": (columns,)}
    ranges = {"x": (-2.0, 2.0), "r": (-1.0, 1.0), "w": (0.5, 1.5)}
    return Kernel("residual_norm", dtype, shapes, ranges, lambda i: parts(i)[0] * i["w"], backward)


def batch_norm(dtype: str, items: int, channels: int, length: int) -> Kernel:
    def parts(x: Tensor) -> tuple[Tensor, Tensor]:
        centred = x - x.mean((0, 2), keepdim=True)
        scale = torch.rsqrt((centred * centred).mean((0, 2), keepdim=True) + 1e-5)
        return centred * scale, scale

    def forward(i: Tensors) -> Tensor:
        return parts(i["x"])[0] * i["w"][:, None] + i["b"][:, None]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        h, scale = parts(i["x"])
        g = u * i["w"][:, None]
        dx = scale * (g - g.mean((0, 2), keepdim=True) - h * (g * h).mean((0, 2), keepdim=True))
        return {"x": dx, "w": (u * h).sum((0, 2)), "b": u.sum((0, 2))}

    shapes = {"x": (items, channels, length), "w": (channels,), "b": (channels,)}
    ranges = {"x": (-2.0, 2.0), "w": (0.5, 1.5), "b": (-1.0, 1.0)}
    return Kernel("batch_norm", dtype, shapes, ranges, forward, backward)


def dropout(dtype: str, rows: int, columns: int) -> Kernel:
    kept = torch.from_numpy(np.random.default_rng(7).random((rows, columns)) > 0.1) / 0.9
    return Kernel(
        "dropout",
        dtype,
        {"x": (rows, columns)},
        {"x": (-2.0, 2.0)},
        lambda i: i["x"] * kept,
        lambda u, i: {"x": u * kept},
    )


def embedding(dtype: str, words: int, width: int, length: int) -> Kernel:
    chosen = torch.from_numpy(np.random.default_rng(3).integers(0, words, length))

    def backward(u: Tensor, i: Tensors) -> Tensors:
        return {"w": torch.zeros_like(i["w"]).index_add(0, chosen, u)}

    return Kernel("embedding", dtype, {"w": (words, width)}, {"w": (-1.0, 1.0)}, lambda i: i["w"][chosen], backward)


def log_softmax(dtype: str, rows: int, columns: int) -> Kernel:
    def backward(u: Tensor, i: Tensors) -> Tensors:
        return {"x": u - torch.softmax(i["x"], -1) * u.sum(-1, keepdim=True)}

    shapes = {"x": (rows, columns)}
    return Kernel("log_softmax", dtype, shapes, {"x": (-3.0, 3.0)}, lambda i: torch.log_softmax(i["x"], -1), backward)


def ignoring_cross_entropy(dtype: str, rows: int, classes: int) -> Kernel:
    """Return the losses of all rows but a third of them, whose label is the one to ignore."""
    rng = np.random.default_rng(5)
    labels = torch.from_numpy(rng.integers(0, classes, rows))
    counts = torch.from_numpy((rng.random(rows) > 1 / 3).astype(np.float32))
    each = torch.arange(rows)

    def forward(i: Tensors) -> Tensor:
        x = i["logits"]
        return (torch.logsumexp(x, -1) - x[each, labels]) * counts

    def backward(u: Tensor, i: Tensors) -> Tensors:
        p = torch.softmax(i["logits"], -1)
        p[each, labels] -= 1
        return {"logits": p * (u * counts)[:, None]}

    shapes, ranges = {"logits": (rows, classes)}, {"logits": (-3.0, 3.0)}
    return Kernel("ignoring_cross_entropy", dtype, shapes, ranges, forward, backward, output="float32")


def running_sum(dtype: str, rows: int, columns: int) -> Kernel:
    return Kernel(
        "running_sum",
        dtype,
        {"x": (rows, columns)},
        {"x": (-1.0, 1.0)},
        lambda i: i["x"].cumsum(-1),
        lambda u, i: {"x": u.flip(-1).cumsum(-1).flip(-1)},
    )


def max_pool(dtype: str, rows: int, columns: int, width: int = 4) -> Kernel:
    def backward(u: Tensor, i: Tensors) -> Tensors:
        windows = i["x"].reshape(rows, -1, width)
        first = torch.zeros_like(windows).scatter(-1, windows.argmax(-1, keepdim=True), 1.0)
        return {"x": (first * u[..., None]).reshape(rows, columns)}

    def forward(i: Tensors) -> Tensor:
        return i["x"].reshape(rows, -1, width).amax(-1)

    return Kernel("max_pool", dtype, {"x": (rows, columns)}, {"x": (-2.0, 2.0)}, forward, backward)


def convolution(dtype: str, items: int, channels: int, length: int, outputs: int, width: int = 3) -> Kernel:
    def forward(i: Tensors) -> Tensor:
        return torch.nn.functional.conv1d(i["x"], i["w"], i["b"], padding=width // 2)

    def backward(u: Tensor, i: Tensors) -> Tensors:
        windows = torch.nn.functional.pad(i["x"], (width // 2, width // 2)).unfold(-1, width, 1)
        padded = torch.nn.functional.pad(u, (width // 2, width // 2)).unfold(-1, width, 1)
        return {
            "x": torch.einsum("nolk,ock->ncl", padded, i["w"].flip(-1)),
            "w": torch.einsum("nol,nclk->ock", u, windows),
            "b": u.sum((0, 2)),
        }

    shapes = {"x": (items, channels, length), "w": (outputs, channels, width), "b": (outputs,)}
    reach = 2 / math.sqrt(channels * width)
    ranges = {"x": (-1.0, 1.0), "w": (-reach, reach), "b": (-1.0, 1.0)}
    return Kernel("convolution", dtype, shapes, ranges, forward, backward)


def geglu(dtype: str, rows: int, columns: int) -> Kernel:
    k = math.sqrt(2 / math.pi)

    def backward(u: Tensor, i: Tensors) -> Tensors:
        a = i["a"]
        t = torch.tanh(k * (a + 0.044715 * a**3))
        slope = (1 + t) / 2 + a / 2 * (1 - t * t) * k * (1 + 3 * 0.044715 * a * a)
        return {"a": u * i["b"] * slope, "b": u * a * (1 + t) / 2}

    def forward(i: Tensors) -> Tensor:
        return torch.nn.functional.gelu(i["a"], approximate="tanh") * i["b"]

    shapes = {"a": (rows, columns), "b": (rows, columns)}
    return Kernel("geglu", dtype, shapes, {"a": (-3.0, 3.0), "b": (-2.0, 2.0)}, forward, backward)


def alibi(dtype: str, items: int, heads: int, length: int, width: int) -> Kernel:
    """Return a causal attention whose scores fall with the distance, by a slope for each head."""
    scale = 1 / math.sqrt(width)
    behind = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    slopes = 2.0 ** (-8 / heads * torch.arange(1, heads + 1))[:, None, None]
    bias = torch.where(behind >= 0, -behind * slopes, torch.tensor(-math.inf))

    def weights(i: Tensors) -> Tensor:
        return torch.softmax(i["q"] @ i["k"].transpose(-1, -2) * scale + bias, -1)

    def backward(u: Tensor, i: Tensors) -> Tensors:
        p = weights(i)
        dp = u @ i["v"].transpose(-1, -2)
        ds = p * (dp - (dp * p).sum(-1, keepdim=True)) * scale
        return {"q": ds @ i["k"], "k": ds.transpose(-1, -2) @ i["q"], "v": p.transpose(-1, -2) @ u}

    shape = (items, heads, length, width)
    ranges = dict.fromkeys("qkv", (-2.0, 2.0))
    return Kernel("alibi", dtype, dict.fromkeys("qkv", shape), ranges, lambda i: weights(i) @ i["v"], backward)


def fake_quant(dtype: str, rows: int, columns: int, step: float = 0.125) -> Kernel:
    """Return a rounding to multiples of a step, with the gradient of the identity: a straight-through estimator."""
    return Kernel(
        "fake_quant",
        dtype,
        {"x": (rows, columns)},
        {"x": (-2.0, 2.0)},
        lambda i: torch.round(i["x"] / step) * step,
        lambda u, i: {"x": u},
    )


def sort(dtype: str, rows: int, columns: int) -> Kernel:
    def backward(u: Tensor, i: Tensors) -> Tensors:
        return {"x": torch.zeros_like(u).scatter(-1, torch.sort(i["x"], dim=-1, stable=True).indices, u)}

    def forward(i: Tensors) -> Tensor:
        return torch.sort(i["x"], dim=-1, stable=True).values

    return Kernel("sort", dtype, {"x": (rows, columns)}, {"x": (-2.0, 2.0)}, forward, backward)


def row_maximum(dtype: str, rows: int, columns: int) -> Kernel:
    def backward(u: Tensor, i: Tensors) -> Tensors:
        return {"x": torch.zeros_like(i["x"]).scatter(-1, i["x"].argmax(-1, keepdim=True), u[:, None])}

    return Kernel("row_maximum", dtype, {"x": (rows, columns)}, {"x": (-2.0, 2.0)}, lambda i: i["x"].amax(-1), backward)


def rectified_linear(dtype: str, rows: int, columns: int) -> Kernel:
    """Return a linear layer of the last axis that is followed by a rectifier: kinks of mixtures."""

    def forward(i: Tensors) -> Tensor:
        return torch.relu(i["x"] @ i["w"])

    def backward(u: Tensor, i: Tensors) -> Tensors:
        g = u * (i["x"] @ i["w"] > 0)
        return {"x": g @ i["w"].T, "w": i["x"].T @ g}

    width = 2 / math.sqrt(columns)
    shapes = {"x": (rows, columns), "w": (columns, columns)}
    return Kernel("rectified_linear", dtype, shapes, {"x": (-1.0, 1.0), "w": (-width, width)}, forward, backward)
