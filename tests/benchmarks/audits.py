"""What the whole audit of a right gradient costs beside the calls of its op: forwards, backwards, time and memory.

    python tests/benchmarks/audits.py [--sizes N ...] [--frameworks numpy torch]

Each row is a process of its own. Calls are counted at the op, and time spent in them is taken out: what is left is told
in forwards of that op, in processor time. Memory is the highest resident size above that before the audit, in units of
inputs and outputs; forward's and backward's own are in it. Prints a table in Markdown; takes about a minute.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "checks"))

from pairs import array, case_of, open_pair
from softmax_pair import softmax, softmax_backward

from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict

SIZES = (12, 10**6, 10**7)

REPEATS = 40
"""Audits of a small op: the median is told."""

Function = Callable[..., Any]


PAIRS: dict[str, tuple[Function, Function]] = {
    "tanh": (np.tanh, lambda u, x: u / np.cosh(x) ** 2),
    "softmax": (softmax, softmax_backward),
}


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

    from gradaudit.targets.torch import torch_op

    return torch_op({"tanh": torch.tanh, "softmax": lambda x: torch.softmax(x, -1)}[name])


def measure(name: str, framework: str, size: int) -> str:
    """Audit one row, and return its line of the table."""
    shape = (3, 4) if size == 12 else (size // 1000, 1000)
    op = PAIRS[name]
    case, small = (case_of(*op, array("x", each)) for each in (shape, (3, 5)))
    audit_case(small, lambda _: nullcontext(opened(name, framework, small)))  # what is made once is not the audit's
    totals, own, forwards = [], [], []
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(REPEATS if size < 1000 else 1):
        watch = Watch()
        made = Watched(opened(name, framework, case), watch)
        started = time.process_time()
        audited = audit_case(case, lambda _, made=made: nullcontext(made))  # type: ignore[misc]
        totals.append(time.process_time() - started)
        own.append(sum(map(sum, watch.seconds.values())))
        forwards.append(statistics.median(watch.seconds["forward"]))
    (result,) = audited.results
    assert result.verdict is Verdict.PASS, result.message
    peak = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident)
    total, beside, one = (statistics.median(part) for part in (totals, np.subtract(totals, own), forwards))
    memory = f"{peak / (2 * 8 * size):.1f}" if size >= 1000 else ""
    return (
        f"| {name} | {framework} | {size:,} | {result.forwards} | {result.backwards} | {1e6 * total:,.0f} | "
        f"{1e6 * beside:,.0f} | {beside / one:.1f} | {memory} |"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What the audit of a right gradient costs.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--frameworks", nargs="+", choices=("numpy", "torch"), default=("numpy", "torch"))
    chosen = parser.parse_args(arguments)
    print("| op | arrays | elements | forwards | backwards | µs in all | µs beside its calls | in forwards | memory |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
    spawn = multiprocessing.get_context("spawn")
    for size in chosen.sizes:
        for framework in chosen.frameworks:
            for name in PAIRS:
                with ProcessPoolExecutor(1, spawn) as pool:
                    print(pool.submit(measure, name, framework, size).result(), flush=True)


if __name__ == "__main__":
    main()
