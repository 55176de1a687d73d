"""Audits right ops at random shapes, scales, dtypes and values, ties and kinks among them, and prints who is accused.

    python tests/benchmarks/right_ops.py [--seconds N] [--seed N]

A third of the forwards compute in float32 and return what they were given. A backward that is off in its own narrow
dtype is no false alarm: ``precision-loss`` and ``nonfinite`` are left out, and half precision only runs ops that keep
their digits there. Exit status: 0 where nothing is accused and nothing raises, 1 otherwise.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "checks"))

from pairs import array, audit, only
from softmax_pair import softmax, softmax_backward

from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Input

Function = Callable[..., Any]

SHAPES = [(3, 4), (1,), (7,), (30, 40), (2, 3, 5), (2000,)]

EXCUSED = {"precision-loss", "nonfinite"}
"""Findings that a right formula earns where its dtype cannot hold it."""


def first_maximum(x: Any) -> Any:
    return np.arange(x.shape[-1]) == x.argmax(-1)[..., None]


def ranks(x: Any) -> Any:
    return np.argsort(np.argsort(x, -1, kind="stable"), -1)


def scales(x: Any) -> Any:
    return np.logspace(-8, 8, x.shape[-1]).astype(x.dtype)


def standardised(x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


def standardised_backward(u: Any, x: Any) -> Any:
    y = standardised(x)
    inner = u - u.mean(-1, keepdims=True) - y * (u * y).mean(-1, keepdims=True)
    return inner / np.sqrt(x.var(-1, keepdims=True) + 1e-5)


OPS: dict[str, tuple[Function, Function]] = {
    "relu": (lambda x: np.maximum(x, 0), lambda u, x: u * (x > 0)),
    "leaky relu": (lambda x: np.where(x > 0, x, 0.1 * x), lambda u, x: u * np.where(x > 0, 1, 0.1)),
    "absolute value": (np.abs, lambda u, x: u * np.sign(x)),
    "clip": (lambda x: np.clip(x, -0.5, 0.5), lambda u, x: u * (np.abs(x) < 0.5)),
    "hard swish": (
        lambda x: x * np.clip(x + 3, 0, 6) / 6,
        lambda u, x: u * np.where(x < -3, 0, np.where(x > 3, 1, (2 * x + 3) / 6)),
    ),
    "floor": (np.floor, lambda u, x: 0 * u),
    "sign": (np.sign, lambda u, x: 0 * u),
    "sine": (np.sin, lambda u, x: u * np.cos(x)),
    "exponential": (np.exp, lambda u, x: u * np.exp(x)),
    "square": (np.square, lambda u, x: 2 * u * x),
    "cube": (lambda x: x**3, lambda u, x: 3 * u * x * x),
    "softmax": (softmax, softmax_backward),
    "sum": (lambda x: x.sum(-1), lambda u, x: np.broadcast_to(u[..., None], x.shape).copy()),
    "mean square": (lambda x: (x * x).mean(), lambda u, x: u * 2 * x / x.size),
    "maximum": (lambda x: x.max(-1), lambda u, x: u[..., None] * first_maximum(x)),
    "sort": (lambda x: np.sort(x, -1), lambda u, x: np.take_along_axis(u, ranks(x), -1)),
    "a constant": (lambda x: 0 * x + 3, lambda u, x: 0 * u),
    "bell": (lambda x: 1 / (x * x + 1), lambda u, x: -2 * u * x / (x * x + 1) ** 2),
    "a small part": (lambda x: 1000 + np.sin(x), lambda u, x: u * np.cos(x)),
    "what is left of large numbers": (lambda x: (x + 3e3) ** 2 - 9e6 - 6e3 * x, lambda u, x: 2 * u * x),
    "a mean of few digits": (lambda x: ((x + 100) ** 2 - 1e4).mean(), lambda u, x: u * 2 * (x + 100) / x.size),
    "something tiny": (lambda x: 1e-9 * x * x, lambda u, x: u * 2e-9 * x),
    "something huge": (lambda x: 1e30 * np.sin(x), lambda u, x: u * 1e30 * np.cos(x)),
    "a fast wave": (lambda x: np.sin(50 * x), lambda u, x: u * 50 * np.cos(50 * x)),
    "many scales": (lambda x: x * scales(x), lambda u, x: u * scales(x)),
    "products of many scales": (lambda x: np.sin(x) * scales(x), lambda u, x: u * np.cos(x) * scales(x)),
    "norm": (lambda x: np.sqrt((x * x).sum()), lambda u, x: u * (x / np.sqrt((x * x).sum()) if x.any() else 0 * x)),
    "running sum": (lambda x: x.cumsum(-1), lambda u, x: u[..., ::-1].cumsum(-1)[..., ::-1]),
    "products of neighbours": (
        lambda x: x * np.roll(x, 1, -1),
        lambda u, x: u * np.roll(x, 1, -1) + np.roll(u, -1, -1) * np.roll(x, -1, -1),
    ),
    "x times its magnitude": (lambda x: x * np.abs(x), lambda u, x: 2 * u * np.abs(x)),
    "logarithm of one more": (lambda x: np.log1p(np.abs(x)), lambda u, x: u * np.sign(x) / (1 + np.abs(x))),
    "standardised": (standardised, standardised_backward),
}


def in_float32(forward: Function) -> Function:
    return lambda x: forward(x.astype(np.float32)).astype(x.dtype)


def in_its_dtype(backward: Function) -> Function:
    return lambda u, x: np.asarray(backward(u, x)).astype(x.dtype).reshape(x.shape)


def drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> Input:
    """Return the plan of an input: uniform at some scale, normal, or integers with ties and kinks among them."""
    scale = 10.0 ** rng.uniform(-3, 2)
    return (
        array("x", shape, -scale, scale, dtype=dtype),
        array("x", shape, -3, 3, dtype=dtype, distribution="integers"),
        array("x", shape, dtype=dtype, distribution="normal", range=None),
    )[rng.integers(3)]


def one_of_them(rng: np.random.Generator) -> tuple[str, Result]:
    """Audit one op and return what it was, and how it ended."""
    name = list(OPS)[rng.integers(len(OPS))]
    forward, backward = OPS[name]
    dtype, shape = ("float64", "float32", "float16")[rng.integers(3)], SHAPES[rng.integers(len(SHAPES))]
    inside = rng.random() < 1 / 3
    method = ("auto", "search", "exhaustive")[rng.integers(3)] if math.prod(shape) < 100 else "auto"
    x, seed = drawn(rng, shape, dtype), int(rng.integers(1000))
    what = f"{name}{' in float32' if inside else ''}, {x}, method {method}, seed {seed}"
    function = in_float32(forward) if inside else forward
    return what, only(audit(function, in_its_dtype(backward), x, dtype=dtype, method=method, seed=seed))


def drawing(description: str | None) -> Iterator[np.random.Generator]:
    """Yield one random stream again and again, as long and from the seed that the command line asks for."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng = np.random.default_rng(chosen.seed)
    until = time.monotonic() + chosen.seconds
    while time.monotonic() < until:
        yield rng


def main() -> int:
    """Audit until the time is over, print what was accused, and return the exit status."""
    ended: Counter[str] = Counter()
    for rng in drawing(__doc__):
        try:
            what, result = one_of_them(rng)
        except Exception:
            ended["raised"] += 1
            traceback.print_exc()
            continue
        accused = result.verdict is Verdict.FAIL and not EXCUSED & {finding.code for finding in result.findings}
        ended["accused" if accused else str(result.verdict)] += 1
        if accused:
            print(f"{what}: {result.message}; {result.mismatches[:1]}")
    print(", ".join(f"{count:,} {end}" for end, count in ended.most_common()))
    return int(bool(ended["accused"] or ended["raised"]))


if __name__ == "__main__":
    sys.exit(main())
