"""The panel that constants are held against: right and wrong gradients of every kind that went wrong in practice.

An item is small, is audited in this process and ends at once. It knows whether its gradient is right, so that a
constant which accuses a right one, or lets a wrong one pass, is told from one that merely spends more.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import gradaudit

BESIDE = Path(__file__).parent
sys.path[:0] = [str(BESIDE), str(BESIDE.parent / "numerics" / "path")]

from approximate_forwards import RIGHT, STRAIGHT_THROUGH, WRONG  # noqa: E402
from right_ops import OPS, in_float32, in_its_dtype, softmax, softmax_backward  # noqa: E402
from wrong_ops import FAULTS, spoilt  # noqa: E402

Array = Any
Function = Callable[..., Any]

f32, bf16 = np.float32, ml_dtypes.bfloat16

LARGE = (27, 20)
"""A shape of more elements than a full table is made of."""


@dataclass(frozen=True)
class Item:
    """A gradient to audit.

    Attributes:
        name: what is told of it.
        right: whether it is.
        forward, backward: the op.
        inputs: by name.
        settings: of ``gradaudit.check``.

    """

    name: str
    right: bool
    forward: Function
    backward: Function
    inputs: Mapping[str, Array]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def audit(self) -> Any:
        """Audit it, with whatever warnings NumPy has for it unsaid."""
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return gradaudit.check(gradaudit.op(self.forward, self.backward), self.inputs, **self.settings)


def panel() -> list[Item]:
    """Return all items; names are unique."""
    parts = (elementary, approximate, narrow, cancelling, faint, kinked, rough, elsewhere, answering_otherwise)
    items = [item for part in parts for item in part()]
    assert len({item.name for item in items}) == len(items)
    return items


def drawn(*shape: int, low: float = -1.5, high: float = 1.5, seed: int = 0, dtype: Any = np.float64) -> Array:
    return np.random.default_rng(seed).uniform(low, high, shape).astype(dtype)


def pair(
    name: str, forward: Function, right: Function, wrong: Function, *arrays: Array, **settings: Any
) -> Iterator[Item]:
    """Yield an op with its gradient, and with another; inputs are called x, y and z."""
    inputs = dict(zip("xyz", arrays, strict=False))
    yield Item(f"{name}: right", True, forward, right, inputs, settings)
    yield Item(f"{name}: wrong", False, forward, wrong, inputs, settings)


def times(factor: float, backward: Function) -> Function:
    return lambda u, *x: (factor * backward(u, *x)).astype(u.dtype)


def at(place: int, factor: float, backward: Function) -> Function:
    """Return a backward that is off by a factor at one index."""

    def wrong(u: Array, *x: Array) -> Array:
        gradient = np.array(backward(u, *x))
        gradient.reshape(-1)[place] *= factor
        return gradient

    return wrong


def elementary() -> Iterator[Item]:
    """Yield right ops of all kinds in several dtypes, and each with a fault that shows at its point."""
    shapes, faults = cycle([(3, 4), (7,), (2, 3, 5)]), cycle(FAULTS)
    for k, (name, (forward, backward)) in enumerate(OPS.items()):
        shape, fault = next(shapes), next(faults)
        x = drawn(*shape, seed=k)
        whole = np.random.default_rng(k).integers(-3, 4, shape).astype(np.float64)
        right, wrong = in_its_dtype(backward), spoilt(backward, FAULTS[fault], 0)
        yield Item(name, True, forward, right, {"x": x})
        yield Item(f"{name} of whole numbers", True, forward, right, {"x": whole})
        yield Item(f"{name}, float32", True, forward, right, {"x": x.astype(f32)})
        yield Item(f"{name}, float32 inside", True, in_float32(forward), right, {"x": x})
        yield Item(f"{name}, many", True, forward, right, {"x": drawn(*LARGE, seed=k)})
        u = np.ones_like(forward(x))
        if not np.allclose(wrong(u, x), right(u, x), rtol=1e-4, atol=0.0):  # else the fault does not show there
            yield Item(f"{name}: {fault}", False, forward, wrong, {"x": x})


def approximate() -> Iterator[Item]:
    """Yield forwards that round, iterate, tabulate or step; the dear ones with few elements."""
    for right, ops in ((True, RIGHT), (False, WRONG)):
        for name, op in ops.items():
            if "from 0.5" in name:  # where no element need be
                continue
            size = (1, 8) if "matmul" in name else (3,)
            x = drawn(*size, low=op.low, high=op.high, seed=1)
            straight = ", straight through" if name in STRAIGHT_THROUGH else ""
            yield Item(
                f"approximate: {name}{straight}: {'right' if right else 'wrong'}",
                right,
                op.forward,
                op.backward,
                {"x": x},
            )


def rounded(x: Array) -> Array:
    return x.astype(bf16).astype(x.dtype)


def tf32(x: Array) -> Array:
    bits = (np.ascontiguousarray(x, f32).view(np.uint32) + np.uint32(0x1000)) & np.uint32(0xFFFFE000)
    return bits.view(f32)


def only_float32(function: Function) -> Function:
    """Return a kernel that refuses every other dtype."""

    def kernel(*arrays: Array) -> Array:
        if any(x.dtype != f32 for x in arrays):
            raise TypeError("float32 only")
        return function(*arrays)

    return kernel


def blind_to_dtype(x: Array) -> Array:
    """Square what lies in memory as float32, whatever dtype it is of."""
    made = np.zeros_like(x)
    numbers = np.ascontiguousarray(x).view(f32).reshape(-1)[: x.size]
    made.view(f32).reshape(-1)[: x.size] = numbers**2
    return made


def layer_norm(x: Array, w: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + x.dtype.type(1e-5)) * w


def layer_norm_backward(u: Array, x: Array, w: Array) -> tuple[Array, Array]:
    centred = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(-1, keepdims=True) + x.dtype.type(1e-5))
    h, g = centred * scale, u * w
    return scale * (g - g.mean(-1, keepdims=True) - h * (g * h).mean(-1, keepdims=True)), (u * h).sum(0)


def narrow() -> Iterator[Item]:
    """Yield what computes in few digits: operands that are rounded, kernels of one dtype, half precision."""
    tanh_slope = lambda u, x: (u * (1 - np.tanh(x) ** 2)).astype(x.dtype)  # noqa: E731
    x, w = drawn(4, 6, dtype=f32), drawn(6, 4, seed=1, dtype=f32)
    gradients = lambda u, x, w: (u @ w.T, x.T @ u)  # noqa: E731
    scaled = lambda u, x, w: (f32(1.05) * (u @ w.T), x.T @ u)  # noqa: E731
    for name, operand in (("bfloat16", rounded), ("TF32", tf32)):
        matmul = lambda x, w, operand=operand: (operand(x) @ operand(w)).astype(x.dtype)  # noqa: E731
        yield from pair(f"matmul of {name}", matmul, gradients, scaled, x, w)
    yield from pair(
        "tanh of what is rounded to bfloat16",
        lambda x: np.tanh(rounded(x)),
        tanh_slope,
        times(1.1, tanh_slope),
        drawn(3, 4, dtype=f32),
    )
    yield from pair("float32 only", only_float32(np.tanh), tanh_slope, times(1.02, tanh_slope), drawn(4, 6, dtype=f32))
    large = drawn(*LARGE, dtype=f32)
    yield from pair("many, float32 only", only_float32(np.tanh), tanh_slope, at(77, 1.05, tanh_slope), large)
    yield from pair(
        "layer norm, float32 only",
        only_float32(layer_norm),
        layer_norm_backward,
        lambda u, x, w: (1.02 * layer_norm_backward(u, x, w)[0], layer_norm_backward(u, x, w)[1]),
        drawn(4, 8, dtype=f32),
        drawn(8, low=0.5, seed=1, dtype=f32),
    )
    many = drawn(40, 24, dtype=f32), drawn(24, low=0.5, seed=1, dtype=f32)
    yield from pair(
        "layer norm of many, float32 only",
        only_float32(layer_norm),
        layer_norm_backward,
        lambda u, x, w: (at(500, 0.0, lambda u, x, w: layer_norm_backward(u, x, w)[0])(u, x, w), (u * x).sum(0)),
        *many,
    )
    double = lambda u, x: 2 * u * x  # noqa: E731
    yield from pair("garbage in float64", blind_to_dtype, double, times(1.02, double), drawn(3, 4, dtype=f32))
    for dtype, factor in ((bf16, 1.2), (np.float16, 1.05)):
        name = np.dtype(dtype).name
        yield from pair(name, np.tanh, tanh_slope, times(factor, tanh_slope), drawn(3, 4, dtype=dtype))
        yield from pair(f"many, {name}", np.tanh, tanh_slope, at(77, 0.0, tanh_slope), drawn(*LARGE, dtype=dtype))
    total = lambda x: x.sum(0)  # noqa: E731
    spread = lambda u, x: np.broadcast_to(u, x.shape).copy()  # noqa: E731
    yield from pair("sum of bfloat16", total, spread, times(1.1, spread), drawn(32, 2, dtype=bf16))
    cube = lambda u, x: (3 * u * x * x).astype(x.dtype)  # noqa: E731
    lossy = lambda u, x: ((u * ((x + 1000) ** 2 - 1e6 - 2000 * x)) / x * 3).astype(x.dtype)  # noqa: E731
    yield from pair("digits lost", lambda x: x**3, cube, lossy, drawn(4, 5, low=0.5, dtype=f32))
    branch = lambda u, x: (u * np.cos(x) * (1.01 if x.dtype == np.float64 else 1)).astype(x.dtype)  # noqa: E731
    yield Item("only the float64 branch is off", True, np.sin, branch, {"x": drawn(600, dtype=f32)})
    partly = lambda x: np.sin(x) + rounded(x) / 10  # noqa: E731
    partly_slope = lambda u, x: u * (np.cos(x) + 0.1)  # noqa: E731
    yield from pair("partly bfloat16", partly, partly_slope, times(1.05, partly_slope), drawn(20))


def cancelling() -> Iterator[Item]:
    """Yield what is the small difference of large numbers: offsets, sums of centred terms, saturation."""
    three = lambda u, x: 3 * u  # noqa: E731
    for offset in (1e6, 1.7e9):
        behind = lambda x, offset=offset: 3 * ((offset + x) - offset)  # noqa: E731
        yield from pair(f"behind {offset:g}", behind, three, lambda u, x: 0 * u, drawn(5))
        yield from pair(f"many behind {offset:g}", behind, three, times(1.02, three), drawn(520))
    behind = lambda x: 1.1 * x + 1e5 - 1e5  # noqa: E731
    for atol in (1e-9, 1e-11, 1e-13):
        settings = {"rtol": 0.0, "atol": atol}
        yield from pair(f"atol {atol:g}", behind, times(1.1, unchanged), times(1.2, unchanged), drawn(8), **settings)
    u = drawn(600, 1, seed=3)
    u = (u - u.mean()).astype(f32)
    yield from pair(
        "bias, centred upstream",
        lambda x, y: x + y,
        lambda u, x, y: (u, u.sum(0)),
        lambda u, x, y: (u, abs(u).sum(0)),
        drawn(600, 1, dtype=f32),
        np.ones(1, f32),
        upstream=u,
    )
    centred = drawn(300, 4, seed=5)
    centred = (centred - centred.mean(0)).astype(f32)
    yield from pair(
        "gamma of batch norm, ones",
        lambda x, y: x * y,
        lambda u, x, y: (u * y, (u * x).sum(0)),
        lambda u, x, y: (u * y, (u * x * x).sum(0)),
        centred,
        np.ones(4, f32),
        upstream="ones",
    )
    same = (1000 + drawn(6, 8, seed=2)).astype(f32)
    flipped = lambda u, x: -softmax_backward(u, x)  # noqa: E731
    yield from pair("softmax, even upstream", softmax, softmax_backward, flipped, drawn(6, 8, dtype=f32), upstream=same)
    for scale in (20, 200):
        saturated = drawn(3, 5, low=-scale, high=scale)
        yield from pair(f"softmax to {scale}", softmax, softmax_backward, flipped, saturated)
    yield from pair("softmax of many", softmax, softmax_backward, at(70, 1.05, softmax_backward), drawn(*LARGE, low=-5))
    cosine = lambda u, x: u * np.cos(x)  # noqa: E731
    for size in (1e3, 1e6):
        offset = lambda x, size=size: size + np.sin(x)  # noqa: E731
        yield from pair(f"sine beside {size:g}", offset, cosine, lambda u, x: -u * np.cos(x), drawn(4, 6))
        yield from pair(f"sines beside {size:g}", offset, cosine, at(9, 2.0, cosine), drawn(520))


def unchanged(u: Array, x: Array) -> Array:
    return u.copy()


def faint() -> Iterator[Item]:
    """Yield gradients that are small beside others, or beside what rounding leaves of them."""
    tiny = lambda u, x: 1e-10 * u  # noqa: E731
    yield from pair("1 + 1e-10 x", lambda x: 1 + 1e-10 * x, tiny, times(-1.0, tiny), drawn(12))
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    slope = lambda u, x: u * sigmoid(x + 25) * sigmoid(-x - 25)  # noqa: E731
    yield from pair("a sigmoid beyond 25", lambda x: sigmoid(x + 25), slope, times(-1.0, slope), drawn(12))
    for shape, every in (((20, 4), 2), (LARGE, 2), ((3000,), 50), ((12000,), 4000)):
        for weight in (1e-4, 1e-8):
            kinds = np.where(np.arange(shape[0]) % every, 1.0, weight).reshape(-1, *[1] * (len(shape) - 1))
            forward = lambda x, w=kinds: w.astype(x.dtype) * np.sin(x)  # noqa: E731
            right = lambda u, x, w=kinds: u * w.astype(x.dtype) * np.cos(x)  # noqa: E731
            wrong = lambda u, x, w=kinds, g=right: g(u, x) * np.where(w < 1, -1, 1).astype(x.dtype)  # noqa: E731
            for dtype in (np.float64, f32) if shape == (20, 4) else (np.float64,):
                x = drawn(*shape, dtype=dtype)
                name = f"one in {every} of {shape} of weight {weight:g}, {np.dtype(dtype).name}"
                yield from pair(name, forward, right, wrong, x)
    spread = np.logspace(-12, 12, 24)
    products = lambda u, x: u * spread * np.cos(x)  # noqa: E731
    yield from pair("24 scales", lambda x: spread * np.sin(x), products, at(7, 1.05, products), drawn(24))
    wide = np.logspace(-12, 12, 1000)
    many = lambda u, x: u * wide * np.cos(x)  # noqa: E731
    yield from pair("1000 scales", lambda x: wide * np.sin(x), many, at(100, 1.5, many), drawn(1000))
    few = np.where(np.arange(2000) % 997 == 3, 1.0, 0.0)
    sparse = lambda u, x: u * few * 2 * x  # noqa: E731
    yield from pair("mostly zero", lambda x: few * x * x, sparse, at(1000, 1.02, sparse), drawn(2000))
    second = lambda u, x, y: (u * np.cos(x), np.zeros_like(y))  # noqa: E731
    unused = lambda u, x, y: (u * np.cos(x), 0.01 * (np.arange(y.size) == 4))  # noqa: E731
    yield from pair("an unused input", lambda x, y: np.sin(x), second, unused, drawn(30), drawn(30, seed=1))
    scaled = lambda u, x, y: (u * y, (u * x).reshape(-1))  # noqa: E731
    beside = lambda u, x, y: (u * y, 1.05 * (u * x).reshape(-1))  # noqa: E731
    yield from pair(
        "two scales", lambda x, y: x * y, scaled, beside, drawn(520), drawn(520, low=1e-7, high=3e-7, seed=1)
    )


def kinked() -> Iterator[Item]:
    """Yield kinks at the point and near it, equal elements at a maximum, jumps."""
    relu, slope = (lambda x: np.maximum(x, 0)), (lambda u, x: u * (x > 0))
    ties = np.resize([0.0, 0.5, -0.5, 0.0, 1.0], 8)
    yield from pair("relu at zero", relu, slope, lambda u, x: u * np.where(x == 0, 1.5, x > 0), ties[:5])
    many = np.resize([0.0, 0.5, -0.5, 1.0, -1.0, 0.25, 0.0], 530)
    yield Item("many at zero", True, relu, slope, {"x": many})
    for size in (1e-3, 1e-6):
        close = drawn(520, low=-size, high=size)
        yield from pair(f"relu within {size:g}", relu, slope, at(3, 0.0, lambda u, x: u * (x > 0) + 1e-9), close)
    leaky = lambda u, x: u * np.where(x > 0, 1, 0.01)  # noqa: E731
    yield from pair("a leak", relu, slope, leaky, drawn(12))
    yield from pair("kinks in float32", relu, slope, lambda u, x: u * (x > f32(0.3)), drawn(*LARGE, dtype=f32))
    shares = lambda u, x: u * (x == x.max()) / (x == x.max()).sum()  # noqa: E731
    tied = np.resize([1.0, 0.3, 1.0, -0.5, 0.2], 15)
    yield from pair("a maximum of ties", np.max, shares, lambda u, x: u * (x == x.max()), tied)
    zeros = lambda u, x: u * np.zeros_like(x)  # noqa: E731
    yield from pair("no share of ties", np.max, shares, zeros, tied[::-1].copy())
    yield from pair("many ties", np.max, shares, zeros, np.resize([1.0, 0.3, 1.0, 0.5], 520))
    sign = lambda u, x: u * np.sign(x)  # noqa: E731
    yield from pair("abs of zeros", np.abs, sign, lambda u, x: 2 * u + 0 * x, np.zeros((3, 4)))
    ordered = lambda u, x: u[np.argsort(np.argsort(x, kind="stable"), kind="stable")]  # noqa: E731
    yield from pair("sorted ties", np.sort, ordered, lambda u, x: 1.5 * ordered(u, x), np.resize([1.0, 2.0, 1.0], 9))
    step = lambda x: np.floor(x) + x  # noqa: E731
    yield from pair("at jumps", step, unchanged, lambda u, x: -u, np.arange(-3.0, 9.0))
    yield from pair("beside jumps", step, unchanged, times(1.02, unchanged), drawn(800, low=1.1, high=1.9))
    one_jump = np.where(np.arange(700) == 5, 0.0, np.linspace(1.1, 1.9, 700))
    yield from pair("one jump of many", step, unchanged, at(300, 1.05, unchanged), one_jump)
    hard = lambda x: np.clip(x, -1, 1)  # noqa: E731
    within = lambda u, x: u * (abs(x) < 1)  # noqa: E731
    yield from pair("clip at its ends", hard, within, lambda u, x: -u * (abs(x) <= 1), np.resize([-1, 1, 0.5], 6))
    two = lambda x: np.where(x < 0.5, x**2, np.sin(3 * x))  # noqa: E731
    branches = lambda sign: lambda u, x: u * np.where(x < 0.5, 2 * x, sign * 3 * np.cos(3 * x))  # noqa: E731
    yield from pair("two branches", two, branches(1), branches(-1), drawn(5, 6, low=0.0, high=1.0))


def rough() -> Iterator[Item]:
    """Yield staircases, waves, noise in forward."""
    for height, size in ((1e-3, 40), (1e-3, 600), (1e-2, 20), (1e-6, 20)):
        stairs = lambda x, h=height: np.round(x / h) * h  # noqa: E731
        product = lambda x, s=stairs: x * s(x)  # noqa: E731
        local = lambda u, x, s=stairs: u * s(x)  # noqa: E731
        yield from pair(f"{size} on stairs of {height:g}", product, local, times(1.5, local), drawn(size, low=-3.0))
    for frequency in (1e2, 1e5):
        wave = lambda x, k=frequency: np.sin(k * x) / k  # noqa: E731
        slope = lambda u, x, k=frequency: u * np.cos(k * x)  # noqa: E731
        yield from pair(f"waves of {frequency:g}", wave, slope, times(1.02, slope), drawn(6))
        yield from pair(f"many waves of {frequency:g}", wave, slope, at(7, 1.05, slope), drawn(520))
    for share in (1.0, 1e-3):
        wild = lambda x, s=share: (1 - s) * x + s * np.sin(1e7 * x)  # noqa: E731
        for method in ("search", "exhaustive"):
            for name, claim in (("zeros", lambda u, x: 0 * u), ("1.01", lambda u, x, s=share: u * (1 - s) * 1.01)):
                told = f"wild waves, {share:g}, {method}: {name}"
                yield Item(told, False, wild, claim, {"x": drawn(6)}, {"method": method})
    for ripple in (1e-7, 1e-5):
        function = lambda x, r=ripple: np.tanh(x) + r * np.sin(9 * x)  # noqa: E731
        slope = lambda u, x: u * (1 - np.tanh(x) ** 2)  # noqa: E731
        yield from pair(f"ripples of {ripple:g}", function, slope, times(1.02, slope), drawn(6))
    trunk = lambda x: np.floor(x.astype(f32)).astype(x.dtype)  # noqa: E731
    none = lambda u, x: 0 * u  # noqa: E731
    yield from pair("whole numbers", trunk, none, lambda u, x: -u, drawn(520, low=-100, high=100))
    quantised = lambda x: np.round(x * 40) / 40  # noqa: E731
    yield from pair("40 steps, straight through", quantised, unchanged, times(2.0, unchanged), drawn(4, low=0.5))
    jitter = lambda x: np.sin(x) + 1e-9 * np.sin(1e12 * x)  # noqa: E731
    cosine = lambda u, x: u * np.cos(x)  # noqa: E731
    for size in (12, 520):
        yield from pair(f"noise of 1e-9, {size}", jitter, cosine, times(1.02, cosine), drawn(size))
    noisy = lambda x: np.sin(x) + 1e-3 * np.sin(1e12 * x)  # noqa: E731
    yield from pair("noise of 1e-3", noisy, cosine, times(-1.0, cosine), drawn(12))


def elsewhere() -> Iterator[Item]:
    """Yield points and functions of unusual magnitude, edges of domains, numbers that are none, complex numbers."""
    for scale in (1e-12, 1e-4, 1e8, 1e200):
        waves = lambda x, s=scale: s * np.sin(x / s)  # noqa: E731
        slope = lambda u, x, s=scale: u * np.cos(x / s)  # noqa: E731
        for size in (5, 520):
            x = scale * drawn(size)
            yield from pair(f"{size} at {scale:g}", waves, slope, at(3, 1.05, slope), x)
    for scale in (1e-300, 1e300):
        tall = lambda x, s=scale: s * np.sin(x)  # noqa: E731
        slope = lambda u, x, s=scale: u * (s * np.cos(x))  # noqa: E731
        yield from pair(f"outputs of {scale:g}", tall, slope, at(3, -1.0, slope), drawn(600))
    mixed = np.array([10.0 ** (k % 13 - 6) for k in range(600)])
    inverse = lambda u, x: -u / x**2  # noqa: E731
    yield from pair("of many magnitudes", lambda x: 1 / x, inverse, at(300, 1.05, inverse), mixed)
    for huge in (1e15, 1e17):
        x = np.array([huge, *np.linspace(-1, 1, 519)])
        yield from pair(f"one of {huge:g}", lambda x: 3 * x, lambda u, x: 3 * u, at(1, 1.05, lambda u, x: 3 * u), x)
    edges: dict[str, tuple[Function, Function, float, float]] = {
        "root": (np.sqrt, lambda u, x: u / 2 / np.sqrt(x), 1e-3, 1.0),
        "logarithm": (np.log, lambda u, x: u / x, 1e-9, 1e-3),
        "arc sine": (np.arcsin, lambda u, x: u / np.sqrt(1 - x * x), -0.999, 0.999),
    }
    for name, (forward, backward, low, high) in edges.items():
        for size in (10, 520):
            yield from pair(
                f"{name} of {size}", forward, backward, at(7, 1.05, backward), drawn(size, low=low, high=high)
            )
    zero = np.array([0.0, 0.5, 1.0])
    yield Item("root at zero", False, np.sqrt, lambda u, x: u / 2 / np.sqrt(np.maximum(x, 1e-3)), {"x": zero})
    cosine = lambda u, x: u * np.cos(x)  # noqa: E731
    for size in (12, 520):
        for number in (np.nan, np.inf):
            yield Item(f"{number} of {size}", False, np.sin, at(5, number, cosine), {"x": drawn(size)})
    z = drawn(4, 5) + 1j * drawn(4, 5, seed=1)
    conjugate = lambda u, x: u * np.conj(2 * x)  # noqa: E731
    yield from pair("complex squares", np.square, conjugate, lambda u, x: u * 2 * x, z)
    many = drawn(30, 20) + 1j * drawn(30, 20, seed=1)
    yield from pair("many complex squares", np.square, conjugate, at(77, 1.05, conjugate), many)
    squared = lambda u, x: 2 * u.real * x  # noqa: E731
    yield from pair("modulus", lambda x: x * np.conj(x), squared, lambda u, x: u * x, z)
    yield from asked()


def asked() -> Iterator[Item]:
    """Yield a sine that is asked about in all ways: sizes, tolerances, methods."""
    cosine = lambda u, x: u * np.cos(x)  # noqa: E731
    for size in (0, 1):
        yield Item(f"{size} elements", True, np.sin, cosine, {"x": drawn(size)}, {"method": "search"})
    yield from pair("zeros", lambda x: x * 3, lambda u, x: 3 * u, lambda u, x: 3.05 * u, np.zeros((3, 4)))
    yield from pair("mostly sine", np.sin, cosine, times(1 + 1e-5, cosine), drawn(9))
    yield from pair("asked coarsely", np.sin, cosine, times(1.2, cosine), drawn(9), rtol=0.1, atol=0.0)
    yield from pair("asked loosely", np.sin, cosine, times(3.0, cosine), drawn(9), rtol=0.0, atol=0.5)
    yield from pair("asked finely", np.sin, cosine, times(1 + 1e-9, cosine), drawn(9), rtol=1e-12, atol=0.0)
    for method in ("search", "exhaustive"):
        yield from pair(method, np.sin, cosine, times(1.01, cosine), drawn(4, 5), method=method)
    everywhere = lambda u, x: np.where(np.arange(x.size).reshape(x.shape) % 3, 1, 1.02) * cosine(u, x)  # noqa: E731
    yield from pair("a third", np.sin, cosine, everywhere, drawn(*LARGE))
    yield from pair("much", np.sin, cosine, lambda u, x: u * np.cos(x) ** 2, drawn(*LARGE))


def answering_otherwise() -> Iterator[Item]:
    """Yield what other checks look for: upstreams, layouts, state, shares of rows, symmetric inputs."""
    cube = lambda u, x: 3 * u * x * x  # noqa: E731
    yield from pair("clipped", lambda x: x**3, cube, lambda u, x: np.clip(3 * u * x * x, -50, 50), drawn(30))
    yield from pair("no upstream", np.sin, lambda u, x: u * np.cos(x), lambda u, x: np.cos(x), drawn(30))
    plus = lambda u, x: cube(u, x) + 1e-3 * np.sign(u)  # noqa: E731
    yield from pair("not linear", lambda x: x**3, cube, plus, drawn(30), atol=1e-2)

    def adjacent(u: Array, x: Array) -> Array:
        u = u if u.strides[-1] == u.itemsize else np.ascontiguousarray(u)
        return np.lib.stride_tricks.as_strided(u, u.shape, (u.shape[1] * u.itemsize, u.itemsize)) * np.cos(x)

    for shape in ((4, 6), LARGE):
        yield from pair(f"rows {shape}", np.sin, lambda u, x: u * np.cos(x), adjacent, drawn(*shape))
    x, w = drawn(40, 16), drawn(16, 40, seed=1)
    inside = lambda a: a.astype(f32)  # noqa: E731
    wide = lambda x, w: (inside(x) @ inside(w)).astype(np.float64)  # noqa: E731
    gradients = lambda u, x, w: (wide(u, w.T), wide(x.T, u))  # noqa: E731
    yield from pair("matmul in float32", wide, gradients, lambda u, x, w: (wide(u, w.T), 1.02 * wide(x.T, u)), x, w)

    def any_order(u: Array, x: Array) -> Array:
        rows = range(len(x)) if u.flags.c_contiguous else range(len(x))[::-1]
        total = np.zeros_like(x)
        for row in rows:
            total += u[row : row + 1]
        return total

    summed = lambda x: np.broadcast_to(x.sum(0), x.shape).copy()  # noqa: E731
    yield from pair("sums in any order", summed, any_order, lambda u, x: u.copy(), drawn(30, 4, dtype=f32))
    bias = lambda x, y: x + y  # noqa: E731
    rows = drawn(5, 4), drawn(4, seed=1)
    yield from pair("all rows", bias, lambda u, x, y: (u, u.sum(0)), lambda u, x, y: (u, u[-1].copy()), *rows)
    yield from pair("summed", bias, lambda u, x, y: (u, u.sum(0)), lambda u, x, y: (u, u), *rows)
    kept: dict[str, Array] = {}

    def remembering(x: Array) -> Array:
        kept["x"] = x.copy()
        return np.sin(x)

    yield Item("last point", False, remembering, lambda u, x: u * np.cos(kept["x"]), {"x": drawn(3, 4)})
    first, second, third = (np.random.default_rng(k) for k in range(3))  # an item each: they are audited once
    yield Item("noise", False, lambda x: x + 0.1 * first.normal(size=x.shape), unchanged, {"x": drawn(3, 4)})
    dropped = lambda u, x: u * (second.random(x.shape) < 0.5)  # noqa: E731
    yield Item("drawn anew", False, np.positive, dropped, {"x": drawn(3, 4)})
    scatter = lambda u, x: u * np.cos(x) * (1 + 1e-15 * third.random(x.shape))  # noqa: E731
    yield Item("another order each time", True, np.sin, scatter, {"x": drawn(3, 4)})
    half = drawn(4, 4, seed=2)
    spd = half @ half.T + 4 * np.eye(4)
    factor = np.linalg.cholesky

    def factor_backward(u: Array, a: Array) -> Array:
        low = factor(a)
        inverse = np.linalg.inv(low)
        phi = np.tril(low.T @ np.tril(u))
        phi[np.diag_indices(len(a))] /= 2
        made = inverse.T @ phi @ inverse
        return (made + made.T) / 2

    yield from pair("Cholesky", factor, factor_backward, times(1.05, factor_backward), spd)
    small = lambda u, x: np.where(x > 0, 1, 1.05) * u * np.cos(x)  # noqa: E731
    yield from pair("ones", np.sin, lambda u, x: u * np.cos(x), small, drawn(3, 4), upstream="ones")
    sums = lambda u, x: 0 * x  # noqa: E731
    yield from pair("softmax of ones", softmax, sums, unchanged, drawn(3, 4), upstream="ones")
