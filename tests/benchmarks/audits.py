"""What the whole audit of a right gradient costs beside the calls of its op: forwards, backwards, time and memory.

    python tests/benchmarks/audits.py [--sizes N ...] [--frameworks numpy torch]

Calls are counted at the op, and time spent in them is taken out: what is left is told in forwards of that op. Prints a
table in Markdown; takes about a minute.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "checks"))

from cpu_time import Row, table
from pairs import array, case_of, open_pair
from softmax_pair import softmax, softmax_backward

from gradaudit.engine.audit import audit_case
from gradaudit.engine.libraries import keep_freed_memory, set_up_libraries
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.displacing import Direction
from gradaudit.results import Verdict
from gradaudit.spec.draw import draw_inputs, draw_upstream

set_up_libraries()  # as the command does
keep_freed_memory()  # as its worker processes do

TITLE = "Audits"

SIZES = (12, 10**6, 10**7)
FRAMEWORKS = ("numpy", "torch")

LARGE = 1000
"""Elements from which on an op is large."""

REPEATS, LARGE_REPEATS = 200, 3
"""Audits of a small op, and of a large one: the least is told, as what else the machine does only adds to it."""

SMALL_LIMIT, LIMIT, MEMORY_LIMIT = 600, 12, 4
"""Microseconds of a small audit; forwards' time that a large one may take beside its calls, and memory."""

DISPLACEMENTS = 7
"""Those of a right audit: two root tests, one of them at two steps, and one look at another point."""

Function = Callable[..., Any]


PAIRS: dict[str, tuple[Function, Function]] = {
    "tanh": (np.tanh, lambda u, x: u / np.cosh(x) ** 2),
    "softmax": (softmax, softmax_backward),
}


STAGES: dict[str, tuple[str, ...]] = {
    "drawing inputs, upstreams and directions": (
        "spec.draw:draw_input",
        "checks.captured:draw_input",
        "checks.subject:draw_upstream",
        "numerics.root_test:RootTester.draw",
    ),
    "displacing inputs, and what is claimed of that": ("numerics.displacing:InPlace.displace",),
    "restoring them": ("numerics.displacing:InPlace.restore",),
    "changes of outputs times the upstream": ("numerics.directional:Directional._offs",),
    "copies": (
        "checks.subject:Snapshot.of",
        "checks.subject:copied",
        "checks.probe:copied",
        "numerics.directional:copied",
    ),
    "comparing bit by bit": (
        "checks.subject:Snapshot.changed",
        "checks.agreement:same_bits",
        "numerics.directional:same_bits",
    ),
    "upstreams in other layouts": ("checks.screening:reversed_axes", "checks.screening:narrow_view"),
    "sums of answers": ("checks.screening:_adds_up", "checks.screening:_sum"),
    "whether all is finite": ("checks.subject:all_finite", "checks.captured:all_finite"),
    "magnitudes": (
        "checks.gradient.claim:typical_magnitude",
        "checks.gradient.claim:largest",
        "checks.gradient.claim:Claim.below_noise",
        "checks.gradient.evaluation_point:scales_of",
        "checks.gradient.evaluation_point:rms",
        "checks.trial:scales_of",
        "checks.trial:rms",
        "numerics.directional:norm_of_product",
        "numerics.directional:Directional.sizes_along",
    ),
}
"""What an audit does beside its calls, by functions of gradaudit, where they are used."""


