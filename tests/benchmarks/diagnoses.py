"""Plants faults of every kind in all shipped ops, and prints what they are put down to.

    python tests/benchmarks/diagnoses.py [--each N] [--misses N] [--method search] [--seed N]

For each kind: in how many faults its code is ranked first, another code that says the same of every index, none ("no
simple cause"), or something else, and which codes those were. Faults are audited as ``gradaudit run`` would, N of each
kind spread over all ops. Exit status: 0 where of every kind at least 95% are named and at most 1% put down to something
else, 1 otherwise. Takes a minute.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1] / "diagnosis"))

from faults import FAULTS
from planted import audit_planted, causes, failed, occasions

from gradaudit.results import Finding

NAMED = 0.95
MISLED = 0.01
TWO = "two faults"


SAME = {"sign-flipped", "constant-factor", "transposed", "shifted"}
"""Codes that say what the whole gradient is, with at most one number: met at every index, they are as right as the
fault's own, as when every second row is doubled and only those rows have a gradient."""


@dataclass(frozen=True)
class Told:
    """What was planted where, and what it was put down to."""

    planted: set[str]
    where: str
    code: str
    message: str
    whole: bool

    @classmethod
    def of(cls, planted: set[str], where: str, likely: Sequence[Finding]) -> Told:
        if not likely:
            return cls(planted, where, "none", "", False)
        first = likely[0]
        return cls(
            planted, where, first.code, first.message, first.code in SAME and first.evidence.get("explained") == 1.0
        )

    @property
    def kind(self) -> str:
        if self.code in {"none", *self.planted}:
            return "none" if self.code == "none" else "named"
        return "the same" if self.whole else "misled"


def single(code: str, options: argparse.Namespace) -> Iterator[Told]:
    """Plant faults of one kind, so many that are noticed."""
    where, done = list(occasions()), 0
    for seed, k in enumerate(np.random.default_rng(options.seed).permutation(len(where) * len(FAULTS[code]))):
        case, name = where[k % len(where)]
        fault = FAULTS[code][k // len(where)]()
        result = audit_planted(replace(case, method=options.method), name, fault, seed=seed)
        if failed(result):
            yield Told.of({code}, f"{case.id} {name} {fault.__name__} seed {seed}", causes(result))
            done += 1
        if done == options.each:
            return


def pairs(options: argparse.Namespace) -> Iterator[Told]:
    """Plant two faults of different kinds in one gradient, so many that are noticed."""
    where, rng, done = list(occasions()), np.random.default_rng(options.seed), 0
    kinds = [code for code in FAULTS if code not in ("accumulated", "captured-state", "upstream-ignored")]
    while done < options.each:
        case, name = where[rng.integers(len(where))]
        both = [kinds[k] for k in rng.choice(len(kinds), 2, replace=False)]
        faults = [FAULTS[code][rng.integers(len(FAULTS[code]))]() for code in both]
        result = audit_planted(replace(case, method=options.method), name, *faults, seed=done)
        if failed(result):
            text = f"{case.id} {name} {' then '.join(fault.__name__ for fault in faults)} seed {done}"
            yield Told.of(set(both), text, causes(result))
            done += 1


def reported(planted: str, told: Sequence[Told], misses: int) -> Counter[str]:
    """Print what faults of a kind were put down to, and return how often they were named."""
    kinds = Counter(one.kind for one in told)
    codes = Counter(one.code for one in told if one.code not in one.planted)
    counts = "  ".join(f"{kind} {kinds[kind]:3}" for kind in ("named", "the same", "none", "misled"))
    print(f"{planted:17} {len(told):4}:  {counts}   {', '.join(f'{code} {count}' for code, count in codes.items())}")
    for one in [one for one in told if one.kind != "named" and (one.kind != "none" or planted != TWO)][:misses]:
        print(f"    {one.kind}: {one.where}: {one.code} {one.message}")
    return kinds


def main() -> int:
    """Run the benchmark and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=120)
    parser.add_argument("--misses", type=int, default=5, help="how many misses of each kind to print")
    parser.add_argument("--method", choices=["auto", "search"], default="auto")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    ok = True
    for code in FAULTS:
        kinds = reported(code, list(single(code, options)), options.misses)
        right = kinds["named"] + kinds["the same"]
        ok &= right >= NAMED * options.each and kinds["misled"] <= MISLED * options.each
    reported(TWO, list(pairs(options)), options.misses)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
