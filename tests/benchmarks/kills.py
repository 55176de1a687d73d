"""Kills at random moments: of a run, its workers and its templates, by all four signals, and what is lost by them.

A run that is killed is resumed, and killed again, until it comes to its end; after each kill

- no process of the run is alive two seconds later,
- the store is sound, holds all that it held before, and the report is whole or not there,
- the report of a run that was asked to end holds what the store does, or the run says that it wrote none,
- no other file is left behind;

what was recorded is not audited again, and the run's last report is that of a run that nobody disturbed, but for times.
A run of which only a worker or a template is killed goes on by itself and reports all of it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import yaml

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

ENDED = "runs that came to their end"

NO_REPORT = "runs that ended before any report"

NEVER_BEGAN = "runs that ended while Python started"

INTERRUPTED = 130
"""The exit status of a run that was asked to end."""

SAYS_NO_REPORT = b"Interrupted before"
"""How such a run begins to say that it leaves reports as they were."""

EMPTY = b'{"results": []}'

OPS = 24

JOBS = 2

SECONDS_OF_AN_OP = 0.05
"""How long after an op is first called its worker is killed, at most."""

SECONDS_LEFT = 2.0
"""How long a process of a run that was killed may live on."""

MARK = "GRADAUDIT_KILLED"
"""A variable in the environment of all processes of a run, by which they are found."""

SLOW = """
import os, time

def square(x, name):
    with open(f"calls/{name}", "a") as file:
        file.write(f"{os.environ['GRADAUDIT_KILLED']} {os.getpid()}\\n")
    time.sleep(0.002)
    return x * x

def right(u, x):
    return 2 * x * u

def wrong(u, x):
    gradient = 2 * x * u
    gradient.flat[2] *= 1.5
    return gradient
