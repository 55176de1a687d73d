"""What runs inside a worker process: the audit of one case, fenced off from terminal, disk and memory."""

from __future__ import annotations

import faulthandler
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from gradaudit.checks.audit import Audit, audit_case, failed_audit
from gradaudit.spec.case import Case
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError

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


def start_worker(logs: Path, memory: int) -> None:
    """Prepare a worker process.

    Standard output and error go to a log file named by the process, a crash writes its traceback there, and neither
    that file nor the process's memory can grow without bound.

    Args:
        logs: folder for the log.
        memory: bytes of data that the process may hold.

    """
    log = os.open(log_of(logs, os.getpid()), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    faulthandler.enable(file=2, all_threads=False)
    _limit_resources(memory)
    _let_no_exit_be_silent()


def log_of(logs: Path, process: int) -> Path:
    """Return the log file of a worker process."""
    return logs / f"{process}.log"


def audit_in_worker(case: Case) -> Audit:
    """Audit a case, with what it prints kept out of the terminal and shown only where the case is in error."""
    with _fresh_log():
        audit = audit_case(case)
    if os.fstat(1).st_size >= MAX_PRINTED:
        return failed_audit(case, f"printed more than {MAX_PRINTED // 2**20} MiB; what it printed was cut there")
    return audit


def import_problems(names: tuple[str, ...], folder: Path) -> dict[str, str]:
    """Import functions and return what is wrong with those that cannot be, by name."""
    problems = {}
    for name in names:
        try:
            import_function(name, folder)
        except OpError as error:
            problems[name] = str(error)
    return problems


@contextmanager
def _fresh_log() -> Iterator[None]:
    os.ftruncate(1, 0)
    sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 (outlives this)
    sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:  # over the limit: the rest of the buffer has nowhere to go
                stream.detach()


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

    def _exit(status: int) -> NoReturn:
        leave(status or EXIT_ZERO)

    setattr(os, "_exit", _exit)  # noqa: B010 (os._exit is final to type checkers)


def describe_exit(status: int, log: Path) -> str:
    """Say in words how a worker process ended, from its exit status and its log."""
    import signal

    said = f"ended its process with exit status {0 if status == EXIT_ZERO else status}"
    if status < 0:
        number = -status
        name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
        said = f"crashed its process with {name}"
        if name == "SIGKILL":
            said = "its process was killed (SIGKILL), most likely because the machine ran out of memory"
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
