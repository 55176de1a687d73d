"""Audits forwards that hide float32 inside, at 10^5 elements and many seeds, and prints what it takes.

    python tests/benchmarks/float32.py [--seeds N]

Every gradient is right; a second audit has one entry off by 5%. Exit status: 0 where every right one passes within
n / 50 forwards and every wrong one is found at its index, 1 otherwise. Takes some minutes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "checks"))

from test_search_float32 import audited

from gradaudit.results import Result, Verdict

SIZE = 10**5


def right_one(name: str, seed: int) -> Result:
    """Audit a right gradient."""
    return audited(name, "float64", "float64", SIZE, seed)


def wrong_one(name: str, seed: int) -> Result:
    """Audit a gradient that is wrong at one index, the same for every upstream."""
    place = np.random.default_rng(seed).integers(SIZE)
    wrong: list[int] = []

    def fault(gradient: Any) -> None:
        if not wrong:
            usual = np.flatnonzero(np.abs(gradient) > 0.5)
            wrong.append(int(usual[place % usual.size]))
        gradient[wrong] *= 1.05

    return audited(name, "float64", "float64", SIZE, seed, fault)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("-j", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    bad = 0
    with multiprocessing.Pool(chosen.j) as pool:
        for name in ("sine", "gelu"):
            right = pool.map(partial(right_one, name), range(chosen.seeds))
            wrong = pool.map(partial(wrong_one, name), range(chosen.seeds // 4))
            verdicts = Counter(str(result.verdict) for result in right)
            spent = [result.evaluations for result in right]
            found = sum(result.verdict is Verdict.FAIL and result.wrong == 1 for result in wrong)
            print(f"{name}: {dict(verdicts)}, forwards: median {np.median(spent):.0f}, most {max(spent)}", end="; ")
            print(f"one of 10^5 off by 5%: found {found} of {len(wrong)}", flush=True)
            bad += verdicts["pass"] < len(right) or max(spent) > SIZE / 50 or found < len(wrong)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
