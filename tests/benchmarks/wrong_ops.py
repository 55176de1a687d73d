"""Plants faults in the gradients of ops at random shapes, scales, dtypes and values, and prints which of them pass.

    python tests/benchmarks/wrong_ops.py [--seconds N] [--seed N]

The ops, and how they are drawn, are those of ``right_ops.py``, and some of complex numbers. What a gradient is off by
is its distance from the derivatives around the point, so that a claim between those of a kink is right. A fault is
hidden where the gradient passes though it is off by more than the tolerance that the result was decided by, and by more
than its resolution. Only the gradient is judged: the other checks would notice some faults by other means. Exit status:
0 where no fault is hidden and nothing raises, 1 otherwise.
"""

from __future__ import annotations

import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "checks"))

from pairs import array, case_of, open_pair
from right_ops import OPS, SHAPES, Function, drawing, drawn, in_float32

from gradaudit.checks.gradient import check_gradient
from gradaudit.checks.subject import examine
from gradaudit.numerics.magnitude import rms
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Case, Tolerance
from gradaudit.targets.op import OpError

DTYPES = ("float64", "float32", "float16", "bfloat16", "complex128")

COMPLEX_OPS: dict[str, tuple[Function, Function]] = {
    "square": (np.square, lambda u, z: u * np.conj(2 * z)),
    "sine": (np.sin, lambda u, z: u * np.conj(np.cos(z))),
    "times its conjugate": (lambda z: z * np.conj(z), lambda u, z: 2 * u.real * z),
}

NOTICEABLE = 1.01
"""Times what can be seen that a fault must come to at some index."""

ROUNDING = "no more than rounding"
"""What is said of a gradient in a narrow dtype that is right in float64, and off by so much of its typical element."""

Fault = Callable[[Any, Any, np.random.Generator], Any]
"""Takes the right gradient, the input and a random stream that is always in the same state; returns a wrong one."""


def at_one(change: Callable[[Any], Any]) -> Fault:
    def fault(g: Any, x: Any, rng: np.random.Generator) -> Any:
        spoilt = g.copy()
        index = tuple(rng.integers(size) for size in g.shape)
        spoilt[index] = change(spoilt[index])
        return spoilt

    return fault


def where(chosen: Callable[[Any, Any], Any], change: Callable[[Any], Any]) -> Fault:
    return lambda g, x, rng: np.where(chosen(g, x), change(g), g)


def everywhere(change: Callable[[Any], Any]) -> Fault:
    return lambda g, x, rng: change(g)


def size_of(g: Any) -> Any:
    return rms(g.astype(np.complex128)) or 1.0


def is_tied(g: Any, x: Any) -> Any:
    values, counts = np.unique(x, return_counts=True)
    return x == values[counts.argmax()]


FAULTS: dict[str, Fault] = {
    "1% at one index": at_one(lambda g: 1.01 * g),
    "0.01% at one index": at_one(lambda g: 1.0001 * g),
    "zero at one index": at_one(lambda g: 0 * g),
    "NaN at one index": at_one(lambda g: g * np.nan),
    "infinity at one index": at_one(lambda g: g + np.inf),
    "a factor of 1 + 1e-6": everywhere(lambda g: g * (1 + 1e-6)),
    "a factor of 1 + 1e-5": everywhere(lambda g: g * (1 + 1e-5)),
    "a factor of 1.0005": everywhere(lambda g: g * 1.0005),
    "a factor of 1.001": everywhere(lambda g: g * 1.001),
    "a factor of 1.1": everywhere(lambda g: g * 1.1),
    "minus the gradient": everywhere(lambda g: -g),
    "all zero": everywhere(lambda g: 0 * g),
    "a sum that is left out": everywhere(lambda g: g - g.mean()),
    "doubled where negative": where(lambda g, x: x.real < 0, lambda g: 2 * g),
    "outside what a kink admits": where(is_tied, lambda g: g + 1.5 * (size_of(g) + np.abs(g))),
    "a bit outside of it": where(is_tied, lambda g: g * 1.0008),
    "doubled where tiny": where(lambda g, x: np.abs(g) < 1e-3 * size_of(g), lambda g: 2 * g),
    "1% where large": where(lambda g, x: np.abs(g) >= 0.99 * np.abs(g).max(), lambda g: 1.01 * g),
    "in reverse order": everywhere(lambda g: g[..., ::-1]),
    "shifted by one": everywhere(lambda g: np.roll(g, 1, -1)),
    "one where the input is zero": where(lambda g, x: x == 0, lambda g: g + 1),
    "0.001 of the typical added": everywhere(lambda g: g + 1e-3 * size_of(g)),
    "a mask left out": where(lambda g, x: g == 0, lambda g: g + size_of(g)),
    "computed in float16": lambda g, x, rng: g.astype(np.complex64 if g.dtype.kind == "c" else np.float16),
    "computed in float32": lambda g, x, rng: g.astype(np.complex64 if g.dtype.kind == "c" else np.float32),
}


@dataclass(frozen=True)
class Trial:
    """An op with a fault.

    Attributes:
        what: what is printed of it.
        case: its case, which carries the wrong backward.
        backward: the right one.
        coarse: whether forward computes in float32 inside, so that what is closer is the same point to it.

    """

    what: str
    case: Case
    backward: Function
    coarse: bool


