"""Audits random right kernels, in float32 only and half precision, then with one index off by three times what is seen.

    python tests/benchmarks/random_kernels.py [--audits N] [--seed N] [--first N] [-j N] [--output FILE]

Half of the kernels are those that people write, the others composed at random. What is seen is the resolution that
the audit of the right one states. As many are drawn in each dtype as it takes to plant so many errors. Exit status: 0
where no right gradient is accused and no planted error passes, 1 otherwise. Interrupted, it tells what it knows.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import kernel_faults
import kernels_besides as more
import kernels_of_networks as main_ones
import numpy as np
import torch
from composed_kernels import composed
from kernel import Kernel
from torch import Tensor

from gradaudit.engine.audit import audit_case
from gradaudit.results import Result, Verdict, worst

OF_ROWS: tuple[Callable[[str, int, int], Kernel], ...] = (
    main_ones.layer_norm, main_ones.rms_norm, main_ones.swiglu, main_ones.gelu, main_ones.relu, main_ones.softmax,
    main_ones.cross_entropy, main_ones.scan, more.residual_norm, more.dropout, more.log_softmax, more.running_sum,
    more.ignoring_cross_entropy, more.geglu, more.row_maximum, more.sort, more.rectified_linear,
)  # fmt: skip

DTYPES = ("float32", "bfloat16", "float16")

STYLES = ("only", "only", "only", "numpy", "checkpoint", "casts")

REPORT = """# Random kernels

