"""What it costs to audit each op in a process of its own: CPU seconds of a run with and without.

    python tests/benchmarks/isolation_cost.py [--rounds 3] [PATHS...]

Without is ``-j 0``, where everything happens in one process; with is ``-j 1``. The seconds are those of all processes
of a run, in user code and in the kernel, the template's included: as the reaper of orphans this process waits for each.
Runs take turns, and the least of each kind counts: what else the machine does only adds.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36

ROOT = Path(__file__).parents[2]


def cpu_seconds(jobs: int, paths: list[str]) -> float:
    """Return the CPU seconds of a run and of every process that it starts."""
    before = _of_children()
    command = [sys.executable, "-m", "gradaudit", "run", "--quiet", "--no-store", "-j", str(jobs), *paths]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    with suppress(ChildProcessError):
        while True:
            os.wait()
    return _of_children() - before


def _of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def costs(rounds: int, paths: list[str]) -> tuple[float, float]:
    """Return the least CPU seconds that a run took without isolation, and with it."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    taken = [(cpu_seconds(0, paths), cpu_seconds(1, paths)) for _ in range(rounds)]
    return min(without for without, _ in taken), min(with_ for _, with_ in taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("paths", nargs="*", default=["specs/"])
    asked = parser.parse_args()
    without, isolated = costs(asked.rounds, asked.paths)
    print(f"{without:.1f} s without, {isolated:.1f} s with: {isolated / without - 1:+.0%}")


if __name__ == "__main__":
    main()
