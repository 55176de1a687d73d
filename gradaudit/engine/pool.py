"""Worker processes that may die: each task ends with its value or with the cause of its loss, the pool goes on."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait  # noqa: A004 (pebble raises this one)
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from gradaudit.engine.worker import describe_exit, log_of, start_worker

T = TypeVar("T")

AHEAD = 4
"""Tasks in flight for each worker: enough that none waits, few enough that Ctrl-C has little to undo."""

MEMORY_SHARE = 0.8
"""Share of the machine's memory that all workers together may fill."""


@dataclass(frozen=True)
class Lost:
    """A task that gave no value, and why, in words."""

    cause: str


class Workers:
    """A pool of worker processes, each of which may crash, hang or be killed without harm to the others.

    Args:
        count: number of processes.
        timeout: seconds that a task may take.

    """

    def __init__(self, count: int, timeout: float, logs: Path) -> None:
        context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
        # Workers are forked from a process that has the imports behind it and, unlike this one, no threads.
        context.set_forkserver_preload(["gradaudit.engine.worker", "gradaudit.checks.audit"])
        # A thread pool for linear algebra in each of them would fight over the cores.
        for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ.setdefault(variable, "1")
        self._pool = ProcessPool(
            count,
            initializer=start_worker,
            initargs=(logs, int(machine_memory() * MEMORY_SHARE / count)),
            context=context,
        )
        self._count = count
        self._timeout = timeout
        self._logs = logs

    def map(self, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, T | Lost]]:
        """Call ``function(*task)`` for every task; yield each task's position and outcome as it comes."""
        waiting = enumerate(tasks)
        running: dict[Future[T], int] = {}
        while True:
            for position, task in waiting:
                running[self._pool.schedule(function, args=task, timeout=self._timeout)] = position
                if len(running) >= AHEAD * self._count:
                    break
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), self._outcome(future)

    def _outcome(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except TimeoutError:
            return Lost(f"exceeded its time limit of {self._timeout:g} s")
        except ProcessExpired as error:
            return Lost(describe_exit(error.exitcode, log_of(self._logs, error.pid)))
        except Exception as error:  # what came back could not be read: an op that tampers with the process
            return Lost(f"its result could not be read: {type(error).__name__}: {error}")

    def stop(self) -> None:
        """End all processes at once, whatever they are doing."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


@contextmanager
def workers(count: int, timeout: float) -> Iterator[Workers]:
    """Start worker processes; they and their logs are gone when the context ends."""
    with tempfile.TemporaryDirectory(prefix="gradaudit-") as logs:
        pool = Workers(count, timeout, Path(logs))
        try:
            yield pool
        finally:
            pool.stop()


def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the container that it is."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 8 * 2**30
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.exists() else "max"
    return physical if allowed == "max" else min(physical, int(allowed))