class Watch:
    """Counts the calls of functions and adds up the processor time that they take."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def over(self, name: str, function: Function) -> Function:
        """Return the function, watched."""

        def watched(*args: Any, **keywords: Any) -> Any:
            started = time.process_time()
            try:
                return function(*args, **keywords)
            finally:
                self.seconds[name].append(time.process_time() - started)

        return watched


class Watched:
    """An op whose calls are watched."""

    def __init__(self, op: Any, watch: Watch) -> None:
        self._op = op
        self.forward, self.backward = watch.over("forward", op.forward), watch.over("backward", op.backward)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._op, name)


def opened(name: str, framework: str, case: Any) -> Any:
    """Return the op of a row."""
    if framework == "numpy":
        return open_pair(case.target, case)
    import torch

    torch.set_num_threads(1)
    from gradaudit.targets.torch import torch_op

    return torch_op({"tanh": torch.tanh, "softmax": lambda x: torch.softmax(x, -1)}[name])


class Stages:
    """Adds up the processor time of an audit's stages, without that of others and of the op's calls within them."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._within: list[float] = [0.0]

    def over(self, stage: str, function: Function) -> Function:
        """Return the function, watched."""

        def watched(*args: Any, **keywords: Any) -> Any:
            started = time.process_time()
            self._within.append(0.0)
            try:
                return function(*args, **keywords)
            finally:
                took, others = time.process_time() - started, self._within.pop()
                self.seconds[stage] += took - others
                self._within[-1] += took

        return watched

    def install(self) -> None:
        """Watch the functions of all stages from now on."""
        for stage, places in STAGES.items():
            for place in places:
                module, _, path = place.partition(":")
                *owners, name = path.split(".")
                owner = reduce(getattr, owners, import_module(f"gradaudit.{module}"))
                found = vars(owner)[name]
                if isinstance(found, classmethod):
                    setattr(owner, name, classmethod(self.over(stage, found.__func__)))
                else:
                    setattr(owner, name, self.over(stage, found))


@dataclass(frozen=True)
class Measured:
    """What the audit of an op took: calls, CPU seconds, and memory in units of inputs and outputs."""

    name: str
    framework: str
    size: int
    forwards: int
    backwards: int
    total: float
    beside: float
    one: float
    memory: float

    def rows(self) -> list[Row]:
        """Return its rows of the report."""
        what = f"{self.name}, {self.framework}, {self.size:,} elements; {self.forwards} + {self.backwards} calls"
        if self.size < LARGE:
            peer = f"a forward of {1e6 * self.one:.0f} µs"
            return [Row(f"{what}; microseconds", f"{SMALL_LIMIT}", peer, 1e6 * self.total, self.total / self.one)]
        peer, ratio = f"a forward of {1e3 * self.one:.2f} ms", self.beside / self.one
        held = f"{16e-6 * self.size:.0f} MB of inputs and outputs"
        return [
            Row(f"{what}; forwards' time beside its calls", f"{LIMIT}", peer, ratio, ratio),
            Row("the same; memory, times inputs and outputs", f"{MEMORY_LIMIT}", held, self.memory, self.memory),
        ]


