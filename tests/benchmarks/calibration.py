"""Estimates the derivatives of 10,000 random smooth functions and compares every bound with the true error.

    python tests/benchmarks/calibration.py [--functions N] [--output FILE]

Writes reports/calibration.md: for each dtype that a function computes in, how often the truth lies within the bound,
and how much wider than the true error the bound is. Takes some minutes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "numerics"))

from smooth_functions import DTYPES, ELEMENTS, Measured, draw_usable, measure

REPORT = Path(__file__).parents[2] / "reports" / "calibration.md"

INTRODUCTION = """\
# Calibration of the error bounds

Written by `python tests/benchmarks/calibration.py`; do not edit.

Random smooth functions of {elements} arguments, computed step by step in the dtype of each row; arguments from 1e-8 to
1e8 and condition numbers up to 1e6, as far as the dtype has them; the true derivative for the very same constants in
extended precision. *To the end*: every estimate is made as good as it gets. *As audited*: it stops where it suffices
for a right claim at the default tolerance. *Unknown*: no step showed anything, and the bound is infinite. The ratio is
that of the bound to the true error.

| computes in | derivatives | within, to the end | within, as audited | unknown | median ratio | 90% below | \
evaluations a derivative, as audited |
|---|---:|---:|---:|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Calibrated:
    """All derivatives of one function, with full effort and with what an audit spends, and the evaluations of that."""

    complete: list[Measured]
    audited: list[Measured]
    evaluations: int


def calibrate(dtype: str, seed: int) -> Calibrated:
    """Estimate all derivatives of the function of a seed."""
    complete, _, _ = measure(*draw_usable(dtype, seed), audited=False)
    audited, _, evaluations = measure(*draw_usable(dtype, seed), audited=True)
    return Calibrated(complete, audited, evaluations)


def row(dtype: str, made: Sequence[Calibrated]) -> str:
    """Return the table's row for a dtype."""
    complete = [one for each in made for one in each.complete]
    audited = [one for each in made for one in each.audited]
    ratios = [one.ratio for one in complete if one.known]
    cells = (
        dtype,
        f"{len(complete):,}",
        within(complete),
        within(audited),
        f"{np.mean([not one.known for one in complete]):.1%}",
        f"{np.median(ratios):.0f}",
        f"{np.quantile(ratios, 0.9):,.0f}",
        f"{sum(each.evaluations for each in made) / len(audited):.0f}",
    )
    return f"| {' | '.join(cells)} |"


def within(made: Sequence[Measured]) -> str:
    """Return in words how many bounds hold."""
    return f"{np.mean([one.inside for one in made]):.2%}"


def rows(functions: int) -> Iterator[str]:
    """Yield the table's rows, the last one for all dtypes together."""
    everything: list[Calibrated] = []
    share = functions // len(DTYPES)
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for dtype in DTYPES:
            made = pool.map(partial(calibrate, dtype), range(share), chunksize=8)
            everything += made
            yield row(dtype, made)
    yield row("all", everything)


def main() -> int:
    """Run the benchmark and write its report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", type=int, default=10_000)
    parser.add_argument("--output", type=Path, default=REPORT)
    chosen = parser.parse_args()
    table = list(rows(chosen.functions))
    text = INTRODUCTION.format(elements=ELEMENTS) + "\n".join(table) + "\n"
    chosen.output.write_text(text)
    print("\n".join(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