"""

COMMAND = [sys.executable, "-m", "gradaudit", "run", "specs.yaml", "-q", "-j", str(JOBS)]

WHOLE_RESULTS = (
    "SELECT op, content FROM documents JOIN results ON results.id = result JOIN subjects ON subjects.id = subject"
)

Recorded = dict[str, bytes]
"""What a store holds whole, by op."""


def written(folder: Path, ops: int) -> None:
    """Write a project of ops that take their time and note the run that calls them."""
    (folder / "calls").mkdir()
    (folder / "slow.py").write_text(SLOW)
    (folder / "specs.yaml").write_text(
        yaml.safe_dump_all(
            {
                "op": f"op_{k}",
                "target": {"forward": "slow:square", "backward": f"slow:{'wrong' if k % 3 == 2 else 'right'}"},
                "inputs": {"x": {"shape": [4], "range": [0.5, 1.5]}},
                "params": {"name": f"op_{k}"},
            }
            for k in range(ops)
        )
    )


class Killed:
    """A project whose runs are killed.

    Attributes:
        ends: how many kills there were, of what, by which signal; and what went wrong, which nothing should.

    """

    def __init__(self, folder: Path, seed: int, patience: float = SECONDS_LEFT, ops: int = OPS) -> None:
        written(folder, ops)
        self._ops = ops
        self.ends: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self._folder = folder
        self._random = random.Random(seed)
        self._runs = 0
        self._patience = patience
        began = time.perf_counter()
        self._run("--no-store", "--json", "whole.json").wait()
        self._usual = time.perf_counter() - began
        self._whole = timeless(folder / "whole.json")

    def kill(self, count: int) -> None:
        """Kill so many processes, in as many runs as that takes, and let the last run end."""
        while count > 0 or self._recorded():
            before, report = self._recorded(), self._report()
            process = self._run("--store", "s.db", "--resume", "--json", "out.json")
            victim = self._kill(process, len(before)) if count > 0 else ""
            process.wait()
            count -= bool(victim)
            self._look(before)
            if process.returncode == INTERRUPTED:
                self._interrupted(report)
            if self._never_began():
                self.ends[NEVER_BEGAN] += 1
            elif process.returncode == 1:
                self._ended()
            elif victim != "the run":
                self.wrong[f"{victim or 'nothing'} killed ended the run with {process.returncode}"] += 1

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        self._runs += 1
        with open(self._folder / "said", "wb") as said:
            return subprocess.Popen(
                [*COMMAND, *arguments],
                env=os.environ | {MARK: self._mark},
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd=self._folder,
            )

    @property
    def _mark(self) -> str:
        return f"{self._folder.name}-{self._runs}"

    def _kill(self, process: subprocess.Popen[bytes], recorded: int) -> str:
        """Kill the run or a process of it at a random moment; return which, empty where it had ended by then."""
        what = self._random.choice(("the run", "a template", "a worker"))
        ops = 1 + self._random.randrange(self._ops - recorded) if what == "a worker" and recorded < self._ops else 0
        seconds = self._random.uniform(0.0, SECONDS_OF_AN_OP) if ops else self._random.uniform(0.1, 1.0) * self._usual
        while process.poll() is None and len(self._workers()) < ops:
            time.sleep(0.005)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return ""
        living = marked(self._mark)
        victims = {
            "the run": [process.pid],
            "a template": [found for found in living if is_template(found, process.pid)],
            "a worker": [found for found in self._workers()[-JOBS:] if found in living],
        }
        number = self._random.choice(SIGNALS)
        with suppress(OSError, IndexError):
            os.kill(self._random.choice(victims[what]), number)
            self.ends[f"{what}, {number.name}"] += 1
            return what
        return ""

    def _workers(self) -> list[int]:
        """Return the workers of this run, in the order of their first ops; those at work are the last ones."""
        calls = [path for path in (self._folder / "calls").iterdir() if self._mark in path.read_text().split()]
        return [int(path.read_text().split()[-1]) for path in sorted(calls, key=lambda path: path.stat().st_ctime_ns)]

    def _look(self, before: Recorded) -> None:
        end = time.monotonic() + self._patience
        while (left := marked(self._mark)) and time.monotonic() < end:
            time.sleep(0.02)
        now = self._recorded()
        self.wrong["processes that live on"] += len(left)
        self.wrong["recorded results that are lost or changed"] += len(before.items() - now.items())
        files = {path.name for path in self._folder.iterdir()}
        known = {
            "calls",
            "slow.py",
            "specs.yaml",
            "whole.json",
            "out.json",
            "said",
            "s.db",
            "s.db-wal",
            "s.db-shm",
            "__pycache__",
        }
        self.wrong["files left behind"] += len(files - known)
        self.wrong["tracebacks"] += b"Traceback" in (self._folder / "said").read_bytes() and not self._never_began()
        if "out.json" in files:
            with suppress(ValueError):
                timeless(self._folder / "out.json")
                self.wrong["reports cut off"] -= 1
            self.wrong["reports cut off"] += 1
        again = {op for op in before if self._mark in (self._folder / "calls" / op).read_text().split()}
        self.wrong["recorded cases audited again"] += len(again)

    def _never_began(self) -> bool:
        """Whether Python was interrupted as it started, before anything of the program was called."""
        said = (self._folder / "said").read_bytes()
        return said.endswith(b"KeyboardInterrupt\n") and b", in main\n" not in said

    def _interrupted(self, before: bytes) -> None:
        """See that a run that was asked to end has replaced the report, or says that it has not."""
        if (self._folder / "said").read_bytes().startswith(SAYS_NO_REPORT):
            self.ends[NO_REPORT] += 1
            self.wrong["reports that are said not to be there"] += self._report() != before
        else:
            reported = {result["op"] for result in json.loads(self._report() or EMPTY)["results"]}
            self.wrong["reports of less than is recorded"] += reported != self._recorded().keys()

    def _report(self) -> bytes:
        path = self._folder / "out.json"
        return path.read_bytes() if path.exists() else b""

    def _recorded(self) -> Recorded:
        path = self._folder / "s.db"
        if not path.exists():
            return {}
        with closing(sqlite3.connect(path)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                self.wrong["damaged stores"] += 1
            with suppress(sqlite3.OperationalError):  # killed before it had tables
                return dict(connection.execute(WHOLE_RESULTS).fetchall())
        return {}

    def _ended(self) -> None:
        """Compare the report of a run that came to its end with that of one that nobody disturbed; begin anew."""
        self.ends[ENDED] += 1
        self.wrong["other results"] += timeless(self._folder / "out.json") != self._whole
        for path in (*self._folder.glob("s.db*"), *(self._folder / "calls").iterdir()):
            path.unlink()
        (self._folder / "out.json").unlink()


def timeless(path: Path) -> dict[str, Any]:
    """Return a JSON report without times."""
    made: dict[str, Any] = json.loads(path.read_text())
    made["summary"]["seconds"] = 0
    for result in made["results"]:
        result["seconds"] = 0
    return made


def marked(mark: str) -> list[int]:
    """Return the living processes with a mark in the environment that they began with."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def is_template(process: int, run: int) -> bool:
    """Whether a process of a run is a template: it is in another folder, where a worker is in that of the run."""
    with suppress(OSError):
        return len({os.readlink(f"/proc/{number}/cwd") for number in (process, run)}) == 2
    return False


def killed(
    count: int, *, seed: int = 0, patience: float = SECONDS_LEFT, projects: int = 1, ops: int = OPS
) -> tuple[Counter[str], Counter[str]]:
    """Kill so many processes of runs, of several projects side by side.

    Returns:
        How many kills there were, of what, by which signal; and what went wrong, which nothing should.

    """

    def one(number: int) -> Killed:
        with tempfile.TemporaryDirectory() as folder:
            project = Killed(Path(folder), seed + number, patience, ops)
            project.kill(count // projects + (number < count % projects))
            return project

    with ThreadPoolExecutor(projects) as pool:
        made = list(pool.map(one, range(projects)))
    return sum((each.ends for each in made), Counter()), sum((each.wrong for each in made), Counter())


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    ends, wrong = killed(count)
    print(json.dumps({"kills": ends, "wrong": wrong}, indent=1))


if __name__ == "__main__":
    main()
