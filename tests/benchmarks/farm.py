"""100,000 cases on many machines, simulated from what cases took: shards by cost, and Dask in batches.

    gradaudit run specs/ --json costs.json && python tests/benchmarks/farm.py costs.json

Cases are drawn from those of the report, op by op, as many as are asked for. Every worker begins after ``START``
seconds; one process takes ``PROCESS`` seconds to start and to import an op's modules; a master takes ``DISPATCH``
seconds for each message that it exchanges with a worker, one after the other. Efficiency is the seconds that cases
take over those that workers were held.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from gradaudit.engine.pool import TASKS_OF_A_PROCESS
from gradaudit.engine.shards import shares

START = 1.5
PROCESS = 0.012
DISPATCH = 0.0007

Batch = list[float]


def drawn(report: Path, cases: int) -> list[Batch]:
    """Return batches of the seconds of cases, those of a batch being of one op."""
    ops: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for result in json.loads(report.read_text())["results"]:
        ops[result["op"]][f"{result['case']}[{result['dtype']}]"] += result["seconds"]
    rng, batches, count = random.Random(0), [], 0
    while count < cases:
        own = list(rng.choice(list(ops.values())).values())
        batches += [own[k : k + TASKS_OF_A_PROCESS] for k in range(0, len(own), TASKS_OF_A_PROCESS)]
        count += len(own)
    return batches


def sharded(batches: Sequence[Batch], workers: int) -> float:
    """Return when the last of as many shards as there are workers ends; a batch stays together."""
    costs = [PROCESS + sum(batch) for batch in batches]
    loads = [START] * workers
    for cost, share in zip(costs, shares(costs, workers), strict=True):
        loads[share] += cost
    return max(loads)


def dispatched(batches: Sequence[Batch], workers: int) -> float:
    """Return when the last worker ends where one master hands out batches, the longest first."""
    free = [START] * workers
    heapq.heapify(free)
    master = 0.0
    for batch in sorted(batches, key=lambda batch: -sum(batch)):
        master = max(master, heapq.heappop(free)) + DISPATCH
        heapq.heappush(free, master + PROCESS + sum(batch))
    return max(free)


def page(report: Path, cases: int) -> str:
    """Return what the simulation shows, as Markdown."""
    batches = drawn(report, cases)
    single = [[cost] for batch in batches for cost in batch]
    work = sum(map(sum, batches))
    text = f"{len(single):,} cases, {work:,.0f} s of work, the longest batch {max(map(sum, batches)):.1f} s. "
    text += f"A process takes {PROCESS * 1e3:.0f} ms to start, a message {DISPATCH * 1e3:.1f} ms.\n\n"
    text += "| workers | shards by cost | Dask, batch by batch | case by case from one master |\n|---|---|---|---|\n"
    for workers in (128, 1_000):
        ends = [sharded(batches, workers), dispatched(batches, workers), dispatched(single, workers)]
        text += f"| {workers:,} | " + " | ".join(f"{end:.0f} s, {work / end / workers:.0%}" for end in ends) + " |\n"
    return text + (
        "\nThe last column is limited by the master's messages, the one before it by the same, one for each batch. "
        f"Shards need no master; they are limited by the {START} s that a worker takes to begin.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--cases", type=int, default=100_000)
    asked = parser.parse_args()
    print(page(asked.report, asked.cases))


if __name__ == "__main__":
    main()
