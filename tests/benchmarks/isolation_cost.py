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
    """Return the CPU seconds of a run and of every process that it starts; paths may be options as well."""
    command = [sys.executable, __file__, "--once", str(jobs), "--", *paths]
    return float(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def run_once(jobs: int, paths: list[str]) -> float:
    """Return the same, where this process has no other children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    command = [sys.executable, "-m", "gradaudit", "run", "--quiet", "--no-store", "-j", str(jobs), *paths]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    with suppress(ChildProcessError):
        while True:
            os.wait()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def costs(rounds: int, paths: list[str]) -> tuple[float, float]:
    """Return the least CPU seconds that a run took without isolation, and with it."""
    taken = [(cpu_seconds(0, paths), cpu_seconds(1, paths)) for _ in range(rounds)]
    return min(without for without, _ in taken), min(isolated for _, isolated in taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", type=int, metavar="JOBS", help="one run, and its seconds alone")
    parser.add_argument("paths", nargs="*", default=["specs/"])
    asked = parser.parse_args()
    if asked.once is not None:
        print(run_once(asked.once, asked.paths))
        return
    without, isolated = costs(asked.rounds, asked.paths)
    print(f"{without:.1f} s without, {isolated:.1f} s with: {isolated / without - 1:+.0%}")


if __name__ == "__main__":
    main()
