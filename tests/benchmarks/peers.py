"""Audits the same ops with gradaudit and with the gradient checkers of other projects, side by side in one run.

    python tests/benchmarks/peers.py [--sizes N ...] [--seeds N] [--output FILE]

Writes reports/benchmarks.md and a plot beside it. The checkers are torch.autograd.gradcheck in both of its modes,
jax.test_util.check_grads and autograd.test_util.check_grads; one that cannot be imported is reported as missing.
Besides these needs matplotlib. Takes some minutes.

Every checker gets the same inputs in float64 and the same NumPy formulas of forward and backward, wrapped as a custom
function of its framework, at its default settings, and looks at the gradients of all inputs. The others get the
scalar loss ``<u, f(x)>`` with a random u: for outputs as large as the inputs they would build a Jacobian of n^2
numbers. The backward is right, or 1% off at one index of the first input.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import importlib.metadata
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradaudit.checks.gradient import check_gradient
from gradaudit.checks.gradient.check import MAX_TABLE
from gradaudit.checks.subject import examine
from gradaudit.ops.activation import gelu, gelu_backward, softmax, softmax_backward
from gradaudit.ops.conv import conv2d, conv2d_backward
from gradaudit.ops.normalization import layer_norm, layer_norm_backward
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Case, Expectation, Input, Location
from gradaudit.spec.draw import draw_inputs, draw_upstream
from gradaudit.spec.op_targets import BackwardCall, PythonTarget
from gradaudit.targets.python import PythonOp

REPORT = Path(__file__).parents[2] / "reports" / "benchmarks.md"

SIZES = tuple(10**k for k in range(2, 8))

LONGEST = 25.0
"""Seconds that one check may be expected to take; a longer one is not started."""

REPEATS = 5
"""Runs of a check that takes less than ``REPEATED``, each with inputs and faulty index of its own."""

REPEATED = 0.5
"""Seconds."""

BUDGET_FLOAT32 = 60.0
"""Seconds after which no further seed of the float32 audits is begun."""

Function = Callable[..., Any]
Arrays = Sequence[Any]


@dataclass(frozen=True)
class Problem:
    """An op, the shapes of its inputs at a size, and its backward as ``vjp(upstream, inputs, output)``."""

    name: str
    forward: Function
    vjp: Callable[[Any, Arrays, Any], tuple[Any, ...]]
    inputs: Callable[[int], tuple[Input, ...]]


def _input(name: str, shape: tuple[int, ...], lo: float = -1.0, hi: float = 1.0, dtype: str = "float64") -> Input:
    return Input(name=name, shape=shape, dtype=dtype, range=(lo, hi))


def _rows(size: int) -> tuple[int, int]:
    width = min(1000, size // 10)
    return size // width, width


def _image(size: int) -> tuple[int, int, int, int]:
    side = 5 if size < 10**4 else 25
    return size // (4 * side * side), 4, side, side


PROBLEMS = (
    Problem("GELU", gelu, lambda u, x, y: (gelu_backward(u, *x),), lambda n: (_input("x", (n,), -3, 3),)),
    Problem("softmax", softmax, lambda u, x, y: (softmax_backward(u, y),), lambda n: (_input("x", _rows(n), -3, 3),)),
    Problem(
        "layer norm",
        layer_norm,
        lambda u, x, y: layer_norm_backward(u, *x),
        lambda n: (
            _input("x", _rows(n), -3, 3),
            _input("gamma", (_rows(n)[1],), 0.5, 1.5),
            _input("beta", (_rows(n)[1],)),
        ),
    ),
    Problem(
        "conv2d",
        conv2d,
        lambda u, x, y: conv2d_backward(u, *x),
        lambda n: (_input("x", _image(n)), _input("weight", (4, 4, 3, 3)), _input("bias", (4,))),
    ),
)


class Counted:
    """A problem at drawn inputs, with its forward counted and a fault in its backward or not."""

    def __init__(self, problem: Problem, size: int, *, seed: int, faults: int = 0) -> None:
        self.problem = problem
        self.case = case_of(problem.inputs(size), seed)
        self.inputs = list(draw_inputs(self.case).values())
        self.size = self.inputs[0].size
        self.faults = np.random.default_rng(seed).choice(self.size, faults, replace=False)
        self.evaluations = 0

    def forward(self, *inputs: Any) -> Any:
        """Call the op's forward and count it."""
        self.evaluations += 1
        return self.problem.forward(*inputs)

    def vjp(self, upstream: Any, inputs: Arrays, output: Any) -> tuple[Any, ...]:
        """Return the gradients, the first of which is 1% off at every faulty index."""
        first, *others = self.problem.vjp(upstream, inputs, output)
        first.reshape(-1)[self.faults] *= 1.01
        return (first, *others)

    @property
    def upstream(self) -> Any:
        """Random numbers in the output's shape."""
        shape = self.problem.forward(*self.inputs).shape
        return np.random.default_rng(self.case.seed).uniform(0.5, 1.5, shape)


