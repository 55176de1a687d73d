"""What runs inside a worker process: one task at a time, fenced off from terminal, disk and memory."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError, raised

T = TypeVar("T")

MAX_PRINTED = 64 * 2**20
"""Bytes that one case may print; a kernel limit on the log file, so that no op can fill the disk."""

SHOWN_TAIL = 8_000
"""Bytes at the end of a log that are looked at after a crash."""

SHOWN_LINES = 8
"""Lines of what a case printed that go with its error."""

SHOWN_FRAMES = 4
"""Frames of the op's own that go with a crash, innermost first."""

EXIT_ZERO = 113
"""Exit status of a worker whose op called ``os._exit(0)``: a silent end would look like a worker that still works."""


@dataclass(frozen=True)
class Lost:
    """A task that gave no value: why, in words that follow the task's name, and the seconds it took where known."""

    cause: str
    seconds: float = 0.0


def start_worker(logs: Path, folder: Path, memory: int) -> None:
    """Prepare a worker process.

    Standard output and error go to a log file named by the process, a crash writes its traceback there, and neither
    that file nor the process's memory can grow without bound.

    Args:
        logs: folder for the log.
        folder: the current folder of the process that started this one.
        memory: bytes of data that the process may hold.

    """
    _fence.folder = folder
    _fence.log = os.open(log_of(logs, os.getpid()), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    faulthandler.enable(file=_fence.log, all_threads=False)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a handler in Python would wait for an op that is in C code
    _limit_resources(memory)
    _let_no_exit_be_silent()


def log_of(logs: Path, process: int) -> Path:
    """Return the log file of a worker process."""
    return logs / f"{process}.log"


def call_fenced(function: Callable[..., T], *task: object) -> T | Lost:
    """Return what a task returns, or why it gave nothing; what it prints goes to the log.

    Nothing is raised: an exception of the op's own could not be read by the process that this one works for, and a
    KeyboardInterrupt would be taken for the user's.
    """
    outcome: T | Lost
    try:
        with _own_log():
            os.chdir(_fence.folder)
            outcome = function(*task)
    except BaseException as error:
        outcome = Lost(describe_exception(error))
    if os.fstat(_fence.log).st_size >= MAX_PRINTED:
        return Lost(f"printed more than {MAX_PRINTED // 2**20} MiB; what it printed was cut there")
    return outcome


def import_problems(names: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Import functions and return what is wrong with those that cannot be, by name."""
    problems = {}
    for name in names:
        try:
            import_function(name, folder)
        except OpError as error:
            problems[name] = str(error)
    return problems


def describe_exception(error: BaseException) -> str:
    """Say in words what no check expected, with the last frame of its traceback."""
    return str(raised("", error)).lstrip()


@dataclass
class _Fence:
    """What every task begins with: the current folder, and a log by a descriptor that ops do not know of."""

    folder: Path = Path()
    log: int = -1


_fence = _Fence()


@contextmanager
def _own_log() -> Iterator[None]:
    """Point standard output and error at the empty log, wherever an earlier task may have left them."""
    os.ftruncate(_fence.log, 0)
    for standard in (1, 2):
        os.dup2(_fence.log, standard)
    streams = [open(k, "w", encoding="utf-8", errors="replace", closefd=False) for k in (1, 2)]  # noqa: SIM115
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        for stream in streams:
            with suppress(OSError, ValueError):  # the log is full, or the op has closed the stream
                stream.flush()


def _limit_resources(memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_PRINTED, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    within = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (within, hard))
    adjustment = Path("/proc/self/oom_score_adj")
    if adjustment.exists():  # should the kernel have to choose, it is this process that goes, not the run
        adjustment.write_text("1000")


def _let_no_exit_be_silent() -> None:
    leave: Callable[[int], NoReturn] = os._exit
    worker = os.getpid()

    def _exit(status: int) -> NoReturn:
        with suppress(Exception):  # what the op said last may tell why
            sys.stdout.flush()
            sys.stderr.flush()
        leave(EXIT_ZERO if status == 0 and os.getpid() == worker else status)

    setattr(os, "_exit", _exit)  # noqa: B010 (os._exit is final to type checkers)


def describe_exit(status: int, log: Path) -> str:
    """Say in words how a worker process ended, from its exit status and its log."""
    said = f"ended its process with exit status {0 if status == EXIT_ZERO else status}"
    if status < 0:
        number = -status
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        said = f"crashed its process with {name}"
        if name == "SIGKILL":
            said = "was killed with its process (SIGKILL), most likely because the machine ran out of memory"
    return said + printed_tail(log)


def printed_tail(log: Path) -> str:
    """Return the end of what a worker printed, or where it crashed, on lines of their own; empty for neither."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - SHOWN_TAIL))
            text = file.read().decode("utf-8", errors="replace").strip()
    except OSError:
        return ""
    printed, crashed, trace = text.partition("Fatal Python error: ")
    if crashed:
        frames = [line.strip() for line in trace.splitlines() if line.startswith("  File ")]
        ours = next((k for k, frame in enumerate(frames) if _OWN_FOLDER in frame), len(frames))
        return "".join(f"\n  {frame}" for frame in frames[:ours][:SHOWN_FRAMES])
    last = printed.splitlines()[-SHOWN_LINES:]
    return "\n  it printed last:" + "".join(f"\n    {line}" for line in last) if last else ""


_OWN_FOLDER = str(Path(__file__).parent.parent)
