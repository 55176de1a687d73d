"""What fences a task off from terminal, disk and memory, inside the process that it runs in."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from gradaudit.engine.libraries import keep_freed_memory

MAX_PRINTED = 64 * 2**20
"""Bytes that one case may print; a kernel limit on the log, so that no op can fill memory or disk."""


@dataclass(frozen=True)
class Setting:
    """What a worker process begins with.

    Attributes:
        folder: the current folder.
        path: where modules are looked for.
        environment: the variables.
        memory: bytes of data that the process may hold.

    """

    folder: Path
    path: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    memory: int = 2**62


def new_log() -> int:
    """Return the descriptor of a file that has no name, and so is gone with the processes that have it open."""
    if hasattr(os, "memfd_create"):
        log = os.memfd_create("gradaudit-log")
        import fcntl

        fcntl.fcntl(log, fcntl.F_SETFL, os.O_APPEND)
        return log
    with tempfile.TemporaryFile(mode="ab") as file:
        return os.dup(file.fileno())


class Fence:
    """The surroundings that every task in a process finds anew.

    Args:
        setting: what the process begins with.
        log: descriptor of the file that takes what tasks print, and the traceback of a crash.

    """

    def __init__(self, setting: Setting, log: int) -> None:
        self._folder = setting.folder
        self._log = log
        os.environ.clear()
        os.environ.update(setting.environment)
        sys.path[:] = setting.path
        faulthandler.enable(file=log, all_threads=False)
        for number in (signal.SIGTERM, signal.SIGINT):  # a handler in Python would wait for an op that is in C code
            signal.signal(number, signal.SIG_DFL)
        _limit_resources(setting.memory)
        keep_freed_memory()

    @contextmanager
    def around(self) -> Iterator[None]:
        """Run a task in the current folder of the run, with standard output and error going to the empty log."""
        os.chdir(self._folder)
        os.ftruncate(self._log, 0)
        for standard in (1, 2):
            os.dup2(self._log, standard)
        streams = [
            open(k, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
            for k in (1, 2)
        ]
        sys.stdout, sys.stderr = streams
        try:
            yield
        finally:
            for stream in streams:
                with suppress(OSError, ValueError):  # the log is full, or the op has closed the stream
                    stream.flush()

    @property
    def printed_too_much(self) -> bool:
        """Whether the task has filled its log."""
        with suppress(OSError):
            return os.fstat(self._log).st_size >= MAX_PRINTED
        return False


def _limit_resources(memory: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_PRINTED, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    within = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (within, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    adjustment = Path("/proc/self/oom_score_adj")
    if adjustment.exists():  # should the kernel have to choose, it is this process that goes, not the run
        with suppress(OSError):
            adjustment.write_text("1000")
