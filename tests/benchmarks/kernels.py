"""Right and wrong kernels in low precision, at the sizes where people run them, held against the path test.

    python tests/benchmarks/kernels.py [--only NAME...] [--report FILE]

Each kernel computes in one dtype as kernels do: operands are stored in it, sums are kept in float32. Backwards are
written by hand. Right ones must not be accused, and few may stay undecided; wrong ones must be caught. TF32 is float32
with operands of products rounded to 11 bits.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gradaudit.numerics.path.claim import Claim
from gradaudit.numerics.path.path_test import Settings, path_test
from gradaudit.numerics.path.report import PathReport

torch.set_num_threads(1)

Tensors = dict[str, Tensor]
UNIT = {"float32": 2.0**-24, "tf32": 2.0**-11, "bfloat16": 2.0**-8, "float16": 2.0**-11}


@dataclass(frozen=True)
class Kernel:
    """``backward(upstream, inputs)`` is claimed to be the gradient of ``forward(inputs)``.

    ``ranges`` are of the inputs' values; ``fault`` says what is wrong, and is empty where nothing is.
    """

    name: str
    dtype: str
    shapes: dict[str, tuple[int, ...]]
    ranges: dict[str, tuple[float, float]]
    forward: Callable[[Tensors], Tensor]
    backward: Callable[[Tensor, Tensors], Tensors]
    fault: str = ""

    @property
    def stored(self) -> torch.dtype:
        """The dtype of inputs and outputs."""
        return torch.float32 if self.dtype == "tf32" else getattr(torch, self.dtype)

    @property
    def elements(self) -> int:
        """Of all inputs together."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def drawn(self, seed: int) -> Tensors:
        """Return inputs, uniform in their ranges."""
        rng = np.random.default_rng(seed)
        return {
            name: torch.from_numpy(rng.uniform(*self.ranges[name], shape).astype(np.float32)).to(self.stored)
            for name, shape in self.shapes.items()
        }

    def claim(self, seed: int = 0) -> Claim:
        """Return the claim at random inputs, with an upstream of few digits."""
        inputs = self.drawn(seed)
        output = self.forward(inputs)
        rng = np.random.default_rng(seed + 1)
        upstream = rng.choice([-1, 1], output.shape) * rng.choice([1, 1.25, 1.5, 1.75], output.shape)

        def backward(upstream: tuple[Tensor, ...], inputs: Tensors, outputs: tuple[Tensor, ...]) -> Tensors:
            made = self.backward(upstream[0].float(), {name: x.float() for name, x in inputs.items()})
            return {name: gradient.to(self.stored) for name, gradient in made.items()}

        return Claim(
            lambda inputs: (self.forward(inputs),),
            backward,
            inputs,
            (torch.from_numpy(upstream.astype(np.float32)).to(output.dtype),),
            domains=dict(self.ranges),
        )


