"""100,000 cases on many machines, simulated from what cases took: shards by cost, and Dask in batches.

    python tests/benchmarks/farm.py specs/

Cases are drawn from those of the specs, op by op, as many as are asked for. What a worker takes to begin, a process to
start and to import an op's modules, and a master for each batch that it hands out and hears of, one after the other, is
measured first; then what the cases take. All of it in CPU seconds: what else the machine does makes a run longer, and
not its work. Efficiency is the seconds that cases take over those that workers were held.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from isolation_cost import cpu_seconds

from gradaudit.engine.batches import TASKS_OF_A_PROCESS
from gradaudit.engine.dask import LOCAL, dask_executor
from gradaudit.engine.shards import shares

Batch = list[float]

OPS = 96
"""Ops, or cases of one op, of the runs by which overheads are measured."""


WORKERS = (128, 1_000)

ROUNDS = 3
"""How often each of these runs is made, in turns."""


@dataclass(frozen=True)
class Overheads:
    """CPU seconds: of a worker to begin, of a process to start, of a master for a batch."""

    start: float
    process: float
    dispatch: float


def measured() -> Overheads:
    """Measure runs of one op, of many ops and of one op with as many cases; and batches of Dask that do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "squares.py").write_text(SQUARES)
        kinds = (_ops(1), _ops(OPS), _ops(1, cases=OPS))
        rounds = [[run_of(Path(folder), documents) for documents in kinds] for _ in range(ROUNDS)]
    start, many, one = (min(taken) for taken in zip(*rounds, strict=True))  # what else the machine does only adds
    processes = OPS - math.ceil(OPS / TASKS_OF_A_PROCESS)
    return Overheads(start, (many - one) / processes, _dispatch())


SQUARES = "def forward(x):\n    return x * x\n\ndef backward(u, x):\n    return 2 * x * u\n"


def _ops(count: int, cases: int = 1) -> list[dict[str, Any]]:
    target = {"forward": "squares:forward", "backward": "squares:backward"}
    named = [{"name": f"case_{k}"} for k in range(cases)]
    inputs = {"x": {"shape": [3], "range": [0.5, 1.5]}}
    return [{"op": f"op_{k}", "target": target, "inputs": inputs, "cases": named} for k in range(count)]


def run_of(folder: Path, documents: list[dict[str, Any]]) -> float:
    (folder / "specs.yaml").write_text(yaml.safe_dump_all(documents))
    return cpu_seconds(1, [str(folder / "specs.yaml")])


def _dispatch(batches: int = 1_000) -> float:
    """Return the CPU seconds of this process, which holds client and scheduler, for a batch that does nothing."""
    with dask_executor(LOCAL, 60.0, jobs=1) as executor:
        client = executor.client
        client.submit(len, b"", pure=False).result()
        taken = []
        for _ in range(ROUNDS):
            began = time.process_time()
            client.gather([client.submit(len, b"x" * 1_800, pure=False) for _ in range(batches)])
            taken.append(time.process_time() - began)
        return min(taken) / batches


def recorded(paths: list[str], overheads: Overheads) -> list[Batch]:
    """Audit specs; return what the cases of each op take: their share of the time, in CPU seconds of the run."""
    ops: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "costs.json"
        whole = cpu_seconds(1, [*paths, "--json", str(report)])
        for result in json.loads(report.read_text())["results"]:
            ops[result["op"]][f"{result['case']}[{result['dtype']}]"] += result["seconds"]
    took = [list(cases.values()) for cases in ops.values()]
    work = whole - overheads.start - overheads.process * len(list(in_batches(took)))
    share = work / sum(map(sum, took))
    return [[share * seconds for seconds in own] for own in took]


def in_batches(ops: Iterable[Batch]) -> Iterator[Batch]:
    """Yield the cases of each op in batches."""
    for own in ops:
        yield from (own[k : k + TASKS_OF_A_PROCESS] for k in range(0, len(own), TASKS_OF_A_PROCESS))


def drawn(ops: Sequence[Batch], cases: int) -> list[Batch]:
    """Return batches of the seconds of so many cases, those of a batch being of one op."""
    rng, chosen, count = random.Random(0), [], 0
    while count < cases:
        chosen.append(rng.choice(ops))
        count += len(chosen[-1])
    return list(in_batches(chosen))


def sharded(batches: Sequence[Batch], workers: int, overheads: Overheads) -> float:
    """Return when the last of as many shards as there are workers ends; a batch stays together."""
    costs = [overheads.process + sum(batch) for batch in batches]
    loads = [overheads.start] * workers
    for cost, share in zip(costs, shares(costs, workers), strict=True):
        loads[share] += cost
    return max(loads)


def dispatched(batches: Sequence[Batch], workers: int, overheads: Overheads) -> float:
    """Return when the last worker ends where one master hands out batches, the longest first."""
    free = [overheads.start] * workers
    heapq.heapify(free)
    master = 0.0
    for batch in sorted(batches, key=lambda batch: -sum(batch)):
        master = max(master, heapq.heappop(free)) + overheads.dispatch
        heapq.heappush(free, master + overheads.process + sum(batch))
    return max(free)


def page(paths: list[str], cases: int) -> str:
    """Return what the simulation shows, as Markdown."""
    overheads = measured()
    batches = drawn(recorded(paths, overheads), cases)
    single = [[cost] for batch in batches for cost in batch]
    work, longest = sum(map(sum, batches)), max(map(sum, batches))
    text = (
        f"{len(single):,} cases in {len(batches):,} batches, {work:,.0f} s of work, the longest batch {longest:.1f} s. "
        f"Measured in CPU time: a worker takes {overheads.start:.1f} s to begin, a process for a batch "
        f"{overheads.process * 1e3:.0f} ms to start, a master {overheads.dispatch * 1e3:.1f} ms for a batch.\n\n"
        "| workers | shards by cost | Dask, batch by batch | case by case from one master |\n|---|---|---|---|\n"
    )
    for workers in WORKERS:
        ends = [
            sharded(batches, workers, overheads),
            dispatched(batches, workers, overheads),
            dispatched(single, workers, overheads),
        ]
        text += f"| {workers:,} | " + " | ".join(f"{end:.0f} s, {work / end / workers:.0%}" for end in ends) + " |\n"
    text += "\nNo run is shorter than any of these:\n\n| workers | work | processes | beginning | the longest batch |"
    text += " master, batches | master, cases |\n|---|---|---|---|---|---|---|\n"
    for workers in WORKERS:
        parts = (work, overheads.process * len(batches))
        shared = " | ".join(f"{part / workers:.1f} s" for part in parts)
        handed = " | ".join(f"{overheads.dispatch * len(each):.0f} s" for each in (batches, single))
        text += f"| {workers:,} | {shared} | {overheads.start:.1f} s | {longest:.1f} s | {handed} |\n"
    return text + (
        "\nThe first three add up for each worker: shards take that, or beginning and the longest batch. One master is "
        "the limit where its column is the largest: it is one process, and more workers do not make it faster. Of "
        "cases one by one there are more than of batches, and each has a process to start.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--cases", type=int, default=100_000)
    asked = parser.parse_args()
    print(page(asked.paths, asked.cases))


if __name__ == "__main__":
    main()
