"""Running a command under watch, and drafting what was seen."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradaudit.coverage.naming import naming
from gradaudit.drafts.plan import SECONDS, names_of
from gradaudit.engine.executor import Executor, InProcess, Lost, Task
from gradaudit.engine.pool import workers
from gradaudit.engine.run import cores
from gradaudit.record.c_drafting import backwards_among, draft_functions
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
            raise NotRecordedError("code that is given as text (python -c) has no file that a spec could name")
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
            child = subprocess.Popen(command)
            status = child.wait()
        except OSError as error:
            raise NotRecordedError(f"{command[0]} cannot be run: {error.strerror or error}") from None
        finally:
            signal.signal(signal.SIGINT, before)
        if not output.exists():
            needed = f"is gradaudit installed for {command[0]}?"
            raise NotRecordedError(f"the script recorded nothing (exit status {status}): {needed}")
        return Ran(status, Recording.load(output))


def drafts_of(
    recording: Recording, *, jobs: int | None = None, progress: Callable[[int, int], None] = lambda done, of: None
) -> list[Drafted]:
    """Draft everything that was seen, each in a process of its own.

    Args:
        recording: what was seen.
        jobs: worker processes; None for one for each core, 0 for none.
        progress: called with how many passes are drafted, and of how many.

    """
    tasks = [*_passes(recording), *_functions(recording)]
    count = min(cores() if jobs is None else jobs, max(1, len(tasks)))
    place: AbstractContextManager[Executor] = workers(count, SECONDS) if count else nullcontext(InProcess())
    drafts: dict[int, Drafted] = {}
    with place as pool:
        for k, outcome in pool.map(_drafted, [Task((one.draft, one.arguments)) for one in tasks]):
            drafts[k] = replace(tasks[k].bare, said=outcome.cause) if isinstance(outcome, Lost) else outcome
            progress(len(drafts), len(tasks))
    return [drafts[k] for k in sorted(drafts)]


@dataclass(frozen=True)
class _Drafting:
    """Something to be drafted: by which function, of what; and what is told of it where that is lost."""

    draft: Callable[..., Drafted]
    arguments: tuple[Any, ...]
    bare: Drafted


def _drafted(draft: Callable[..., Drafted], arguments: tuple[Any, ...]) -> Drafted:
    return draft(*arguments)


def _passes(recording: Recording) -> Iterator[_Drafting]:
    home = Path.cwd()
    seen = sorted(recording.passes, key=lambda one: (str(one.found.file), one.found.line))
    for one, op in zip(seen, names_of([one.found for one in seen]), strict=True):
        found = one.found
        bare = Drafted(found.place, found.name, found.file, (), "")
        yield _Drafting(draft_recorded, (one, found.file.resolve(), home, op), bare)


def _functions(recording: Recording) -> Iterator[_Drafting]:
    libraries = dict.fromkeys(one.library for one in recording.functions)
    for library in libraries:
        own = [one for one in recording.functions if one.library == library]
        for name in backwards_among(own):
            named = naming(name)
            op = named.op if named else name
            yield _Drafting(draft_functions, (own, name, op), Drafted(library.name, name, library, (), ""))
