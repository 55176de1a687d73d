"""Explores backwards that are wrong in one corner, their right twins and the shipped ops, and prints what is found.

    python tests/benchmarks/exploration.py [--for 30s] [--twins 5s] [--shipped 10s] [--also FILE:OP,OP] [--only WORD]

Each is explored by the command of the same name. Seconds are those of the clock, shrinking included.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parent))

from corner_faults import FAULTS, Fault
from relation_faults import RELATION_FAULTS

ROOT = Path(__file__).parents[2]
EXPLORED = re.compile(r"^(\S+): ([\d,]+) cases? in ([\d.]+) s, ([\d,]+) refused", re.MULTILINE)

LONGEST = 3600
"""Seconds that a command may take."""


@dataclass(frozen=True)
class Explored:
    """What exploring an op came to.

    Attributes:
        op: its name.
        cases: how many were audited, shrinking included.
        refused: how many of them forward did not take.
        seconds: how long that took.
        found: the specs that were written, smallest first.

    """

    op: str
    cases: int
    refused: int
    seconds: float
    found: tuple[dict[str, Any], ...]


def gradaudit(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gradaudit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)


def explored(specs: Path, ops: Sequence[str], *options: str) -> list[Explored]:
    """Explore ops of some specs in a folder that has seen no failure yet."""
    with tempfile.TemporaryDirectory() as folder:
        write = Path(folder, "found")
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "gradaudit",
                "explore",
                *ops,
                "--specs",
                str(specs),
                "--write",
                str(write),
                *options,
            ],
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
            cwd=folder,
        )
        if ran.returncode not in (0, 1):
            raise SystemExit(f"{specs}: {ran.stdout}{ran.stderr}")
        written = [yaml.safe_load(file.read_text()) for file in sorted(write.glob("*.yaml"))]
    found = EXPLORED.findall(ran.stdout)
    return [
        Explored(
            op,
            _number(cases),
            _number(refused),
            float(seconds),
            tuple(sorted((made for made in written if made["op"].rpartition(".")[0] == op), key=elements)),
        )
        for op, cases, seconds, refused in found
    ]


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def elements(spec: dict[str, Any]) -> int:
    """Return how many elements the inputs of a found spec have together."""
    return sum(prod(shape(made)) for made in spec["inputs"].values())


def shape(made: dict[str, Any]) -> tuple[int, ...]:
    return tuple(made["shape"]) if "shape" in made else np.shape(made["values"])


def in_short(spec: dict[str, Any]) -> str:
    """Say what a found spec is in one line."""
    parts = []
    for name, made in spec["inputs"].items():
        rest = ", ".join(f"{key} {made[key]}" for key in ("range", "layout", "dtype") if key in made)
        values = str(made["values"]) if "values" in made and prod(shape(made)) <= 8 else str(list(shape(made)))
        parts.append(f"{name} {values}" + (f" ({rest})" if rest else ""))
    parts += [f"upstream {spec['upstream']}"] if "upstream" in spec else []
    parts += [f"{key} {value}" for key, value in (spec.get("params") or {}).items()]
    return "; ".join(parts)


def corners(faults: Sequence[Fault], options: Sequence[str], folder: Path) -> Iterator[str]:
    """Yield the table of the wrong backwards."""
    yield "| wrong at | its spec | found as | cases | s | shrunk to | elements | smallest | kinds alike |"
    yield "|---|---|---|---:|---:|---|---:|---:|---|"
    for fault in faults:
        file = folder / f"{fault.name}.yaml"
        file.write_text(fault.text(wrong=True))
        alone = "passes" if gradaudit("run", str(file), "--no-store", "-q").returncode == 0 else "fails"
        (made,) = explored(file, [], *options)
        print(f"{fault.name}: {[spec['op'] for spec in made.found]} {made.seconds:.1f} s", flush=True)
        seen = ", ".join(fault.seen)
        if not made.found:
            row = [
                fault.corner,
                alone,
                "**not found**",
                f"{made.cases:,}",
                f"{made.seconds:.1f}",
                "",
                "",
                f"{fault.smallest}",
            ]
            yield f"| {' | '.join(row)} | {seen} |"
            continue
        best = made.found[0]
        kind = best["op"].rpartition(".")[2]
        row = [fault.corner, alone, kind, f"{made.cases:,}", f"{made.seconds:.1f}", f"`{in_short(best)}`"]
        yield f"| {' | '.join(row)} | {elements(best)} | {fault.smallest} | {seen} |"


def others(also: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    """Yield the table of ops of other files, given as ``FILE:OP,OP``."""
    yield "| op | found as | cases | s | shrunk to | elements |"
    yield "|---|---|---:|---:|---|---:|"
    for each in also:
        file, _, names = each.rpartition(":")
        for name in names.split(","):
            for made in explored(Path(file).resolve(), [name], *options):
                print(f"{made.op}: {[spec['op'] for spec in made.found]} {made.seconds:.1f} s", flush=True)
                best = made.found[0] if made.found else None
                what = best["op"].rpartition(".")[2] if best else "**not found**"
                said, size = (f"`{in_short(best)}`", elements(best)) if best else ("", "")
                yield f"| {made.op} | {what} | {made.cases:,} | {made.seconds:.1f} | {said} | {size} |"


def alarms(specs: Path, *options: str) -> tuple[int, int, int, list[str]]:
    """Return how many right ops were explored, in how many cases, how many were refused, and what was accused."""
    made = explored(specs, [], *options)
    accused = [f"`{found['op']}`: {in_short(found)}" for each in made for found in each.found]
    for line in accused:
        print(line, flush=True)
    return len(made), sum(each.cases for each in made), sum(each.refused for each in made), accused


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--for", dest="time", default="30s")
    parser.add_argument("--twins", default="5s", help="time for each right twin; none for an empty text")
    parser.add_argument("--shipped", default="10s", help="the same for each shipped op")
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    faults = [fault for fault in (*FAULTS.values(), *RELATION_FAULTS.values()) if asked.only in fault.name]
    with tempfile.TemporaryDirectory() as folder:
        wrong, right = Path(folder, "wrong"), Path(folder, "right")
        wrong.mkdir()
        right.mkdir()
        for fault in faults:
            (right / f"{fault.right.__name__}.yaml").write_text(fault.text(wrong=False))
        table = list(corners(faults, ("--for", asked.time), wrong))
        more = list(others(asked.also, ("--for", asked.time))) if asked.also else []
        twins = alarms(right, "--for", asked.twins) if asked.twins else None
        shipped = alarms(ROOT / "specs", "--for", asked.shipped) if asked.shipped else None
    print("\n".join([*table, "", *more, ""]))
    for what, counts in (("right twins", twins), ("shipped ops", shipped)):
        if counts is not None:
            print("{0:,} {4}: {1:,} cases, {2:,} not taken by forward, accused: {3}".format(*counts, what))


if __name__ == "__main__":
    main()