`python tests/benchmarks/random_kernels.py` audits right kernels with backwards written by hand: half of them as
people write them (norms, activations, softmaxes, losses, products, attention, scans, sorts, pools, convolutions),
half composed at random of one to four of 43 pieces (some as residuals, products or mixtures of two), with one of six
reductions or eight scalar losses at the end of every second one. They have one input or several, of 4 to some
thousand elements together, and are called as tensors, as arrays, under `checkpoint`, or cast what they are given.
Compositions in half precision are fused (float32 inside) or eager (rounded after each piece). Where a gradient
passes, one of its indices, drawn at random, is then off by three times the resolution that the audit stated. A kernel
counts by the worst verdict of its gradients; seconds are of CPU, an audit.
"""

TIMES = 3.0
"""How many times the stated resolution a planted error is."""

SECONDS = 60.0
"""Time limit of an audit."""

BAD = ("fail: ", "error: ", "planted, pass: ")
"""How lines begin that say what must not be: a right gradient accused, a wrong one passed."""

COLUMNS = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL, Verdict.ERROR)


def drawn(rng: np.random.Generator, dtype: str) -> Kernel:
    """Return a kernel of up to some thousand elements, composed at random or one that people know."""
    style = STYLES[rng.integers(len(STYLES) - (dtype == "float32"))]
    rows, columns = (int(2 ** rng.uniform(1, 5.5)) for _ in range(2))
    if rng.random() < 1 / 2:
        return replace(composed(rng, dtype, rows, columns), style=style)
    return replace(_known(rng, dtype, rows, columns), style=style)


def _known(rng: np.random.Generator, dtype: str, rows: int, columns: int) -> Kernel:
    few = int(rng.integers(1, 5))
    kind = int(rng.integers(len(OF_ROWS) + 8))
    if kind < len(OF_ROWS):
        return OF_ROWS[kind](dtype, rows, columns)
    return (
        lambda: main_ones.matmul(dtype, rows, int(2 ** rng.uniform(1, 5)), columns),
        lambda: main_ones.group_norm(dtype, few, 4, 2, int(rng.integers(2, 8))),
        lambda: main_ones.rope(dtype, few, rows, 2, 2 * int(rng.integers(1, 8))),
        lambda: main_ones.attention(dtype, 1, few, min(rows, 24) + 1, min(columns, 16), 8),
        lambda: more.alibi(dtype, 1, 2, min(rows, 24) + 1, min(columns, 24)),
        lambda: more.batch_norm(dtype, few + 1, columns, min(rows, 16)),
        lambda: more.embedding(dtype, rows, columns, 2 * rows),
        lambda: more.convolution(dtype, few, min(columns, 12), rows, few),
    )[kind - len(OF_ROWS)]()


def with_error(kernel: Kernel, result: Result, rng: np.random.Generator) -> Kernel:
    """Return a kernel with one index of an input off by three times the resolution that its audit stated."""
    place, sign = int(rng.integers(math.prod(kernel.shapes[result.input]))), float(rng.choice([-1, 1]))

    def change(gradient: Tensor) -> Tensor:
        flat = gradient.reshape(-1).clone()
        size = float(torch.maximum(flat[place].abs(), flat.square().mean().sqrt())) or 1.0
        flat[place] += sign * TIMES * result.resolution * size
        return flat.reshape(gradient.shape)

    return kernel_faults.broken(kernel, f"index {place}", result.input, change)


@dataclass(frozen=True)
class Ended:
    """How a right kernel's audit ended, and that of the one with an error planted, where a gradient passed.

    Attributes:
        dtype: of the kernel.
        right: the worst verdict of its gradients.
        planted: the verdict of the one with an error; None where none was planted.
        said: what is to be looked at, a line each.
        seconds: of CPU.

    """

    dtype: str
    right: Verdict
    planted: Verdict | None
    said: tuple[str, ...]
    seconds: float


def ended(task: tuple[int, int, str]) -> Ended:
    """Audit the kernel that a seed, a number and a dtype draw, right and then wrong."""
    torch.set_num_threads(1)
    seed, number, dtype = task
    rng, started = np.random.default_rng([seed, number, DTYPES.index(dtype)]), time.process_time()
    kernel = drawn(rng, dtype)
    what = f"{number} {kernel.name} {dtype} {kernel.style} {dict(kernel.shapes)}"
    results = audit_case(kernel.case(number), seconds=SECONDS).results
    said = [
        f"{each.verdict}: {what}: {each.input}: {each.message}" for each in results if each.verdict is not Verdict.PASS
    ]
    right, planted = worst([result.verdict for result in results]), None
    passing = [each for each in results if each.verdict is Verdict.PASS and 0.0 < each.resolution < math.inf]
    if passing:
        wrong = with_error(kernel, passing[rng.integers(len(passing))], rng)
        name, _, place = wrong.fault.partition(": ")
        (found,) = (each for each in audit_case(wrong.case(number), seconds=SECONDS).results if each.input == name)
        planted = found.verdict
        if planted is not Verdict.FAIL:
            said.append(f"planted, {planted}: {what}: {name} {place}: {found.resolution}")
    return Ended(dtype, right, planted, tuple(said), time.process_time() - started)


def all_ended(seed: int, first: int, audits: int, jobs: int) -> Iterator[Ended]:
    """Yield audits until as many are done in each dtype, and as many errors planted."""
    left = Counter(dict.fromkeys(DTYPES, audits))
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        while left:
            tasks = [
                (seed, number, dtype)
                for number in range(first, first + max(left.values()))
                for dtype in DTYPES
                if number < first + left[dtype]
            ]
            first += max(left.values())
            for each in pool.imap_unordered(ended, tasks):
                left[each.dtype] -= each.planted is not None
                yield each
            left = +left


def table(made: list[Ended]) -> list[str]:
    """Return how audits ended, by dtype, as a table in Markdown."""
    right, wrong = (" | ".join(f"{what}: {verdict}" for verdict in COLUMNS) for what in ("right", "planted"))
    lines = [f"| dtype | right kernels | {right} | errors planted | {wrong} | s |", "|---" * 12 + "|"]
    for dtype in DTYPES:
        mine = [each for each in made if each.dtype == dtype]
        ends = Counter(each.right for each in mine)
        planted = Counter(each.planted for each in mine if each.planted is not None)
        seconds = sum(each.seconds for each in mine) / max(1, len(mine) + planted.total())
        counts = [len(mine), *(ends[verdict] for verdict in COLUMNS)]
        counts += [planted.total(), *(planted[verdict] for verdict in COLUMNS)]
        lines.append(f"| {dtype} | {' | '.join(f'{count:,}' for count in counts)} | {seconds:.2f} |")
    return lines


def main() -> int:
    """Audit, print what went wrong and how all ended, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audits", type=int, default=2000, help="in each dtype (default: 2,000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first kernel (default: 0)")
    parser.add_argument("-j", dest="jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--output", type=Path, help="file to write the table to, with what went wrong")
    chosen = parser.parse_args()
    made: list[Ended] = []
    with suppress(KeyboardInterrupt):  # what is known by then is told
        for each in all_ended(chosen.seed, chosen.first, chosen.audits, chosen.jobs):
            made.append(each)
            for line in each.said:
                print(line, flush=True)
            if len(made) % 300 == 0:
                print("\n".join(table(made)), flush=True)
    print("\n".join(table(made)))
    off = [line for each in made for line in each.said if line.startswith(BAD)]
    if chosen.output:
        chosen.output.write_text(
            "\n".join([REPORT, *table(made), *([""] if off else []), *(f"- {line}" for line in off)]) + "\n"
        )
    return int(bool(off))


if __name__ == "__main__":
    sys.exit(main())
