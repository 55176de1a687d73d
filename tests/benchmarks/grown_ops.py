"""Audits every shipped case with its axes lengthened, in float32 and the half precisions: prints what does not pass.

    python tests/benchmarks/grown_ops.py [--elements N] [--seeds N] [--specs PATH] [-j N]

Long sums cancel, softmaxes saturate and values repeat, which the small shapes of specs do not show. All ops are right:
what fails is a false alarm. Cases whose params or values do not fit longer axes end as errors, or are left out. Exit
status: 0 where no gradient fails, 1 otherwise. Takes some minutes.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict
from gradaudit.spec.case import Case
from gradaudit.spec.dtypes import spacing
from gradaudit.spec.load import load_specs

SPECS = Path(__file__).parents[2] / "specs"

DTYPES = ("float32", "float16", "bfloat16")

FACTORS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 512, 2048, 8192)
"""How many times as long axes are made: the most that keeps within the elements asked for."""


@dataclass(frozen=True)
class Ended:
    """How one gradient ended."""

    case: str
    dtype: str
    seed: int
    input: str
    verdict: Verdict
    message: str
    worst_ratio: float


def holds(dtype: str, span: tuple[float, float]) -> bool:
    """Whether a range is wide enough to hold numbers of a dtype."""
    return span[1] - span[0] > spacing(dtype) * max(abs(span[0]), abs(span[1]))


def grown(case: Case, dtype: str, elements: int) -> Case | None:
    """Return a case in a dtype with axes as long as so many elements allow; None where its values do not fit."""
    found = None
    if any(made.range and not holds(dtype, made.range) for made in case.inputs):
        return None
    for factor in FACTORS if not any(made.values is not None for made in case.inputs) else ():
        inputs = tuple(
            replace(
                made,
                shape=tuple(length * factor if length > 1 else length for length in made.shape),
                dtype=dtype if made.dtype == case.dtype else made.dtype,
                gap=0.0,  # that few numbers can keep from each other
            )
            for made in case.inputs
        )
        if sum(math.prod(made.shape) for made in inputs if made.differentiable) > elements:
            break
        found = replace(case, inputs=inputs, dtype=dtype)
    return found


def ends(task: tuple[Case, int]) -> list[Ended]:
    """Audit a case at a seed."""
    case, seed = task
    audit = audit_case(replace(case, seed=seed))
    return [
        Ended(case.id, case.dtype, seed, each.input, each.verdict, each.message, each.worst_ratio)
        for each in audit.results
    ]


def tasks(specs: Path, elements: int, seeds: int) -> Iterator[tuple[Case, int]]:
    """Yield the cases, each in every dtype and at every seed."""
    cases = {case.id.partition("[")[0]: case for case in load_specs([specs]).cases}
    for case in cases.values():
        for dtype in DTYPES if case.dtype.startswith("float") else ():
            if larger := grown(case, dtype, elements):
                yield from ((larger, seed) for seed in range(seeds))


def main() -> int:
    """Run the benchmark and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elements", type=int, default=12_000, help="most elements of a case (default: 12,000)")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0..N-1 (default: 1)")
    parser.add_argument("--specs", type=Path, default=SPECS, help="folder or file of specs (default: those shipped)")
    parser.add_argument("-j", dest="jobs", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    chosen = parser.parse_args()
    verdicts: Counter[Verdict] = Counter()
    with multiprocessing.Pool(chosen.jobs) as pool:
        for ended in pool.imap_unordered(ends, tasks(chosen.specs, chosen.elements, chosen.seeds)):
            verdicts.update(each.verdict for each in ended)
            for each in ended:
                if each.verdict is not Verdict.PASS:
                    at = f"{each.case} in {each.dtype}, seed {each.seed}"
                    print(f"{at}, {each.input}: {each.verdict} ({each.message.partition(chr(10))[0]})", flush=True)
    print(", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.items()))
    return int(verdicts[Verdict.FAIL] > 0)


if __name__ == "__main__":
    sys.exit(main())
