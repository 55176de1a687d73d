"""Plants faults in the gradients of every shipped op at many seeds, and prints which of them pass.

    python tests/benchmarks/missed_faults.py [--seeds N] [-j N]

For every seed, op and input: minus the gradient, a factor of ``1 + 10 rtol``, the largest entry 1% off, and without
the term of one output, each in a case and a dtype drawn at random. A fault counts where it exceeds twice the tolerance
at some index: what the spec allows is none. Exit status: 0 where none passes, 1 otherwise. Takes some minutes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "ops"))

from shipped import CASES_BY_OP, Spoilt, audit_changed

from gradaudit.results import Verdict
from gradaudit.spec.case import Case, Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES

Fault = Callable[[Any, Any], Any]
"""Takes the right gradient, and what it is without the term of one output; returns a wrong one."""

NOTICEABLE = 2.0
"""Times the tolerance that a fault must come to at some index."""


class TooSmallError(BaseException):
    """The fault lies within the tolerance. No exception that an audit would take for the op's own."""


@dataclass(frozen=True)
class Faulty(Spoilt):
    """An op whose gradient with respect to one input has a fault, which may be that it lacks a term."""

    def backward(
        self, upstream: tuple[Any, ...], inputs: Mapping[str, Any], outputs: tuple[Any, ...]
    ) -> dict[str, Any]:
        gradients = self.op.backward(upstream, inputs, outputs)
        first = upstream[0].copy()
        first.reshape(-1)[first.size // 2] = 0.0
        rest = self.op.backward((first, *upstream[1:]), inputs, outputs)
        return gradients | {self.input: self.fault(gradients[self.input], rest[self.input])}


def faults(tolerance: Tolerance) -> dict[str, Fault]:
    """Return the faults that are planted, by name."""

    def one_index(gradient: Any, _: Any) -> Any:
        spoilt = gradient.copy()
        spoilt[np.unravel_index(np.abs(gradient).argmax(), gradient.shape)] *= 1.01
        return spoilt

    def noticeable(fault: Fault) -> Fault:
        def spoil(gradient: Any, rest: Any) -> Any:
            wide = gradient.astype(np.complex128)
            spoilt = fault(gradient, rest).astype(gradient.dtype)
            allowed = tolerance.atol + tolerance.rtol * np.abs(wide)
            if not (np.abs(spoilt.astype(np.complex128) - wide) > NOTICEABLE * allowed).any():
                raise TooSmallError
            return spoilt

        return spoil

    made: dict[str, Fault] = {
        "sign": lambda gradient, _: -gradient,
        "factor": lambda gradient, _: gradient * (1 + 10 * tolerance.rtol),
        "one index": one_index,
        "dropped term": lambda _, rest: rest,
    }
    return {name: noticeable(fault) for name, fault in made.items()}


FAULTS = tuple(faults(Tolerance(0.0, 0.0)))
"""Their names."""


def plant(seed: int) -> list[tuple[str, str, str]]:
    """Return what became of each fault at a seed: its name, its verdict, and where it was planted."""
    rng = np.random.default_rng(seed)
    told = []
    for cases in CASES_BY_OP.values():
        for name in dict.fromkeys(made.name for case in cases for made in case.inputs if made.differentiable):
            having = [case for case in cases if any(made.name == name and made.differentiable for made in case.inputs)]
            for fault in FAULTS:
                case = replace(having[rng.integers(len(having))], seed=seed)
                spoil = faults(case.tolerance or DEFAULT_TOLERANCES[case.dtype])[fault]
                if verdict := verdict_of(case, name, spoil):
                    told.append((fault, str(verdict), f"{case.id} w.r.t. {name}, seed {seed}"))
    return told


def verdict_of(case: Case, name: str, fault: Fault) -> Verdict | None:
    """Return how the input whose gradient is spoilt ends; None where the fault is no fault there."""
    with np.errstate(all="ignore"):
        try:
            audited = audit_changed(case, lambda opened: Faulty(opened, name, fault))
        except TooSmallError:
            return None
    return next(result.verdict for result in audited.results if result.input == name)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("-j", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    counts: Counter[tuple[str, str]] = Counter()
    unnoticed = []
    with multiprocessing.Pool(chosen.j) as pool:
        for told in pool.imap_unordered(plant, range(chosen.seeds)):
            counts.update((fault, verdict) for fault, verdict, _ in told)
            unnoticed += [row for row in told if row[1] != Verdict.FAIL]
    for (fault, verdict), count in sorted(counts.items()):
        print(f"{fault}: {verdict} {count:,}")
    for fault, verdict, where in unnoticed:
        print(f"{fault} ended {verdict}: {where}")
    return any(verdict == Verdict.PASS for _, verdict, _ in unnoticed)


if __name__ == "__main__":
    sys.exit(main())
