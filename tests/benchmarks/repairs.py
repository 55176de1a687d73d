"""How many planted faults are repaired: faults of the shipped ops, one edit each, drawn at random.

Each is written into a copy of its op's module, audited, and searched for repairs; what is found is compared with the
original backward at fresh points. A table by kind goes to ``reports/repairs.md``.

    python tests/benchmarks/repairs.py [--count 300] [--seed 0] [--jobs 2] [--output reports/repairs.md]
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from gradaudit.engine.audit import audit_case
from gradaudit.mutation.mutants import Mutant, backward_of, mutants_of
from gradaudit.repair.draws import drawn
from gradaudit.repair.repair import repair
from gradaudit.repair.repairs import Applicability
from gradaudit.results import Verdict
from gradaudit.source.reach import reach_finder
from gradaudit.source.written import reached
from gradaudit.spec.case import Case
from gradaudit.spec.load import load_specs
from gradaudit.spec.op_targets import PythonTarget
from gradaudit.targets import open_op
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError

ROOT = Path(__file__).parents[2]
SECONDS = 20.0
FRESH = 4
LONGEST = 900.0


@dataclass(frozen=True)
class Tried:
    op: str
    fault: str
    planted: str
    ended: str  # repaired, wrong, none, unnoticed, lost
    applicability: str = ""
    found: str = ""
    message: str = ""
    seconds: float = 0.0
    tried: int = 0


def planted(count: int, seed: int) -> Iterator[tuple[Mutant, tuple[Case, ...]]]:
    """Yield faults that can be noticed at all, as far as reading tells: not those in what forward calls too."""
    find = reach_finder([ROOT])
    by_op: dict[str, list[Case]] = defaultdict(list)
    for case in load_specs([ROOT / "specs"]).cases:
        if isinstance(case.target, PythonTarget) and case.expect.verdict == "pass":
            by_op[case.op].append(case)
    everything = []
    for cases in by_op.values():
        target = cases[0].target
        own = tuple(case for case in cases if case.target == target)
        source = backward_of(target, find)
        if source is None:
            continue
        shared = {made.__qualname__ for made in reached(import_function(target.forward, ROOT))}
        everything += [(made, own) for made in mutants_of(source, ROOT) if made.function not in shared]
    random.Random(seed).shuffle(everything)
    yield from everything[:count]


def written_to(folder: Path, mutant: Mutant, cases: Sequence[Case]) -> tuple[Case, ...]:
    """Write a module with the fault in it, and return the cases that audit it."""
    name = f"planted_{abs(hash((mutant.diff, mutant.function))) % 10**10}"
    (folder / f"{name}.py").write_text(mutant.source.text)

    def moved(function: str) -> str:
        return f"{name}:{function.partition(':')[2]}"

    made = []
    for case in cases:
        target: Any = case.target
        own = mutant.source.module in (target.backward.call.partition(":")[0],)
        call = moved(target.backward.call) if own else f"{name}:{mutant.source.attribute}"
        backward = replace(target.backward, call=call)
        forward = moved(target.forward) if target.forward.partition(":")[0] == mutant.source.module else target.forward
        made.append(replace(case, target=replace(target, forward=forward, backward=backward, folder=folder)))
    return tuple(made)


def try_one(mutant: Mutant, cases: tuple[Case, ...]) -> Tried:
    diff = " | ".join(line for line in mutant.diff.splitlines()[2:] if line[:1] in "+-")
    about = (cases[0].op, mutant.fault, diff)
    with tempfile.TemporaryDirectory() as name, np.errstate(all="ignore"):
        own = written_to(Path(name), mutant, cases)
        verdicts = {(case.id, made.input): made for case in own for made in audit_case(case).results}
        if not any(
            verdict in (Verdict.FAIL, Verdict.ERROR) for verdict in (made.verdict for made in verdicts.values())
        ):
            return Tried(*about, "unnoticed")
        found = repair(own, verdicts, SECONDS, clock=time.process_time)  # others may use the machine as well
        numbers = {"seconds": found.seconds, "tried": found.tried}
        if not found.repairs:
            return Tried(*about, "none", message=found.message, **numbers)
        best = found.repairs[0]
        if best.applicability is Applicability.HINT:
            return Tried(*about, "none", message="a hint without a place", **numbers)
        change = " | ".join(line for line in best.diff.splitlines()[2:] if line[:1] in "+-")
        best.path.write_text(best.after)
        repaired = Path(name, f"{best.path.stem}_repaired.py")
        repaired.write_text(best.after)
        same = all(equal_everywhere(case, original, repaired.stem) for case, original in zip(own, cases, strict=True))
        ended = "repaired" if same else "wrong"
        return Tried(*about, ended, str(best.applicability), change, **numbers)


def equal_everywhere(case: Case, original: Case, module: str) -> bool:
    """Whether the repaired backward answers as the original does at draws that no search has seen."""
    target: Any = case.target
    call = f"{module}:{target.backward.call.partition(':')[2]}"
    case = replace(case, target=replace(target, backward=replace(target.backward, call=call)))
    for seed in range(1001, 1001 + FRESH):
        wide = drawn(replace(original, seed=seed), open_op(original))
        if wide is None:
            continue
        try:
            repaired = replace(wide, op=open_op(case)).gradient()
        except OpError:
            return False
        own = wide.gradient()
        scale = float(np.nan_to_num(np.abs(own)).max(initial=0.0))
        if not np.allclose(repaired, own, rtol=1e-6, atol=1e-9 * scale + 1e-12, equal_nan=True):
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    tasks = [one for one in planted(10**9 if given.only else given.count, given.seed) if given.only in one[1][0].op]
    tasks = tasks[: given.count]
    made: list[Tried] = []
    started = time.monotonic()
    # Each in a process of its own: a fault may hang it, and leaves nothing behind.
    with get_context("fork").Pool(given.jobs, maxtasksperchild=1) as pool:
        waiting = [pool.apply_async(try_one, one) for one in tasks]
        for (mutant, cases), result in zip(tasks, waiting, strict=True):
            try:
                one = result.get(LONGEST)
            except Exception as error:
                one = Tried(cases[0].op, mutant.fault, mutant.diff, "lost", message=repr(error))
            made.append(one)
            if one.ended in ("none", "wrong", "lost"):
                print(f"{one.ended:9} {one.op}: {one.fault}: {one.planted}")
                print(f"    {one.found} {one.message} {one.seconds:.1f} s, {one.tried} tried", flush=True)
    text = table(made, time.monotonic() - started)
    print(text)
    if given.output:
        given.output.write_text(text)


def table(made: Sequence[Tried], seconds: float) -> str:
    noticed = [one for one in made if one.ended != "unnoticed"]
    kinds = dict.fromkeys(sorted(one.fault for one in noticed))
    lines = ["# Repairs of planted faults", ""]
    lines.append(f"{len(made)} faults, drawn at random from those that `gradaudit mutate` plants in the shipped ops.")
    lines.append(f"{len(noticed)} of them are noticed by an audit. `repaired` is what the first repair shown makes")
    lines.append("equal to the original at draws that no search has seen; `wrongly` is what it does not make so.")
    lines += [
        "",
        "| fault | noticed | repaired | verified | wrongly | none | median seconds |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for kind in [*kinds, "all"]:
        own = [one for one in noticed if kind in (one.fault, "all")]
        counts = [len(own), *(sum(one.ended == end for one in own) for end in ("repaired", "wrong", "none", "lost"))]
        verified = sum(one.ended == "repaired" and one.applicability == "verified" for one in own)
        median = sorted(one.seconds for one in own)[len(own) // 2] if own else 0.0
        cells = (kind, counts[0], counts[1], verified, counts[2], counts[3] + counts[4], f"{median:.1f}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