def narrowed(x: Tensor) -> Tensor:
    """Return what a tensor core reads of float32: 11 significant bits."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def _wide(inputs: Tensors) -> Tensors:
    return {name: x.float() for name, x in inputs.items()}


def _stored(function: Callable[[Tensors], Tensor], dtype: str) -> Callable[[Tensors], Tensor]:
    stored = torch.float32 if dtype == "tf32" else getattr(torch, dtype)
    return lambda inputs: function(_wide(inputs)).to(stored)


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
    return Kernel("layer_norm", dtype, shapes, ranges, _stored(forward, dtype), backward)


def rms_norm(dtype: str, rows: int, columns: int) -> Kernel:
    def forward(i: Tensors) -> Tensor:
        return i["x"] * torch.rsqrt((i["x"] ** 2).mean(-1, keepdim=True) + 1e-6) * i["w"]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        scale = torch.rsqrt((i["x"] ** 2).mean(-1, keepdim=True) + 1e-6)
        h, g = i["x"] * scale, u * i["w"]
        return {"x": scale * (g - h * (g * h).mean(-1, keepdim=True)), "w": (u * h).sum(0)}

    shapes = {"x": (rows, columns), "w": (columns,)}
    return Kernel("rms_norm", dtype, shapes, {"x": (-2.0, 2.0), "w": (0.5, 1.5)}, _stored(forward, dtype), backward)


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
    return Kernel("group_norm", dtype, shapes, ranges, _stored(forward, dtype), backward)


def swiglu(dtype: str, rows: int, columns: int) -> Kernel:
    def forward(i: Tensors) -> Tensor:
        return i["a"] * torch.sigmoid(i["a"]) * i["b"]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        s = torch.sigmoid(i["a"])
        return {"a": u * i["b"] * (s + i["a"] * s * (1 - s)), "b": u * i["a"] * s}

    shapes = {"a": (rows, columns), "b": (rows, columns)}
    return Kernel("swiglu", dtype, shapes, {"a": (-3.0, 3.0), "b": (-2.0, 2.0)}, _stored(forward, dtype), backward)


def gelu(dtype: str, rows: int, columns: int) -> Kernel:
    k = math.sqrt(2 / math.pi)

    def forward(i: Tensors) -> Tensor:
        return torch.nn.functional.gelu(i["x"], approximate="tanh")

    def backward(u: Tensor, i: Tensors) -> Tensors:
        x = i["x"]
        t = torch.tanh(k * (x + 0.044715 * x**3))
        return {"x": u * ((1 + t) / 2 + x / 2 * (1 - t * t) * k * (1 + 3 * 0.044715 * x * x))}

    return Kernel("gelu", dtype, {"x": (rows, columns)}, {"x": (-3.0, 3.0)}, _stored(forward, dtype), backward)


def relu(dtype: str, rows: int, columns: int) -> Kernel:
    return Kernel(
        "relu",
        dtype,
        {"x": (rows, columns)},
        {"x": (-2.0, 2.0)},
        _stored(lambda i: torch.relu(i["x"]), dtype),
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
        _stored(lambda i: rotated(i["x"], 1.0), dtype),
        lambda u, i: {"x": rotated(u, -1.0)},
    )


def softmax(dtype: str, rows: int, columns: int) -> Kernel:
    def backward(u: Tensor, i: Tensors) -> Tensors:
        p = torch.softmax(i["x"], -1)
        return {"x": p * (u - (u * p).sum(-1, keepdim=True))}

    forward = _stored(lambda i: torch.softmax(i["x"], -1), dtype)
    return Kernel("softmax", dtype, {"x": (rows, columns)}, {"x": (-3.0, 3.0)}, forward, backward)


def cross_entropy(dtype: str, rows: int, classes: int) -> Kernel:
    """Return a fused cross entropy: logits in the dtype, one loss in float32 for each row."""
    labels = torch.from_numpy(np.random.default_rng(5).integers(0, classes, rows))

    def forward(i: Tensors) -> Tensor:
        x = i["logits"].float()
        return torch.logsumexp(x, -1) - x[torch.arange(rows), labels]

    def backward(u: Tensor, i: Tensors) -> Tensors:
        p = torch.softmax(i["logits"], -1)
        p[torch.arange(rows), labels] -= 1
        return {"logits": p * u[:, None]}

    shapes = {"logits": (rows, classes)}
    return Kernel("cross_entropy", dtype, shapes, {"logits": (-3.0, 3.0)}, forward, backward)


def matmul(dtype: str, rows: int, inner: int, columns: int) -> Kernel:
    read = narrowed if dtype == "tf32" else (lambda x: x)

    def forward(i: Tensors) -> Tensor:
        return read(i["x"]) @ read(i["w"])

    def backward(u: Tensor, i: Tensors) -> Tensors:
        return {"x": read(u) @ read(i["w"]).T, "w": read(i["x"]).T @ read(u)}

    width = 2 / math.sqrt(inner)
    shapes = {"x": (rows, inner), "w": (inner, columns)}
    return Kernel("matmul", dtype, shapes, {"x": (-1.0, 1.0), "w": (-width, width)}, _stored(forward, dtype), backward)


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
    return Kernel("attention", dtype, dict.fromkeys("qkv", shape), ranges, _stored(forward, dtype), backward)


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

    forward = _stored(lambda i: torch.stack(states(i), 1), dtype)
    shapes = {"a": (rows, length), "b": (rows, length)}
    return Kernel("scan", dtype, shapes, {"a": (0.5, 0.95), "b": (-1.0, 1.0)}, forward, backward)


RIGHT = [
    layer_norm("float32", 256, 768),
    layer_norm("bfloat16", 128, 256),
    layer_norm("bfloat16", 64, 768),
    layer_norm("float16", 128, 768),
    rms_norm("float32", 128, 1024),
    rms_norm("bfloat16", 128, 512),
    rms_norm("float16", 128, 1024),
    group_norm("float32", 8, 32, 8, 20),
    group_norm("bfloat16", 16, 32, 8, 8),
    swiglu("float32", 128, 1024),
    swiglu("bfloat16", 128, 512),
    swiglu("float16", 128, 512),
    gelu("float32", 1000, 1000),
    gelu("bfloat16", 100, 1000),
    relu("float32", 1000, 1000),
    relu("bfloat16", 100, 1000),
    rope("float32", 2, 64, 8, 64),
    rope("bfloat16", 2, 64, 8, 64),
    softmax("float32", 128, 1024),
    softmax("bfloat16", 256, 256),
    softmax("float16", 128, 1024),
    cross_entropy("float32", 64, 2048),
    cross_entropy("bfloat16", 64, 1024),
    matmul("float32", 256, 256, 256),
    matmul("tf32", 256, 256, 256),
    matmul("bfloat16", 256, 256, 256),
    matmul("float16", 256, 256, 256),
    attention("float32", 2, 4, 64, 64),
    attention("tf32", 2, 4, 64, 32),
    attention("bfloat16", 2, 4, 64, 32),
    attention("float16", 2, 4, 64, 64),
    scan("float32", 256, 64),
    scan("bfloat16", 256, 64),
]


def _broken(kernel: Kernel, fault: str, name: str, change: Callable[[Tensor], None]) -> Kernel:
    """Return a kernel whose gradient of an input is changed."""

    def backward(u: Tensor, i: Tensors) -> Tensors:
        made = kernel.backward(u, i)
        gradient = made[name].clone()
        change(gradient)
        return {**made, name: gradient}

    return replace(kernel, backward=backward, fault=f"{name}: {fault}")


def _at(place: tuple[object, ...], factor: float) -> Callable[[Tensor], None]:
    def change(gradient: Tensor) -> None:
        gradient[place] *= factor

    return change


def _shifted(place: tuple[int, ...], part: float) -> Callable[[Tensor], None]:
    def change(gradient: Tensor) -> None:
        gradient[place] += part * gradient.square().mean().sqrt()

    return change


def _formula(kernel: Kernel, fault: str, backward: Callable[[Tensor, Tensors], Tensors]) -> Kernel:
    return replace(kernel, backward=backward, fault=fault)


EVERYWHERE = (Ellipsis,)


def wrong() -> Iterator[Kernel]:
    """Yield wrong kernels: formulas with a term or a factor missing, parts that are lost, factors."""
    yield from _wrong_norms_and_activations()
    yield from _wrong_rows()
    yield from _wrong_products()


def _wrong_norms_and_activations() -> Iterator[Kernel]:
    for kernel in (layer_norm("float32", 256, 768), layer_norm("bfloat16", 128, 256), layer_norm("float16", 128, 768)):
        last = kernel.shapes["x"][1] - 64
        yield _broken(kernel, "last block of columns lost", "x", _at((slice(None), slice(last, None)), 0.0))
        yield _broken(kernel, "a single row zero", "x", _at((17,), 0.0))
        yield _broken(kernel, "rows from 64 on x 1.05", "x", _at((slice(64, None),), 1.05))
        yield _broken(kernel, "x 1.02", "w", _at(EVERYWHERE, 1.02))
        yield _formula(kernel, "no mean term", _layer_norm_without_mean)
    for kernel in (rms_norm("float32", 128, 1024), rms_norm("bfloat16", 128, 512)):
        yield _broken(kernel, "x 1.02", "x", _at(EVERYWHERE, 1.02))
        yield _broken(kernel, "last row lost", "x", _at((-1,), 0.0))
        yield _formula(kernel, "weights left out", _rms_norm_without_weights)
    for kernel in (swiglu("float32", 128, 1024), swiglu("bfloat16", 128, 512), swiglu("float16", 128, 512)):
        yield _broken(kernel, "x 1.02", "b", _at(EVERYWHERE, 1.02))
        yield _broken(kernel, "one index 0", "a", _at((9, 77), 0.0))
        yield _formula(kernel, "second term left out", _swiglu_without_second_term)
    for kernel in (gelu("float32", 300, 1000), gelu("bfloat16", 100, 1000)):
        yield _broken(kernel, "one index off by half of the rms", "x", _shifted((31, 415), 0.5))
        yield _broken(kernel, "a tenth x 1.05", "x", _at((slice(0, None, 10),), 1.05))


def _wrong_rows() -> Iterator[Kernel]:
    for kernel in (relu("float32", 1000, 1000), relu("bfloat16", 100, 1000)):
        yield _formula(kernel, "leak of 0.1", lambda u, i: {"x": u * torch.where(i["x"] > 0, 1.0, 0.1)})
    for kernel in (rope("float32", 2, 64, 8, 64), rope("bfloat16", 2, 64, 8, 64)):
        yield _formula(
            kernel, "rotated the wrong way", lambda u, i, kernel=kernel: {"x": kernel.forward({"x": u}).float()}
        )
        yield _broken(kernel, "last head lost", "x", _at((slice(None), slice(None), -1), 0.0))
    for kernel in (softmax("float32", 128, 1024), softmax("bfloat16", 256, 256)):
        yield _formula(kernel, "diagonal only", lambda u, i: {"x": (p := torch.softmax(i["x"], -1)) * (1 - p) * u})
        yield _broken(kernel, "x 1.02", "x", _at(EVERYWHERE, 1.02))
    for kernel in (cross_entropy("float32", 64, 2048), cross_entropy("bfloat16", 64, 1024)):
        yield _broken(kernel, "one row zero", "logits", _at((3,), 0.0))
        yield _formula(
            kernel, "label not subtracted", lambda u, i: {"logits": torch.softmax(i["logits"], -1) * u[:, None]}
        )


def _wrong_products() -> Iterator[Kernel]:
    for kernel in [matmul(dtype, 256, 256, 256) for dtype in ("float32", "tf32", "bfloat16", "float16")]:
        yield _broken(kernel, "last block of rows lost", "w", _at((slice(240, None),), 0.0))
        yield _broken(kernel, "x 1.02", "x", _at(EVERYWHERE, 1.02))
    for kernel in (
        attention("float32", 2, 4, 64, 64),
        attention("bfloat16", 2, 4, 64, 32),
        attention("float16", 2, 4, 64, 64),
    ):
        yield _broken(kernel, "scale missing", "q", _at(EVERYWHERE, math.sqrt(kernel.shapes["q"][-1])))
        yield _broken(kernel, "one head lost", "v", _at((1, 2), 0.0))
        yield _broken(kernel, "last block of keys lost", "k", _at((..., slice(48, None), slice(None)), 0.0))
        yield _broken(kernel, "x 1.05", "k", _at(EVERYWHERE, 1.05))
    for kernel in (scan("float32", 256, 64), scan("bfloat16", 256, 64)):
        yield _broken(kernel, "first step lost", "b", _at((slice(None), 0), 0.0))
        yield _broken(kernel, "x 1.02", "a", _at(EVERYWHERE, 1.02))


def _layer_norm_without_mean(u: Tensor, i: Tensors) -> Tensors:
    x = i["x"]
    centred = x - x.mean(-1, keepdim=True)
    scale = torch.rsqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)
    h, g = centred * scale, u * i["w"]
    return {"x": scale * (g - h * (g * h).mean(-1, keepdim=True)), "w": (u * h).sum(0), "b": u.sum(0)}


def _rms_norm_without_weights(u: Tensor, i: Tensors) -> Tensors:
    scale = torch.rsqrt((i["x"] ** 2).mean(-1, keepdim=True) + 1e-6)
    h = i["x"] * scale
    return {"x": scale * (u - h * (u * h).mean(-1, keepdim=True)), "w": (u * h).sum(0)}


def _swiglu_without_second_term(u: Tensor, i: Tensors) -> Tensors:
    s = torch.sigmoid(i["a"])
    return {"a": u * i["b"] * s, "b": u * i["a"] * s}


@dataclass(frozen=True)
class Row:
    """One kernel's audit; times in seconds of CPU."""

    kernel: Kernel
    verdict: str
    report: PathReport
    seconds: float
    own: float

    @property
    def line(self) -> str:
        """What is said of it, as a row of a table in Markdown."""
        k, report = self.kernel, self.report
        inputs = report.inputs.values()
        levels = [
            f"{max((found.resolution.index for found in inputs), default=math.inf):.1g}",
            f"{max((found.resolution.blocks for found in inputs), default=math.inf):.1g}",
            f"{max((found.resolution.whole for found in inputs), default=math.inf):.1g}",
        ]
        named = ", ".join(f"{c.kind} of {c.input} ({len(c.places):,})" for c in report.culprits[:2])
        said = [k.name, k.dtype, f"{k.elements:,}", k.fault or "-", self.verdict, named or "-", *levels]
        said += [f"{report.forwards} + {report.backwards}", f"{self.seconds:.1f}", f"{self.own:.1f}"]
        return "| " + " | ".join(said) + " |"