def spoilt(backward: Function, fault: Fault, seed: int) -> Function:
    def wrong(u: Any, x: Any) -> Any:
        g = np.asarray(backward(u, x)).astype(x.dtype).reshape(x.shape)
        return np.asarray(fault(g, x, np.random.default_rng(seed))).astype(x.dtype)

    return wrong


def trial(rng: np.random.Generator) -> tuple[str, Trial]:
    """Draw a fault, and an op that has it."""
    dtype, fault = DTYPES[rng.integers(len(DTYPES))], list(FAULTS)[rng.integers(len(FAULTS))]
    ops = COMPLEX_OPS if dtype == "complex128" else OPS
    name = list(ops)[rng.integers(len(ops))]
    forward, backward = ops[name]
    shape = (*SHAPES, (5000,))[rng.integers(len(SHAPES) + 1)]
    inside = dtype != "complex128" and rng.random() < 1 / 4
    x, seed = drawn(rng, shape, dtype), int(rng.integers(1000))
    if dtype == "complex128" and x.distribution == "integers":
        x = array("x", shape, -1.0, 1.0, dtype=dtype)
    method = ("auto", "search", "exhaustive")[rng.integers(3)] if np.prod(shape) < 100 else "auto"
    what = f"{fault} in {name}{' in float32' if inside else ''}, {x}, method {method}, seed {seed}"
    function = in_float32(forward) if inside else forward
    tolerance = Tolerance(10 ** rng.uniform(-9, -1), 10 ** rng.uniform(-10, -2)) if rng.random() < 1 / 6 else None
    what += f", {tolerance}" if tolerance else ""
    settings = {"dtype": dtype, "method": method, "seed": seed, "tolerance": tolerance}
    case = case_of(function, spoilt(backward, FAULTS[fault], seed), x, **settings)
    return fault, Trial(what, case, backward, inside)


def verdict_of(made: Trial) -> tuple[str, str]:
    """Return how the audit of a gradient ended, or what is wrong with that; and what was seen."""
    with np.errstate(all="ignore"):
        try:
            subject = examine(made.case, open_pair(made.case.target, made.case))
        except OpError as error:  # the output itself is not finite
            return "error", str(error)
        (result,), _, _ = check_gradient(subject)
        claim = subject.gradients["x"]
        assert claim is not None
        low, high = around(made, wide(subject.upstream[0]), wide(subject.inputs["x"]))
        if claim.dtype.kind != "c":  # what the right backward rounds to is no fault
            right = np.asarray(made.backward(subject.upstream[0], subject.inputs["x"])).astype(claim.dtype)
            right = wide(right.reshape(claim.shape))
            low, high = np.fmin(low, right), np.fmax(high, right)
        off = excess(result, wide(claim), low, high)
    if off <= NOTICEABLE:
        return "too small", ""
    return "hidden" if result.verdict is Verdict.PASS else str(result.verdict), f"{off:.3g} times: {result}"


def wide(values: Any) -> Any:
    return values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)


def around(made: Trial, u: Any, x: Any) -> tuple[Any, Any]:
    """Return the least and the largest derivatives close to a point; of complex numbers at the point itself."""
    if x.dtype.kind == "c":
        there = made.backward(u, x)
        return there, there
    rng = np.random.default_rng(0)
    apart = (4e-7 if made.coarse else 1e-12) * np.maximum(np.abs(x), rms(x) or 1.0)
    there = [np.asarray(made.backward(u, x + apart * rng.choice((-1, 1), x.shape))).reshape(x.shape) for _ in range(48)]
    return np.min(there, 0), np.max(there, 0)


def excess(result: Result, claim: Any, low: Any, high: Any) -> float:
    """Return how many times what can be seen a claim is off by, at the worst index."""
    real = claim.dtype.kind != "c"
    off = np.maximum(np.maximum(low - claim, claim - high), 0.0) if real else np.abs(claim - low)
    magnitude = np.maximum(np.abs(low), np.abs(high))
    allowed = result.atol + result.rtol * magnitude
    if ROUNDING in result.message:
        allowed = np.maximum(allowed, result.rtol * size_of(low))
    if result.method == "search" and result.verdict is Verdict.PASS:
        allowed = np.maximum(allowed, result.resolution * np.maximum(magnitude, size_of(low)))
    return float(np.divide(off, allowed, out=np.zeros_like(allowed), where=off != 0.0).max())


def main() -> int:
    """Audit until the time is over, print what passed, and return the exit status."""
    ended: dict[str, Counter[str]] = {name: Counter() for name in FAULTS}
    for rng in drawing(__doc__):
        fault, made = trial(rng)
        try:
            end, seen = verdict_of(made)
        except Exception:
            end, seen = "raised", traceback.format_exc()
        ended[fault][end] += 1
        if end in ("hidden", "raised"):
            print(f"{made.what}: {end}, {seen}")
    for fault, counts in ended.items():
        print(f"{fault}: " + ", ".join(f"{count:,} {end}" for end, count in counts.most_common()))
    total = sum(ended.values(), Counter())
    print("all: " + ", ".join(f"{count:,} {end}" for end, count in total.most_common()))
    return int(bool(total["hidden"] or total["raised"]))


if __name__ == "__main__":
    sys.exit(main())
