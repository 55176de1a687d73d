"""CPU seconds of commands, with those of every process that they start: what else the machine does only adds to them.

Commands that are compared are run in turns, and the least of each counts.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
"""What makes a process the parent of its descendants' orphans; see prctl(2)."""


@dataclass(frozen=True)
class Row:
    """A row of ``reports/speed.md``: a figure beside its limit, and what it is measured beside.

    Attributes:
        what: what was measured, with its unit.
        limit: what it should be at most.
        beside: the floor or the best peer, in words with its own figure.
        ours: the figure.
        ratio: ours over what it is measured beside.

    """

    what: str
    limit: str
    beside: str
    ours: float
    ratio: float


def table(rows: Sequence[Row]) -> list[str]:
    """Return rows as lines of Markdown."""
    head = ["| what | limit | beside | ours | ratio |", "|---|---:|---|---:|---:|"]
    return [*head, *(f"| {row.what} | {row.limit} | {row.beside} | {row.ours:.3g} | {row.ratio:.2g} |" for row in rows)]


def cpu_of(command: Sequence[str], folder: Path) -> float:
    """Return the CPU seconds of a command that is run in a folder, and of all that it starts.

    Modules that were compiled once stay so, whatever the environment says of it: as those of an installed package.

    Raises:
        RuntimeError: where the command fails.

    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    null = subprocess.DEVNULL
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=folder, stdin=null, stdout=null, stderr=null, env=environment)
    seconds = 0.0
    while True:
        try:
            number, status, usage = os.wait4(-1, 0)
        except ChildProcessError:  # all have ended, orphans too
            break
        seconds += usage.ru_utime + usage.ru_stime
        if number == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return seconds


def in_turns(commands: Mapping[str, Sequence[str]], folder: Path, rounds: int) -> dict[str, float]:
    """Return the least CPU seconds of each command over rounds in which all are run once."""
    taken = [{name: cpu_of(command, folder) for name, command in commands.items()} for _ in range(rounds)]
    return {name: min(one[name] for one in taken) for name in commands}