HEAD = (
    "| kernel | dtype | elements | fault | verdict | named | index | blocks | whole | calls | s | kernel's own s |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|"
)


def settings_for(dtype: str) -> Settings:
    """Return what is asked of a kernel in a dtype."""
    return Settings() if dtype == "float32" else Settings.half(UNIT[dtype])


def audited(kernel: Kernel, seed: int = 0) -> Row:
    """Audit one kernel along paths."""
    claim = kernel.claim(seed)
    spent = [0.0]

    def timed(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            started = time.process_time()
            made = function(*args)
            spent[0] += time.process_time() - started
            return made

        return call

    claim._forward, claim._backward = timed(claim._forward), timed(claim._backward)  # type: ignore[assignment]
    started = time.process_time()
    report = path_test(claim, np.random.default_rng(seed), settings_for(kernel.dtype))
    seconds = time.process_time() - started
    verdict = "fail" if report.fails else "pass" if report.passes else "inconclusive"
    return Row(kernel, verdict, report, seconds - spent[0], spent[0])


def main() -> int:
    """Audit all kernels and say what does not keep to what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="kernels whose name, dtype or fault holds one of these")
    parser.add_argument("--report", type=Path, help="file to write the table to")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    lines = [HEAD]
    print(HEAD)
    counts = {True: {"pass": 0, "inconclusive": 0, "fail": 0}, False: {"pass": 0, "inconclusive": 0, "fail": 0}}
    for kernel in [*RIGHT, *wrong()]:
        words = f"{kernel.name} {kernel.dtype} {kernel.fault}"
        if arguments.only and not all(word in words for word in arguments.only):
            continue
        row = audited(kernel, arguments.seed)
        counts[not kernel.fault][row.verdict] += 1
        lines.append(row.line)
        print(row.line, flush=True)
        if kernel.fault == "" and row.report.unexplained:
            print("    ", "; ".join(row.report.unexplained), row.report.paths_needed)
    print("right:", counts[True], " wrong:", counts[False])
    if arguments.report:
        arguments.report.write_text("\n".join(lines) + "\n")
    return int(counts[True]["fail"] > 0 or counts[True]["inconclusive"] > 3 or counts[False]["pass"] > 0)


if __name__ == "__main__":
    sys.exit(main())