def case_of(inputs: tuple[Input, ...], seed: int, dtype: str = "float64") -> Case:
    """Return a case of gradaudit; its op is opened by hand and not from its target."""
    names = tuple(made.name for made in inputs)
    return Case(
        op="benchmark",
        module="benchmarks",
        name="default",
        dtype=dtype,
        target=PythonTarget("", BackwardCall("", ("upstream", *names, "output"), names), None, Path()),
        inputs=inputs,
        params={},
        tolerance=None,
        upstream="random",
        step=None,
        method="auto",
        seed=seed,
        expect=Expectation(),
        notes="",
        location=Location(Path("benchmark.yaml"), 1, 1),
    )


def audit(case: Case, forward: Function, vjp: Callable[[Any, Arrays, Any], tuple[Any, ...]]) -> list[Result]:
    """Audit as gradaudit does, including that it draws the inputs and calls forward and backward for the first time."""

    def backward(upstream: Any, *inputs_and_output: Any) -> tuple[Any, ...]:
        *inputs, output = inputs_and_output
        return vjp(upstream, inputs, output)

    names = tuple(made.name for made in case.inputs)
    op = PythonOp(forward, backward, {}, {}, ("upstream", *names, "output"), names)
    with np.errstate(all="ignore"):
        results, *_ = check_gradient(examine(case, op))
    return results


def gradaudit(counted: Counted) -> tuple[bool, str]:
    """Audit all inputs; where one is wrong, also say whether the faulty indices were named and no others."""
    results = audit(counted.case, counted.forward, counted.vjp)
    shape = counted.inputs[0].shape
    faulty = {tuple(int(k) for k in np.unravel_index(place, shape)) for place in counted.faults}
    named = {found.index for found in results[0].mismatches}
    accused = any(result.verdict is Verdict.FAIL for result in results)
    silent = any(result.verdict is Verdict.INCONCLUSIVE for result in results)
    note = "inconclusive" if silent and not accused else ""
    if accused and faulty:
        note = "at its index" if named == faulty else "at other indices"
    return accused, note


