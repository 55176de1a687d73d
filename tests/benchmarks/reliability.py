"""What the engine withstands: fuzzed specs, rude ops, misbehaving children, kills, a cluster that loses workers.

    gradaudit run specs/ --json costs.json && python tests/benchmarks/reliability.py --costs costs.json

Writes reports/reliability.md.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
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
from test_isolation import HONEST, RUDE  # noqa: E402 (the same rude ops that the tests know)

from gradaudit.engine.events import CaseFinished, Event  # noqa: E402
from gradaudit.engine.run import run_specs  # noqa: E402
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


def indented(text: str, by: str = "    ") -> str:
    return "".join(f"{by}{line}\n" for line in text.splitlines())


def rude_modules() -> Iterator[tuple[str, str, str]]:
    """Yield kind, module name and source of ops that are rude in each of several places."""
    forward = "def forward(x):\n    return x * 2\n"
    backward = "def backward(u, x):\n    return u * 2\n"
    for name, text in RUDE.items():
        yield "in forward", name, f"def forward(x):\n{indented(text)}    return x * 2\n\n{backward}"
        yield "in backward", name, f"{forward}\ndef backward(u, x):\n{indented(text)}    return u * 2\n"
        yield "on import", name, f"{text}\n\n{forward}\n{backward}"
        thread = f"import threading\ndef rude():\n{indented(text)}\n"
        yield (
            "in a thread",
            name,
            f"{thread}def forward(x):\n    threading.Thread(target=rude).start()\n    return x * 2\n\n{backward}",
        )


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
            (folder / f"{module}.py").write_text(f"import numpy as np\n{text}")
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
                ends[event.results[0].op] = str(event.results[0].verdict)

        run_specs(load_specs([folder]), emit, jobs=jobs, timeout=3)
    honest = {op: verdict for op, verdict in ends.items() if op.startswith(("right.", "wrong."))}
    changed = [op for op, verdict in honest.items() if verdict != ("pass" if op.startswith("right.") else "fail")]
    return kinds, len(honest), len(changed), Counter(v for op, v in ends.items() if op not in honest)


def _told(ends: Counter[str]) -> str:
    return ", ".join(f"{count:,} {end}" for end, count in sorted(ends.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--workers", type=int, default=20, help="workers of a cluster to kill")
    parser.add_argument("--rounds", type=int, default=2, help="runs of each kind, for what isolation costs")
    parser.add_argument("--costs", type=Path, help="a JSON report of a run, for the simulation of many machines")
    asked = parser.parse_args()
    rows = list(measured(asked))
    text = "# Reliability\n\nMade by `tests/benchmarks/reliability.py`.\n\n"
    text += "| what | how many | what came of it |\n|---|---|---|\n"
    text += "".join(f"| {what} | {count:,} | {said} |\n" for what, count, said in rows)
    if asked.costs:
        text += f"\n## Many machines, simulated\n\n{page(asked.costs, 100_000)}"
    (ROOT / "reports" / "reliability.md").write_text(text)
    print(text)


def measured(asked: argparse.Namespace) -> Iterator[tuple[str, int, str]]:
    """Yield what was done, how often, and what came of it."""
    yield "specs damaged at random and loaded", asked.specs, _told(fuzzed(asked.specs))
    for jobs in (1, 2):
        kinds, honest, changed, rude = beside_honest_ones(jobs)
        said = f"{changed} of {honest:,} verdicts of honest ops changed; the rude ones: {_told(rude)}"
        yield f"kinds of rude ops beside honest ones, `-j {jobs}`", kinds, said
    behaviours, ends = misbehaving_children()
    yield "behaviours of child processes, each beside an honest op", behaviours, _told(ends)
    made = killed(asked.kills)
    said = f"{_told(made.ends)}; what went wrong: {_told(+made.wrong) or 'nothing'}"
    yield "kills of a run, a worker or a template at random moments, and `--resume`", asked.kills, said
    count, cases, lost = lost_workers(asked.workers)
    said = f"{lost} of {cases} cases lost, or ended otherwise than on one machine"
    yield "workers of a Dask cluster killed in the middle of a run", count, said
    without, isolated = costs(asked.rounds, ["specs/"])
    said = f"{without:.1f} s in one process, {isolated:.1f} s in a process for each op: {isolated / without - 1:+.0%}"
    yield "runs of the shipped specs, for the CPU time that isolation costs", 2 * asked.rounds, said


if __name__ == "__main__":
    main()
