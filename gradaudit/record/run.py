"""Running a command under watch, and drafting what was seen."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from gradaudit.drafts.plan import SECONDS, names_of
from gradaudit.engine.executor import Executor, InProcess, Lost, Task
from gradaudit.engine.pool import workers
from gradaudit.engine.run import cores
from gradaudit.record.calls import Recording
from gradaudit.record.drafting import Drafted, draft_recorded


class NotRecordedError(Exception):
    """A command cannot be recorded; says why."""


@dataclass(frozen=True)
class Ran:
    """A command that ran under watch: its exit status, and what was seen."""

    status: int
    recording: Recording


VALUED = ("-W", "-X", "--check-hash-based-pycs")
"""Options of Python that are followed by a value."""


def watched_command(words: Sequence[str], output: Path) -> list[str]:
    """Return the command that runs a script of a command under watch.

    Args:
        words: ``python [options] script.py ...``, ``python -m module ...``, ``script.py ...`` or the name of a
            program that is written in Python.
        output: where the recording goes.

    Raises:
        NotRecordedError: where it runs no Python script.

    """
    first, *rest = words
    under = ["-m", "gradaudit.record", str(output)]
    if not Path(first).name.startswith("python"):
        return [sys.executable, *under, _script(first), *rest]
    interpreter = shutil.which(first) or sys.executable
    options: list[str] = []
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        if rest[0] in ("-c", "-"):
            raise NotRecordedError("what is given to Python as text has no file to which a spec could lead")
        options += rest[: 2 if rest[0] in VALUED else 1]
        rest = rest[len(rest[: 2 if rest[0] in VALUED else 1]) :]
    if not rest or rest == ["-m"]:
        raise NotRecordedError(f"'{' '.join(words)}' names no script: gradaudit record -- python train.py")
    if rest[0] != "-m" and not Path(rest[0]).exists():
        raise NotRecordedError(f"there is no script '{rest[0]}'")
    return [interpreter, *options, *under, *rest]


def _script(name: str) -> str:
    path = name if Path(name).is_file() else shutil.which(name)
    if path is None:
        raise NotRecordedError(f"there is no script and no program '{name}'")
    with Path(path).open("rb") as file:
        begins = file.readline()
    if not path.endswith(".py") and not (begins.startswith(b"#!") and b"python" in begins):
        raise NotRecordedError(f"'{name}' is not written in Python: its calls cannot be watched")
    return path


def run_watched(words: Sequence[str]) -> Ran:
    """Run a command under watch; its output goes where it always does, and Ctrl-C ends it alone.

    Raises:
        NotRecordedError: where it cannot be run, or leaves no recording behind.

    """
    with tempfile.TemporaryDirectory(prefix="gradaudit-recording-") as folder:
        output = Path(folder) / "recording"
        command = watched_command(words, output)
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            child = subprocess.Popen(command, preexec_fn=_interruptible if os.name == "posix" else None)
            status = child.wait()
        except OSError as error:
            raise NotRecordedError(f"{command[0]} cannot be run: {error.strerror or error}") from None
        finally:
            signal.signal(signal.SIGINT, before)
        if not output.exists():
            needed = f"is gradaudit installed for {command[0]}?"
            raise NotRecordedError(f"the script left nothing behind (exit status {status}): {needed}")
        return Ran(status, Recording.load(output))


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def drafts_of(
    recording: Recording, *, jobs: int | None = None, progress: Callable[[int, int], None] = lambda done, of: None
) -> list[Drafted]:
    """Draft everything that was seen, each in a process of its own.

    Args:
        recording: what was seen.
        jobs: worker processes; None for one for each core, 0 for none.
        progress: called with how many passes are drafted, and of how many.

    """
    home = Path.cwd()
    seen = sorted(recording.passes, key=lambda one: (str(one.found.file), one.found.line))
    names = names_of([one.found for one in seen])
    tasks = [(one, one.found.file.resolve(), home, op) for one, op in zip(seen, names, strict=True)]
    count = min(cores() if jobs is None else jobs, max(1, len(tasks)))
    place: AbstractContextManager[Executor] = workers(count, SECONDS) if count else nullcontext(InProcess())
    drafts: dict[int, Drafted] = {}
    with place as pool:
        for k, outcome in pool.map(draft_recorded, [Task(task) for task in tasks]):
            one = tasks[k][0].found
            if isinstance(outcome, Lost):
                outcome = Drafted(one.place, one.name, one.file, (), outcome.cause)
            drafts[k] = outcome
            progress(len(drafts), len(tasks))
    return [drafts[k] for k in sorted(drafts)]