def torch_gradcheck(counted: Counted, *, fast: bool) -> tuple[bool, str]:
    """Run torch.autograd.gradcheck."""
    import torch

    class Custom(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            output = torch.from_numpy(counted.forward(*(x.detach().numpy() for x in inputs)))
            ctx.save_for_backward(*inputs, output)
            return output

        @staticmethod
        def backward(ctx: Any, upstream: Any) -> Any:
            *inputs, output = (saved.detach().numpy() for saved in ctx.saved_tensors)
            return tuple(torch.from_numpy(g) for g in counted.vjp(upstream.numpy(), inputs, output))

    weights = torch.from_numpy(counted.upstream)
    inputs = [torch.from_numpy(x).requires_grad_() for x in counted.inputs]
    right = torch.autograd.gradcheck(
        lambda *inputs: (Custom.apply(*inputs) * weights).sum(), inputs, fast_mode=fast, raise_exception=False
    )
    return not right, ""


def jax_check_grads(counted: Counted) -> tuple[bool, str]:
    """Run jax.test_util.check_grads in reverse mode."""
    import jax

    jax.config.update("jax_enable_x64", True)
    from jax.test_util import check_grads

    weights = counted.upstream
    output = jax.ShapeDtypeStruct(weights.shape, np.float64)
    gradients = tuple(jax.ShapeDtypeStruct(x.shape, np.float64) for x in counted.inputs)

    @jax.custom_vjp
    def custom(*inputs: Any) -> Any:
        return jax.pure_callback(lambda *x: counted.forward(*map(np.asarray, x)), output, *inputs)

    def backward(saved: Any, upstream: Any) -> Any:
        def host(upstream: Any, *saved: Any) -> Any:
            *inputs, output = map(np.asarray, saved)
            return counted.vjp(np.asarray(upstream), inputs, output)

        return jax.pure_callback(host, gradients, upstream, *saved)

    custom.defvjp(lambda *inputs: (made := custom(*inputs), (*inputs, made)), backward)
    try:
        check_grads(lambda *inputs: (custom(*inputs) * weights).sum(), tuple(counted.inputs), order=1, modes=["rev"])
    except AssertionError:
        return True, ""
    return False, ""


def autograd_check_grads(counted: Counted) -> tuple[bool, str]:
    """Run autograd.test_util.check_grads in reverse mode."""
    import autograd.numpy as anp
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    custom = primitive(counted.forward)
    defvjp(
        custom,
        *(
            lambda output, *inputs, k=k: lambda upstream: counted.vjp(upstream, inputs, output)[k]
            for k in range(len(counted.inputs))
        ),
    )
    weights = counted.upstream
    try:
        check_grads(lambda *inputs: anp.sum(custom(*inputs) * weights), modes=["rev"], order=1)(*counted.inputs)
    except AssertionError:
        return True, ""
    return False, ""


@dataclass(frozen=True)
class Checker:
    """A gradient checker: how to run it, and how many forwards it takes for so many numbers in its inputs.

    ``expected_wrong`` is for a gradient with one wrong index, where that is dearer.
    """

    name: str
    package: str
    check: Callable[[Counted], tuple[bool, str]]
    expected: Callable[[int], float]
    expected_wrong: Callable[[int], float] | None = None


CHECKERS = (
    Checker(
        "gradaudit",
        "gradaudit",
        gradaudit,
        lambda n: 14 if n > MAX_TABLE else 6 * n,
        lambda n: 20 + 2 * math.log2(n) if n > MAX_TABLE else 6 * n,
    ),
    Checker("torch slow", "torch", lambda counted: torch_gradcheck(counted, fast=False), lambda n: 2 * n + 4),
    Checker("torch fast", "torch", lambda counted: torch_gradcheck(counted, fast=True), lambda n: 10),
    Checker("jax", "jax", jax_check_grads, lambda n: 10),
    Checker("autograd", "autograd", autograd_check_grads, lambda n: 20),
)


@dataclass(frozen=True)
class Run:
    """One check: what it cost and what it said.

    ``forwards`` is its time in units of one forward of the same op and size; ``memory`` the most bytes that the
    process held at a time beyond what it held before, None where the system does not tell.
    """

    evaluations: int
    seconds: float
    forwards: float
    memory: int | None
    accused: bool
    note: str


@dataclass(frozen=True)
class Cell:
    """All runs of a checker on one op at one size, or why there are none of the one kind or of both."""

    problem: str
    checker: str
    size: int
    skipped: str = ""
    right: tuple[Run, ...] = ()
    wrong: tuple[Run, ...] = ()


def seconds_of_forward(counted: Counted) -> float:
    """Return the median time of a few forwards; those of a small op are timed together."""
    counted.problem.forward(*counted.inputs)
    times = []
    together = 1
    while len(times) < 5:
        started = time.perf_counter()
        for _ in range(together):
            counted.problem.forward(*counted.inputs)
        elapsed = time.perf_counter() - started
        if elapsed < 1e-3:
            together *= 4
            continue
        times.append(elapsed / together)
        if sum(times) > 1.0:
            break
    return statistics.median(times)


class Memory:
    """The high-water mark of this process between two moments, on Linux."""

    def __enter__(self) -> Memory:
        gc.collect()
        try:
            ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free but still held would hide what is needed
            Path("/proc/self/clear_refs").write_text("5")
            self._before = self._read("VmRSS")
        except (OSError, AttributeError):
            self._before = None
        self.peak: int | None = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            self.peak = max(0, self._read("VmHWM") - self._before)

    @staticmethod
    def _read(key: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def measured(problem: Problem, checker: Checker, size: int, *, seed: int, faults: int) -> Run:
    """Run a checker once."""
    counted = Counted(problem, size, seed=seed, faults=faults)
    before = seconds_of_forward(counted)
    with Memory() as memory:
        started = time.perf_counter()
        accused, note = checker.check(counted)
        seconds = time.perf_counter() - started
    unit = (before + seconds_of_forward(counted)) / 2
    return Run(counted.evaluations, seconds, seconds / unit, memory.peak, accused, note)


def cells_of(checker: Checker, sizes: Sequence[int]) -> list[Cell]:
    """Run a checker on all ops at all sizes, as far as it does not take too long."""
    try:
        checker.check(Counted(PROBLEMS[0], 10, seed=0))  # imports, compiles, warms up
    except ImportError:
        return [Cell(problem.name, checker.name, size, "not installed") for problem in PROBLEMS for size in sizes]
    gc.collect()
    gc.freeze()  # a framework's modules need not be gone through before every run
    return [cell for problem in PROBLEMS for cell in _cells_of_op(checker, problem, sizes)]


def _cells_of_op(checker: Checker, problem: Problem, sizes: Sequence[int]) -> Iterator[Cell]:
    overhead = 0.0  # of one evaluation, over the forward itself
    for size in sizes:
        counted = Counted(problem, size, seed=0)
        numbers = sum(x.size for x in counted.inputs)
        cost = seconds_of_forward(counted) + overhead
        del counted
        expected = checker.expected(numbers) * cost
        if expected > LONGEST:
            yield Cell(problem.name, checker.name, size, f"would take {spoken(expected)}")
            continue
        right = _repeated(problem, checker, size, faults=0)
        evaluations = max(1, right[-1].evaluations)
        overhead = max(0.0, right[-1].seconds / evaluations * (1 - evaluations / max(evaluations, right[-1].forwards)))
        skipped, wrong = "", ()
        expected = (checker.expected_wrong or checker.expected)(numbers) * cost
        if expected > LONGEST:
            skipped = f"would take {spoken(expected)}"
        else:
            wrong = _repeated(problem, checker, size, faults=1)
        yield Cell(problem.name, checker.name, size, skipped, right, wrong)


def _repeated(problem: Problem, checker: Checker, size: int, *, faults: int) -> tuple[Run, ...]:
    runs: list[Run] = []
    while len(runs) < REPEATS and (not runs or runs[-1].seconds < REPEATED):
        runs.append(measured(problem, checker, size, seed=len(runs), faults=faults))
    return tuple(runs)


@dataclass(frozen=True)
class Audited:
    """What an audit of a problem at a million elements cost, by how much of its gradient was off by 1%."""

    problem: str
    faults: str
    evaluations: int
    forwards: float
    said: str


def million(size: int = 10**6) -> list[Audited]:
    """Audit two ops with no, one, ten and all entries wrong."""
    rows = []
    for problem in PROBLEMS[:2]:
        for faults, label in ((0, "right"), (1, "one wrong"), (10, "ten wrong"), (size, "all wrong")):
            counted = Counted(problem, size, seed=0, faults=faults)
            before = seconds_of_forward(counted)
            started = time.perf_counter()
            results = audit(counted.case, counted.forward, counted.vjp)
            seconds = time.perf_counter() - started
            unit = (before + seconds_of_forward(counted)) / 2
            first = results[0]
            said = f"{first.verdict}" + (f": {first.message}" if first.message else "")
            rows.append(Audited(problem.name, label, counted.evaluations, seconds / unit, said))
    return rows


@dataclass(frozen=True)
class Pairs:
    """Times of one audit and one forward beside it, over and over; seconds, and the share that drawing takes."""

    audits: tuple[float, ...]
    forwards: tuple[float, ...]
    drawing: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The median of the ratios within the pairs."""
        return statistics.median(a / f for a, f in zip(self.audits, self.forwards, strict=True))

    @property
    def without_drawing(self) -> float:
        """The same without the drawing of inputs and upstream."""
        kept = zip(self.audits, self.drawing, self.forwards, strict=True)
        return statistics.median((a - d) / f for a, d, f in kept)


def timed_pairs(size: int = 10**6, count: int = 15) -> Pairs:
    """Time right audits of a float64 GELU, each between two forwards."""
    counted = Counted(PROBLEMS[0], size, seed=0)
    (x,) = counted.inputs
    audits, forwards, drawing = [], [], []

    def timed(function: Callable[[], Any]) -> float:
        started = time.perf_counter()
        function()
        return time.perf_counter() - started

    timed(lambda: gelu(x))
    for _ in range(count):
        before = timed(lambda: gelu(x))
        audits.append(timed(lambda: audit(counted.case, counted.forward, counted.vjp)))
        forwards.append((before + timed(lambda: gelu(x))) / 2)
        drawing.append(timed(lambda: (draw_inputs(counted.case), draw_upstream(counted.case, 0, x.shape, x.dtype))))
    return Pairs(tuple(audits), tuple(forwards), tuple(drawing))


@dataclass(frozen=True)
class Float32:
    """What one seed of a forward that computes in float32 came to."""

    verdict: Verdict
    wrong: int
    evaluations: int
    resolution: float
    found: bool


FLOAT32_SIZE = 10**5


def float32_seed(seed: int) -> Float32:
    """Audit a sine that is computed in float32 and returned as float64, right and with one index 5% off."""
    case = case_of((_input("x", (FLOAT32_SIZE,), -3, 3),), seed)
    place = seed * 997 % FLOAT32_SIZE

    def forward(x: Any) -> Any:
        return np.sin(x.astype(np.float32)).astype(np.float64)

    chosen: list[int] = []

    def wrong(upstream: Any, inputs: Arrays, output: Any) -> tuple[Any, ...]:
        gradient = upstream * np.cos(inputs[0])
        if not chosen:  # the same index at every call: elsewhere others exceed one half
            usual = np.flatnonzero(np.abs(gradient) > 0.5)
            chosen.append(int(usual[place % usual.size]))
        gradient[chosen] *= 1.05
        return (gradient,)

    (right,) = audit(case, forward, lambda u, x, y: (u * np.cos(x[0]),))
    (spoilt,) = audit(case, forward, wrong) if seed % 10 == 0 else (None,)
    return Float32(
        verdict=right.verdict,
        wrong=right.wrong,
        evaluations=right.evaluations,
        resolution=right.resolution,
        found=spoilt is None or (spoilt.verdict is Verdict.FAIL and spoilt.wrong == 1),
    )


def float32_seeds(seeds: int) -> list[Float32]:
    """Audit at many seeds on all cores, as many as there is time for."""
    started = time.perf_counter()
    made: list[Float32] = []
    jobs = os.cpu_count() or 1
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for first in range(0, seeds, 2 * jobs):
            if time.perf_counter() - started > BUDGET_FLOAT32:
                break
            made += pool.map(float32_seed, range(first, min(seeds, first + 2 * jobs)))
    return made


def spoken(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    for unit, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:.0f} s"


def _power(size: int) -> str:
    exponent = round(math.log10(size))
    return f"10^{exponent}" if size == 10**exponent else f"{size:,}"


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}"


def _bytes(memory: int | None) -> str:
    if memory is None:
        return "-"
    return f"{memory / 2**20:,.0f} MiB" if memory >= 2**20 else "< 1 MiB"


def _median(runs: Sequence[Run], of: Callable[[Run], float]) -> float:
    return statistics.median(of(run) for run in runs)


def _largest_memory(runs: Sequence[Run]) -> int | None:
    known = [run.memory for run in runs if run.memory is not None]
    return max(known) if known else None


def _verdict_on_right(runs: Sequence[Run]) -> str:
    accused = sum(run.accused for run in runs)
    undecided = sum(run.note == "inconclusive" for run in runs)
    if accused:
        return f"**accused** {accused} of {len(runs)}"
    return f"inconclusive {undecided} of {len(runs)}" if undecided else "no"


def _verdict_on_wrong(runs: Sequence[Run]) -> str:
    found = sum(run.accused for run in runs)
    where = {run.note for run in runs if run.accused} - {""}
    said = f"found {found} of {len(runs)}" if found else f"**missed** {len(runs)} of {len(runs)}"
    if 0 < found < len(runs):
        said = f"**missed** {len(runs) - found} of {len(runs)}"
    return f"{said}, {' and '.join(sorted(where))}" if where else said


HEAD = (
    "| n | checker | forwards called | time, in forwards | memory | right one accused? | 1% at one index | "
    "forwards called | time |",
    "|---:|---|---:|---:|---:|---|---|---:|---:|",
)


def table(cells: Sequence[Cell], problem: str) -> Iterator[str]:
    """Yield the rows of one op."""
    yield from HEAD
    for cell in sorted((cell for cell in cells if cell.problem == problem), key=lambda cell: cell.size):
        begin = f"| {_power(cell.size)} | {cell.checker} |"
        if not cell.right:
            yield f"{begin} {cell.skipped} | | | | | | |"
            continue
        memory = _bytes(_largest_memory(cell.right))
        right = _count(_median(cell.right, lambda run: run.evaluations))
        cost = _count(_median(cell.right, lambda run: run.forwards))
        begin = f"{begin} {right} | {cost} | {memory} | {_verdict_on_right(cell.right)} |"
        if not cell.wrong:
            yield f"{begin} {cell.skipped} | | |"
            continue
        wrong = _count(_median(cell.wrong, lambda run: run.evaluations))
        cost_of_wrong = _count(_median(cell.wrong, lambda run: run.forwards))
        yield f"{begin} {_verdict_on_wrong(cell.wrong)} | {wrong} | {cost_of_wrong} |"


def summary(cells: Sequence[Cell], checkers: Sequence[Checker]) -> Iterator[str]:
    """Yield, for each checker, what it found and whom it accused over all runs, and the largest size it got to."""
    yield "| checker | right ones accused | 1% at one index found | index named | largest n |"
    yield "|---|---:|---:|---:|---:|"
    for checker in checkers:
        mine = [cell for cell in cells if cell.checker == checker.name and cell.right]
        right = [run for cell in mine for run in cell.right]
        wrong = [run for cell in mine for run in cell.wrong]
        if not mine:
            yield f"| {checker.name} | not installed | | | |"
            continue
        named = sum(run.note == "at its index" for run in wrong)
        yield (
            f"| {checker.name} | {sum(run.accused for run in right)} of {len(right)} | "
            f"{sum(run.accused for run in wrong)} of {len(wrong)} | {named or '-'} | "
            f"{_power(max(cell.size for cell in mine))} |"
        )


def growth(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield how the cost of a right gradient grows with its size."""
    sizes = sorted({cell.size for cell in cells})
    yield "| op | " + " | ".join(_power(size) for size in sizes) + " |"
    yield "|---|" + "---:|" * len(sizes)
    for problem in PROBLEMS:
        mine = {cell.size: cell for cell in cells if (cell.problem, cell.checker) == (problem.name, "gradaudit")}
        costs = []
        for size in sizes:
            right = mine[size].right if size in mine else ()
            costs.append(
                f"{_median(right, lambda run: run.evaluations):,.0f} in {_count(_median(right, lambda r: r.forwards))}"
                if right
                else "-"
            )
        yield f"| {problem.name} | " + " | ".join(costs) + " |"


@dataclass(frozen=True)
class Point:
    """A row of a report's table: the cost of a right op of some size, and whether a wrong one was missed."""

    checker: str
    size: float
    evaluations: float
    forwards: float
    missed: bool


LINES = {"gradaudit": "o-", "torch slow": "s--", "torch fast": "^-.", "jax": "D:", "autograd": "v-"}
"""Mark and line of each checker, which can be told apart without colours too."""

APART = 1.35
"""Factor between lines that would lie on each other."""


def points_of(report: str, problem: str) -> list[Point]:
    """Return the rows of an op's table in a report."""
    section = report.partition(f"\n### {problem}\n")[2].partition("\n### ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| 10^")
    ]
    return [
        Point(checker, 10.0 ** int(size[3:]), _number(evaluations), _number(forwards), "missed" in wrong)
        for size, checker, evaluations, forwards, _, _, wrong, *_ in rows
        if forwards
    ]


def _number(text: str) -> float:
    return float(text.replace(",", ""))


def plot(report: str, path: Path) -> None:
    """Draw evaluations and time over size for the GELU of a report; hollow: a wrong index was missed."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "gradaudit", "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    points = points_of(report, "GELU")
    for panel, measure in zip(panels, ("evaluations", "forwards"), strict=True):
        drawn: Counter[tuple[float, float]] = Counter()
        for k, (checker, line) in enumerate(LINES.items()):
            mine = [point for point in points if point.checker == checker]
            places = [(point.size, getattr(point, measure)) for point in mine]
            apart = APART ** max((drawn[place] for place in places), default=0)
            drawn.update(places)
            costs = [cost * apart for _, cost in places]
            panel.plot([size for size, _ in places], costs, line[1:], color=f"C{k}")
            for point, cost in zip(mine, costs, strict=True):
                face = "white" if point.missed else f"C{k}"
                panel.plot(point.size, cost, line[0], color=f"C{k}", markerfacecolor=face)
            panel.plot([], [], line, color=f"C{k}", label=checker)
        panel.set(xscale="log", yscale="log", xlabel="n")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("forwards called (equal ones side by side)")
    panels[1].set_ylabel("time, in forwards")
    panels[0].legend(handlelength=3.5)
    figure.suptitle("A right GELU in float64. Hollow: an error of 1% at one index was missed")
    figure.savefig(path, metadata={"Date": None})


def installed(package: str) -> str:
    """Return a package with its version."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} not installed"


def report(
    cells: Sequence[Cell], pairs: Pairs, rows: Sequence[Audited], singles: Sequence[Float32], drawing: str
) -> Iterator[str]:
    """Yield the lines of the report."""
    packages = ("gradaudit", "numpy", "torch", "jax", "autograd")
    yield "# Benchmarks"
    yield ""
    yield "Written by `python tests/benchmarks/peers.py`; do not edit."
    yield ""
    yield f"{', '.join(map(installed, packages))}, Python {platform.python_version()}, {os.cpu_count()} cores."
    yield ""
    yield "## Side by side"
    yield ""
    yield "Every checker audits the same ops, with the same inputs and the same NumPy formulas in float64, at its"
    yield "default settings. The others get the scalar `<u, f(x)>`, which is the cheapest form for them. The time of a"
    yield "check is in units of one forward of the same op and size, timed before and after; memory is what it came"
    yield "to hold beyond what it held at first. Forwards and times are medians over up to"
    yield f"{REPEATS} runs with different inputs; a check that would take more than {LONGEST:.0f} s is not started."
    yield "gradaudit's time includes drawing the inputs, and its forwards the first one, which backward needs too."
    yield ""
    yield from summary(cells, CHECKERS)
    yield ""
    yield f"![Forwards called and time over size]({drawing})"
    for problem in PROBLEMS:
        yield ""
        yield f"### {problem.name}"
        yield ""
        yield from table(cells, problem.name)
    yield ""
    yield "## Growth"
    yield ""
    yield "gradaudit on right gradients: forwards called, in the time of so many forwards. Up to"
    yield f"{MAX_TABLE} elements every index is looked at by itself; above that a search tests all together."
    yield ""
    yield from growth(cells)
    yield ""
    yield "## A right GELU of a million elements in float64"
    yield ""
    forward = statistics.median(pairs.forwards)
    yield (
        f"{pairs.ratio:.1f} forwards for an audit, {pairs.without_drawing:.1f} without drawing the inputs and the "
        f"upstream: medians of {len(pairs.audits)} pairs of an audit and the forwards just before and after it "
        f"(forward {1e3 * forward:.1f} ms, audit {1e3 * statistics.median(pairs.audits):.0f} ms)."
    )
    yield ""
    yield "## A million elements, some wrong by 1%"
    yield ""
    yield "| op | entries | forwards called | time, in forwards | ended |"
    yield "|---|---|---:|---:|---|"
    for row in rows:
        yield f"| {row.problem} | {row.faults} | {row.evaluations:,} | {_count(row.forwards)} | {row.said} |"
    yield ""
    yield "## A forward that computes in float32 inside"
    yield ""
    counts = sorted(one.evaluations for one in singles)
    accused, passed = sum(one.wrong > 0 for one in singles), sum(one.verdict is Verdict.PASS for one in singles)
    yield (
        f"A sine of {FLOAT32_SIZE:,} elements, cast to float32 and back inside, at {len(singles)} seeds: "
        f"{passed} pass, {accused} accused, {len(singles) - passed - accused} inconclusive. Forwards called: median "
        f"{statistics.median(counts):,.0f}, most {counts[-1]:,} (n/50 is {FLOAT32_SIZE // 50:,}); worst resolution "
        f"{max(one.resolution for one in singles):.2g}. One index 5% off, at every tenth seed: "
        f"{'always found, alone' if all(one.found for one in singles) else '**not always found alone**'}."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run everything, write the report and its plot, and return the exit status."""
    parser = argparse.ArgumentParser(description="Compare gradaudit with other gradient checkers.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="elements of the first input")
    parser.add_argument("--seeds", type=int, default=100, help="seeds of the float32 audits (default: 100)")
    parser.add_argument("--output", type=Path, default=REPORT, help="the report (default: reports/benchmarks.md)")
    parser.add_argument("--redraw", action="store_true", help="only draw the plot again, from the report that is there")
    chosen = parser.parse_args(arguments)
    if chosen.redraw:
        plot(chosen.output.read_text(encoding="utf-8"), chosen.output.with_suffix(".svg"))
        return 0

    def progress(said: str) -> None:
        print(f"{time.perf_counter() - started:5.0f} s  {said}", file=sys.stderr, flush=True)

    started = time.perf_counter()
    progress("a right GELU of a million elements")
    pairs = timed_pairs()
    progress("a million elements, some wrong")
    rows = million()
    cells: list[Cell] = []
    for checker in CHECKERS:  # each in a process of its own: frameworks keep threads and memory
        progress(checker.name)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            cells += pool.submit(_cells_by_name, checker.name, tuple(chosen.sizes)).result()
    progress("float32 inside")
    singles = float32_seeds(chosen.seeds)
    drawing = chosen.output.with_suffix(".svg")
    text = "\n".join(report(cells, pairs, rows, singles, drawing.name)) + "\n"
    chosen.output.write_text(text, encoding="utf-8")
    plot(text, drawing)
    progress(f"written: {chosen.output.name}, {drawing.name}")
    return 0


def _cells_by_name(name: str, sizes: Sequence[int]) -> list[Cell]:
    return cells_of(next(checker for checker in CHECKERS if checker.name == name), sizes)


if __name__ == "__main__":
    sys.exit(main())