def measure(name: str, framework: str, size: int) -> Measured:
    """Audit one op."""
    shape = (3, 4) if size < LARGE else (size // 1000, 1000)
    op = PAIRS[name]
    case, small = (case_of(*op, array("x", each)) for each in (shape, (3, 5)))
    audit_case(small, lambda _: nullcontext(opened(name, framework, small)))  # what is made once is not the audit's
    totals, own, forwards = [], [], []
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak, alone = 0, _of_a_forward(opened(name, framework, case), case)
    for _ in range(REPEATS if size < LARGE else LARGE_REPEATS):
        watch = Watch()
        made = Watched(opened(name, framework, case), watch)
        started = time.process_time()
        audited = audit_case(case, lambda _, made=made: nullcontext(made))  # type: ignore[misc]
        totals.append(time.process_time() - started)
        own.append(sum(map(sum, watch.seconds.values())))
        forwards.append(statistics.median(watch.seconds["forward"]))
        peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident
    (result,) = audited.results
    assert result.verdict is Verdict.PASS, result.message
    seconds = (min(part) for part in (totals, np.subtract(totals, own), forwards))
    memory = 1024 * (peak - alone) / (16 * size)
    return Measured(name, framework, size, result.forwards, result.backwards, *seconds, memory)


def _of_a_forward(op: Any, case: Any) -> int:
    """Return the KiB that a forward by itself holds at its peak, beside its inputs."""
    inputs = _inputs(op, case)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    op.forward(inputs)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def stages_of(name: str, framework: str, size: int) -> list[Row]:
    """Return where the time beside the calls goes in the audit of a large op: of several audits, in the fastest."""
    case = case_of(*PAIRS[name], array("x", (size // 1000, 1000)))
    audit_case(case, lambda _: nullcontext(opened(name, framework, case)))
    stages, watch = Stages(), Watch()
    stages.install()
    found: list[tuple[float, float, dict[str, float]]] = []
    for _ in range(3 * LARGE_REPEATS):
        stages.seconds.clear()
        watch = Watch()
        made = Watched(opened(name, framework, case), watch)
        made.forward, made.backward = (stages.over("calls", call) for call in (made.forward, made.backward))
        started = time.process_time()
        audit_case(case, lambda _, made=made: nullcontext(made))  # type: ignore[misc]
        beside = time.process_time() - started - stages.seconds.pop("calls")
        found.append((beside, statistics.median(watch.seconds["forward"]), dict(stages.seconds)))
    beside, one, seconds = min(found, key=lambda each: each[0])
    seconds["all else"] = beside - sum(seconds.values())
    what, peer = f"{name}, {framework}, {size:,} elements", f"a forward of {1e3 * one:.2f} ms"
    return [
        Row(f"{what}: {stage}; forwards' time", "-", peer, took / one, took / one)
        for stage, took in sorted(seconds.items(), key=lambda pair: -pair[1])
    ]


def floor_of(framework: str, size: int) -> list[Row]:
    """Return what the least costs that a large audit of tanh does beside its calls, each by itself."""
    case = case_of(*PAIRS["tanh"], array("x", (size // 1000, 1000)))
    op = opened("tanh", framework, case)
    inputs = _inputs(op, case)
    outputs, upstream, claims = (op.forward(inputs)[0].reshape(-1) for _ in range(3))
    line = Directional(lambda: outputs, inputs, {"x": claims}, upstream, outputs, {"x": 1.0})
    along = Direction.of(claims / 2)

    def displacing() -> None:
        line.walk(along, 2.0**-18, range(1, DISPLACEMENTS + 1))

    def drawing() -> None:
        draw_inputs(case), draw_inputs(case), draw_upstream(case, 0, (size,), np.dtype("float64"))

    def passing() -> None:
        claims[...] = upstream

    asked = {
        f"{DISPLACEMENTS} displacements, with what is claimed of each and what it changes": displacing,
        "drawing inputs twice and an upstream once": drawing,
        "a pass that reads one array and writes another": passing,
    }
    one = min(_seconds(lambda: op.forward(inputs)) for _ in range(3 * LARGE_REPEATS))
    made = []
    for what, work in asked.items():
        ratio = min(_seconds(work) for _ in range(2 * LARGE_REPEATS)) / one
        said = f"tanh, {framework}, {size:,} elements, alone: {what}; forwards' time"
        made.append(Row(said, "-", f"a forward of {1e3 * one:.2f} ms", ratio, ratio))
    return made


def _inputs(op: Any, case: Any) -> dict[str, Any]:
    place = getattr(op, "native", None) or (lambda array: array)
    return {name: place(array) for name, array in draw_inputs(case).items()}


def _seconds(work: Callable[[], Any]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def all_measured(sizes: Sequence[int], frameworks: Sequence[str]) -> Iterator[Measured]:
    """Measure ops, each in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    for size, framework, name in product(sizes, frameworks, PAIRS):
        with ProcessPoolExecutor(1, spawn) as pool:
            yield pool.submit(measure, name, framework, size).result()


def said() -> str:
    """Say how the section is measured."""
    return (
        "Whole audits of right gradients in float64, each op in a process of its own, torch's on one thread: the least "
        f"of {REPEATS} audits of a small op, of {LARGE_REPEATS} of a large one. Time is the processor's; what calls of "
        "the op take is taken out of what is told beside them. Memory is the highest resident size above that before "
        "the first audit, less what a forward by itself holds. Rows with a colon say where the time beside the calls "
        "goes, each stage without the others within it. Those with `alone` are work that no audit of this design is "
        "without, done by itself: where they exceed a limit together, no other saving can reach it."
    )


def rows() -> list[Row]:
    """Measure every op, and the stages of some audits."""
    made = [row for made in all_measured(SIZES, FRAMEWORKS) for row in made.rows()]
    spawn = multiprocessing.get_context("spawn")
    for framework in FRAMEWORKS:
        with ProcessPoolExecutor(1, spawn) as pool:
            made += pool.submit(stages_of, "tanh", framework, SIZES[1]).result()
            for size in SIZES[1:]:
                made += pool.submit(floor_of, framework, size).result()
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the audit of a right gradient costs.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--frameworks", nargs="+", choices=FRAMEWORKS, default=FRAMEWORKS)
    chosen = parser.parse_args(arguments)
    measured = (row for made in all_measured(chosen.sizes, chosen.frameworks) for row in made.rows())
    print("\n".join(table(list(measured))))


if __name__ == "__main__":
    main()
