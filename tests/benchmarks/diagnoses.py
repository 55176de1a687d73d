"""Plants faults of every kind in all shipped ops, and prints which cause each is put down to.

    python tests/benchmarks/diagnoses.py [--each N] [--misses N] [--method search]

Rows are what was planted, columns what was ranked first; ``none`` stands for "no simple cause". Faults are audited as
``gradaudit run`` would, N of each kind spread over all ops. Exit status: 0 where every kind is named in at least 95% of
its faults and at most 1% are put down to something else, 1 otherwise. Takes some minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "diagnosis"))

from planted import FAULTS, audit_planted, causes, failed, occasions

NAMED = 0.95
MISLED = 0.01
TWO = "two faults"


def planted(code: str, each: int, method: str) -> Iterator[tuple[str, str, str]]:
    """Yield what was planted where and what it was taken for, so many times."""
    where = list(occasions())
    order = np.random.default_rng(0).permutation(len(where) * len(FAULTS[code]))
    done = 0
    for seed, k in enumerate(order):
        case, name = where[k % len(where)]
        make = FAULTS[code][k // len(where)]
        result = audit_planted(replace(case, method=method), name, fault := make(), seed=seed)
        if failed(result):
            found = causes(result)
            said = found[0].message if found else ""
            yield found[0].code if found else "none", f"{case.id} {name} {fault.__name__} seed {seed}", said
            done += 1
        if done == each:
            return


def pairs(each: int, method: str) -> Iterator[tuple[str, str, str, set[str]]]:
    """Yield the same for two faults of different kinds in one gradient."""
    where, rng, done = list(occasions()), np.random.default_rng(1), 0
    kinds = [code for code in FAULTS if code not in ("accumulated", "captured-state", "upstream-ignored")]
    while done < each:
        case, name = where[rng.integers(len(where))]
        both = [kinds[k] for k in rng.choice(len(kinds), 2, replace=False)]
        faults = [FAULTS[code][rng.integers(len(FAULTS[code]))]() for code in both]
        result = audit_planted(replace(case, method=method), name, *faults, seed=done)
        if failed(result):
            found = causes(result)
            text = f"{case.id} {name} {' then '.join(fault.__name__ for fault in faults)} seed {done}"
            yield found[0].code if found else "none", text, found[0].message if found else "", set(both)
            done += 1


def main() -> int:
    """Run the benchmark and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=120)
    parser.add_argument("--misses", type=int, default=5, help="how many misses of each kind to print")
    parser.add_argument("--method", choices=["auto", "search"], default="auto")
    parser.add_argument("--only", choices=[*FAULTS, TWO])
    options = parser.parse_args()
    ok = True
    for code in FAULTS if options.only is None else {options.only} & set(FAULTS):
        started, tally, misses = time.perf_counter(), Counter(), []
        for found, where, said in planted(code, options.each, options.method):
            tally[found] += 1
            if found != code:
                misses.append(f"    {found}: {where}: {said}")
        total = sum(tally.values())
        misled = total - tally[code] - tally["none"]
        ok &= tally[code] >= NAMED * total and misled <= MISLED * total
        others = ", ".join(f"{found} {count}" for found, count in tally.most_common() if found != code)
        seconds = time.perf_counter() - started
        print(
            f"{code:17} {tally[code]:4} of {total:4} ({tally[code] / max(total, 1):.1%})  {others}  [{seconds:.0f} s]"
        )
        print(*misses[: options.misses], sep="\n" if misses else "", end="\n" if misses[: options.misses] else "")
    if options.only in (None, TWO):
        two, misses = Counter(), []
        for found, where, said, both in pairs(options.each, options.method):
            kind = "none" if found == "none" else "one of them" if found in both else "another"
            two[kind] += 1
            if kind == "another":
                misses.append(f"    {found}: {where}: {said}")
        print(f"{TWO:17} {', '.join(f'{kind} {count}' for kind, count in two.most_common())}")
        print(*misses[: options.misses], sep="\n")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
