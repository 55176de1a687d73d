"""What the engine withstands: fuzzed specs, rude ops, misbehaving children, kills, a cluster that loses workers.

    python tests/benchmarks/reliability.py [--only kills …]

Writes reports/reliability.md.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "engine"))

from child_processes import misbehaving_children  # noqa: E402 (beside this file)
from farm import page  # noqa: E402
from isolation_cost import costs  # noqa: E402
from kills import killed  # noqa: E402
from lost_workers import lost_workers  # noqa: E402
from rude_ops import rude_modules  # noqa: E402
from test_isolation import HONEST  # noqa: E402 (the same honest ops that the tests know)

from gradaudit.engine.events import CaseFinished, Event  # noqa: E402
from gradaudit.engine.run import run_specs  # noqa: E402
from gradaudit.results import Verdict  # noqa: E402
from gradaudit.spec.errors import SpecError  # noqa: E402
from gradaudit.spec.load import load_specs  # noqa: E402

FRAGMENTS = (
    "",
    "\0",
    "::",
    "- ",
    "{",
    "}",
    "[",
    "]",
    "&a",
    "*a",
    "!!python/object:os.system",
    "\t",
    "\r",
    "1e999",
    ".nan",
)
FRAGMENTS += ("-1", "9" * 40, "null", "~", "'", '"', "\ud7ff", "\U0001f600", "? ", "| ", "<<: ", "shape", "op", "seed")


def fuzzed(count: int) -> Counter[str]:
    """Load so many damaged specs; count how that ended."""
    texts = [path.read_text() for path in sorted((ROOT / "specs").rglob("*.yaml"))]
    rng = random.Random(0)
    ends: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "spec.yaml")
        for _ in range(count):
            text = rng.choice(texts)
            for _ in range(rng.randint(1, 6)):
                a, b = sorted(rng.choices(range(len(text) + 1), k=2))
                b = min(b, a + rng.choice((0, 1, 5, 40)))
                text = text[:a] + rng.choice(FRAGMENTS) * rng.choice((1, 1, 3)) + text[b:]
            file.write_bytes(text.encode("utf-8", "surrogatepass"))
            try:
                load_specs([file])
                ends["loaded"] += 1
            except SpecError:
                ends["refused in words"] += 1
            except BaseException as error:
                ends[f"traceback: {type(error).__name__}"] += 1
    return ends


TIMEOUT = 10.0
"""Seconds that an op may take: many rude ones take all of them, and no honest one on a busy machine."""


def document(op: str, module: str, backward: str = "backward") -> dict[str, Any]:
    target = {"forward": f"{module}:forward", "backward": f"{module}:{backward}"}
    return {"op": op, "target": target, "inputs": {"x": {"shape": [3], "range": [0.5, 1.5]}}}


def beside_honest_ones(jobs: int) -> tuple[int, int, int, Counter[str]]:
    """Audit every rude op between honest ones; return kinds, honest verdicts, those changed, and how the rude end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "honest.py").write_text(HONEST)
        documents, kinds = [], 0
        for place, rude, text in rude_modules():
            module = f"rude_{kinds}"
            (folder / f"{module}.py").write_text(text)
            documents += [
                document(f"{rude}_{place}".replace(" ", "_"), module),
                document(f"right.{kinds}", "honest"),
                document(f"wrong.{kinds}", "honest", "wrong"),
            ]
            kinds += 1
        (folder / "specs.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
        ends: dict[str, str] = {}

        def emit(event: Event) -> None:
            if isinstance(event, CaseFinished):
                (result,) = event.results
                ends[result.op] = str(result.verdict)
                if result.op.startswith(("right.", "wrong.")) and result.verdict is Verdict.ERROR:
                    print(f"{result.op}: {result.message}")

        run_specs(load_specs([folder]), emit, jobs=jobs, timeout=TIMEOUT)
    honest = {op: verdict for op, verdict in ends.items() if op.startswith(("right.", "wrong."))}
    changed = [op for op, verdict in honest.items() if verdict != ("pass" if op.startswith("right.") else "fail")]
    return kinds, len(honest), len(changed), Counter(v for op, v in ends.items() if op not in honest)


def _told(ends: Counter[str]) -> str:
    return ", ".join(f"{count:,} {end}" for end, count in sorted(ends.items()))


def of_specs(asked: argparse.Namespace) -> tuple[int, str]:
    return asked.specs, _told(fuzzed(asked.specs))


def of_rude_ops(jobs: int) -> tuple[int, str]:
    kinds, honest, changed, rude = beside_honest_ones(jobs)
    return kinds, f"{changed} of {honest:,} verdicts of honest ops changed; the rude ones: {_told(rude)}"


def of_children(asked: argparse.Namespace) -> tuple[int, str]:
    behaviours, ends = misbehaving_children()
    return behaviours, _told(ends)


def of_kills(asked: argparse.Namespace) -> tuple[int, str]:
    ends, wrong = killed(asked.kills, projects=asked.projects)
    return asked.kills, f"{_told(ends)}; what went wrong: {_told(wrong) or 'nothing'}"


def of_workers(asked: argparse.Namespace) -> tuple[int, str]:
    count, cases, lost = lost_workers(asked.workers)
    return count, f"{lost} of {cases} cases lost, or ended otherwise than on one machine"


def of_isolation(asked: argparse.Namespace) -> tuple[int, str]:
    without, isolated = costs(asked.rounds, ["specs/"])
    said = f"{without:.1f} s in one process, {isolated:.1f} s in a process for each op: {isolated / without - 1:+.0%}"
    return 2 * asked.rounds, said


PARTS: dict[str, tuple[str, Callable[[argparse.Namespace], tuple[int, str]]]] = {
    "specs": ("specs damaged at random and loaded", of_specs),
    "rude-1": ("kinds of rude ops beside honest ones, `-j 1`", lambda asked: of_rude_ops(1)),
    "rude-2": ("kinds of rude ops beside honest ones, `-j 2`", lambda asked: of_rude_ops(2)),
    "children": ("behaviours of child processes, each beside an honest op", of_children),
    "kills": ("kills of a run, a worker or a template at random moments, and `--resume`", of_kills),
    "workers": ("workers of a Dask cluster killed in the middle of a run", of_workers),
    "isolation": ("runs of the shipped specs, for the CPU time that isolation costs", of_isolation),
}

PAGE = ROOT / "reports" / "reliability.md"

SIMULATION = "machines"

MACHINES = "\n## Many machines, simulated\n\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = [*PARTS, SIMULATION]
    parser.add_argument("--only", nargs="*", default=parts, choices=parts, help="what to do anew")
    parser.add_argument("--specs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--projects", type=int, default=4, help="projects whose runs are killed side by side")
    parser.add_argument("--workers", type=int, default=20, help="workers of a cluster to kill")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each kind, for what isolation costs")
    asked = parser.parse_args()
    for name in asked.only:
        if name == SIMULATION:
            write({}, page(["specs/"], 100_000))
            continue
        title, do = PARTS[name]
        count, said = do(asked)
        write({title: f"{count:,} | {said}"})


def write(anew: Mapping[str, str], machines: str = "") -> None:
    """Put rows that were made anew, or the simulation, into the page; the others stay what they are."""
    table, _, before = PAGE.read_text().partition(MACHINES)
    rows = dict(line[2:-2].split(" | ", 1) for line in table.splitlines() if line.startswith("| ")) | anew
    text = "# Reliability\n\nMade by `tests/benchmarks/reliability.py`.\n\n"
    text += "| what | how many | what came of it |\n|---|---|---|\n"
    text += "".join(f"| {title} | {rows[title]} |\n" for title, _ in PARTS.values() if title in rows)
    PAGE.write_text(text + MACHINES + (machines or before))


if __name__ == "__main__":
    main()
