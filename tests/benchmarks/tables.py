"""What a table of every index costs: right gradients, and wrong ones, at the sizes where one is looked at.

    python tests/benchmarks/tables.py

Prints a table in Markdown; takes about a minute.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "checks"))

from audits import PAIRS, Function, opened
from cpu_time import Row, table
from pairs import array, case_of

from gradaudit.engine.audit import audit_case
from gradaudit.numerics.arrays import count

TITLE = "Tables"

SHAPES = ((8, 8), (64, 64))

REPEATS = {64: 10, 4096: 1}
"""Audits of each size: the least time is told."""

LIMIT = 507
"""Microseconds of a table of 64 elements, by a prototype that did without what else an audit does."""


def off(backward: Function) -> Function:
    """Return a backward that is off by a hundredth everywhere."""
    return lambda u, x: 1.01 * backward(u, x)


KINDS: dict[str, tuple[Function, Function]] = {
    "tanh": PAIRS["tanh"],
    "tanh, wrong": (PAIRS["tanh"][0], off(PAIRS["tanh"][1])),
    "softmax": PAIRS["softmax"],
    "ReLU": (lambda x: np.maximum(x, 0.0), lambda u, x: u * (x > 0)),
}

FRAMEWORKS = {"numpy": KINDS, "torch": {"tanh": PAIRS["tanh"]}}


def measure(name: str, framework: str, shape: tuple[int, ...]) -> Row:
    """Audit one op by its table."""
    case = replace(case_of(*FRAMEWORKS[framework][name], array("x", shape)), method="exhaustive")
    size, seconds = int(np.prod(shape)), []
    op = opened(name, framework, case)
    x = np.random.default_rng(0).normal(size=shape)
    bare = []
    for _ in range(200):
        started = time.process_time()
        op.forward({"x": x})
        bare.append(time.process_time() - started)
    for _ in range(REPEATS[size]):
        op = opened(name, framework, case)
        started = time.process_time()
        audited = audit_case(case, lambda _, op=op: nullcontext(op))  # type: ignore[misc]
        seconds.append(time.process_time() - started)
    (result,) = audited.results
    assert (result.method, result.wrong) == ("exhaustive", size if "wrong" in name else 0), result.message
    calls = f"{result.forwards:,} forwards of {1e6 * min(bare):.0f} µs"
    what = f"{name}, {framework}, {count(x):,} elements; milliseconds"
    limit = f"{1e-3 * LIMIT:.3g}" if size == SHAPES[0][0] * SHAPES[0][1] else "-"
    return Row(what, limit, calls, 1e3 * min(seconds), min(seconds) / (result.forwards * min(bare)))


def all_measured() -> Iterator[Row]:
    """Measure ops, each in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    for shape, framework in product(SHAPES, FRAMEWORKS):
        for name in FRAMEWORKS[framework]:
            with ProcessPoolExecutor(1, spawn) as pool:
                yield pool.submit(measure, name, framework, shape).result()


def said() -> str:
    """Say how the section is measured."""
    return (
        "Whole audits in float64 with `method: exhaustive`, each op in a process of its own, torch's on one thread: "
        "the least processor time of ten at 64 elements, that of one at 4,096. Where several points are evaluated in "
        "one call, each counts as a forward."
    )


def rows() -> list[Row]:
    """Measure every op."""
    return list(all_measured())


if __name__ == "__main__":
    print("\n".join(table(rows())))
