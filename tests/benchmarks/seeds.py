"""Audits every shipped case at 200 seeds, on all cores: prints what did not end as its spec expects, and all findings.

    python tests/benchmarks/seeds.py [--seeds N] [--specs PATH] [-k EXPR] [-j N]

A right op that fails, or cannot be decided, at one seed of 200 is a false alarm that a user would meet; so is a finding
that a person would call wrong. Exit status: 0 where every case ends as expected and no finding fails one, 1 otherwise.
Takes some minutes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gradaudit.engine.audit import audit_case
from gradaudit.results import FAILING_CODES
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs, selected
from gradaudit.spec.select import parse_selection

SPECS = Path(__file__).parents[2] / "specs"

SHOWN = 10
"""Seeds that are listed for a case; the others are counted."""


@dataclass(frozen=True)
class Unexpected:
    """A gradient that did not end as its spec expects."""

    case: str
    input: str
    seed: int
    verdict: str
    message: str


@dataclass(frozen=True)
class Swept:
    """What all seeds of one case came to; findings are counted by case, input and code."""

    gradients: int
    evaluations: int
    check_evaluations: int
    resolution: float
    unexpected: tuple[Unexpected, ...]
    findings: Counter[tuple[str, str, str]]


def sweep(task: tuple[Case, int]) -> Swept:
    """Audit one case at every seed below a number."""
    case, seeds = task
    audits = [audit_case(replace(case, seed=seed)) for seed in range(seeds)]
    results = [(seed, result) for seed, audit in enumerate(audits) for result in audit.results]
    return Swept(
        gradients=len(results),
        evaluations=sum(result.evaluations for _, result in results),
        check_evaluations=sum(audit.check_evaluations for audit in audits),
        resolution=max(result.resolution for _, result in results),
        unexpected=tuple(
            Unexpected(case.id, result.input, seed, str(result.verdict), result.message)
            for seed, result in results
            if not result.expected
        ),
        findings=Counter((case.id, result.input, finding.code) for _, result in results for finding in result.findings),
    )


def summary(swept: Sequence[Swept], seeds: int, seconds: float) -> Iterator[str]:
    """Yield the lines of the summary, what is unexpected most often first."""
    found: dict[tuple[str, str, str], list[Unexpected]] = defaultdict(list)
    for one in swept:
        for each in one.unexpected:
            found[each.case, each.input, each.verdict].append(each)
    for (case, name, verdict), those in sorted(found.items(), key=lambda item: -len(item[1])):
        listed = ", ".join(str(each.seed) for each in those[:SHOWN])
        more = f" and {len(those) - SHOWN} more" if len(those) > SHOWN else ""
        yield f"{case} w.r.t. {name}: {verdict} at {len(those)} of {seeds} seeds ({listed}{more})"
        yield f"    {those[0].message.partition(chr(10))[0]}"
    findings = sum((one.findings for one in swept), Counter[tuple[str, str, str]]())
    for (case, name, code), count in findings.most_common():
        yield f"{case} w.r.t. {name}: {code} {'(fails) ' if code in FAILING_CODES else ''}at {count} of {seeds} seeds"
    gradients, forwards = sum(one.gradients for one in swept), sum(one.evaluations for one in swept)
    checks = sum(one.check_evaluations for one in swept)
    yield f"{len(swept):,} cases at {seeds} seeds, {gradients:,} gradients, {seconds:.0f} s"
    yield f"{forwards:,} forwards for gradients, {checks:,} for other checks"
    failing = sum(count for (_, _, code), count in findings.items() if code in FAILING_CODES)
    yield f"findings: {findings.total():,}, of which {failing:,} fail a case"
    verdicts = Counter(each.verdict for one in swept for each in one.unexpected)
    ended = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(verdicts.items())) or "none"
    yield f"not as expected: {ended}; worst resolution: {max(one.resolution for one in swept):.3g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep, print the summary, and return the exit status."""
    parser = argparse.ArgumentParser(description="Audit every shipped case at many seeds.")
    parser.add_argument("--seeds", type=int, default=200, help="seeds 0..N-1 (default: 200)")
    parser.add_argument("--specs", type=Path, default=SPECS, help="folder or file of specs (default: those shipped)")
    parser.add_argument("-k", dest="expression", help="only cases that match, as in gradaudit run")
    parser.add_argument("-j", dest="jobs", type=int, default=os.cpu_count(), help="processes (default: all cores)")
    chosen = parser.parse_args(arguments)
    specs = load_specs([chosen.specs])
    if chosen.expression:
        specs = selected(specs, parse_selection(chosen.expression))

    started = time.perf_counter()
    swept = []
    with multiprocessing.Pool(chosen.jobs) as pool:
        for one in pool.imap(sweep, [(case, chosen.seeds) for case in specs.cases]):
            swept.append(one)
            if sys.stderr.isatty():
                print(f"\r{len(swept)} of {len(specs.cases)} cases", end="", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    print(*summary(swept, chosen.seeds, time.perf_counter() - started), sep="\n")
    failed = any(code in FAILING_CODES for one in swept for _, _, code in one.findings)
    return int(failed or any(one.unexpected for one in swept))


if __name__ == "__main__":
    sys.exit(main())
