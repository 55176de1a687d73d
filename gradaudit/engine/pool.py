"""Worker processes that may die: each task ends with its value or with the cause of its loss, the pool goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, TimeoutError, wait  # noqa: A004 (pebble raises this one)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from gradaudit.engine.threads import one_thread_for_linear_algebra
from gradaudit.engine.worker import Lost, call_fenced, describe_exit, log_of, start_worker

T = TypeVar("T")

AHEAD = 4
"""Tasks in flight for each worker: enough that none waits, few enough that Ctrl-C has little to undo."""

MAX_RESTARTS = 5
"""How often the pool may break before the tasks that are left are given up."""

LONGEST_FOLDER = 64
"""Bytes of a folder's name to which a socket in a folder of its own there can be added: systems allow 104 in all, or
108, and what is added is about 35."""

MEMORY_SHARE = 0.8
"""Share of the machine's memory that all workers together may fill."""


class Workers:
    """A pool of worker processes, each of which may crash, hang or be killed without harm to the others.

    Args:
        count: number of processes.
        timeout: seconds that a task may take.

    """

    def __init__(self, count: int, timeout: float, logs: Path) -> None:
        self._count = count
        self._timeout = timeout
        self._logs = logs
        self._restarts = 0
        self._pool = self._new_pool()

    def _new_pool(self) -> ProcessPool:
        memory = int(machine_memory() * MEMORY_SHARE / self._count)
        initargs = (self._logs, Path.cwd(), memory)
        return ProcessPool(self._count, initializer=start_worker, initargs=initargs, context=process_context())

    def map(self, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, T | Lost]]:
        """Call ``function(*task)`` for every task; yield each task's position and outcome as it comes."""
        waiting = deque(enumerate(tasks))
        running: dict[Future[T | Lost], tuple[int, tuple[Any, ...]]] = {}
        while waiting or running:
            try:
                while waiting and len(running) < AHEAD * self._count:
                    call = (function, *waiting[0][1])
                    scheduled = self._pool.schedule(call_fenced, args=call, timeout=self._timeout)
                    running[scheduled] = waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = self._outcome(future)
                    yield running.pop(future)[0], outcome
            except RuntimeError:  # a process died between two tasks, which breaks the pool but is no task's fault
                waiting.extendleft(sorted(running.values(), reverse=True))
                running.clear()
                self.stop()
                self._pool = self._new_pool()
                self._restarts += 1
                if self._restarts > MAX_RESTARTS:
                    yield from ((position, Lost("found no worker process that stays alive")) for position, _ in waiting)
                    return

    def _outcome(self, future: Future[Any]) -> Any:
        try:
            return future.result()
        except TimeoutError:
            return Lost(f"exceeded its time limit of {self._timeout:g} s", self._timeout)
        except BrokenProcessPool:
            raise
        except ProcessExpired as error:
            return Lost(describe_exit(error.exitcode, log_of(self._logs, error.pid)))
        except Exception as error:  # what came back could not be read: an op that tampers with the process
            return Lost(f"its result could not be read: {type(error).__name__}: {error}")

    def stop(self) -> None:
        """End all processes at once, whatever they are doing."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()


def process_context() -> BaseContext:
    """Return how processes are started: where there is fork, from one that has no threads and the imports behind it.

    That one starts with the first call and imports on its own: calling this early saves waiting for it later.
    """
    one_thread_for_linear_algebra()
    if not hasattr(os, "fork"):
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gradaudit.engine.worker", "gradaudit.engine.audit"])
    resource_tracker.ensure_running()  # which would unblock the signal, were it started below
    with _unheard(), _room_for_a_socket():
        forkserver.ensure_running()
    return context


@contextmanager
def _room_for_a_socket() -> Iterator[None]:
    """Let what is made here lie in /tmp where the folder for temporary files has too long a name for a socket in it."""
    chosen = tempfile.tempdir
    if len(os.fsencode(tempfile.gettempdir())) > LONGEST_FOLDER:
        tempfile.tempdir = "/tmp"
    try:
        yield
    finally:
        tempfile.tempdir = chosen


@contextmanager
def _unheard() -> Iterator[None]:
    """Keep Ctrl-C and the terminal from a process started here.

    Ctrl-C goes to all processes of a terminal, and is for the one that reports; those that it catches half started
    would each print a traceback.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    null, terminal = os.open(os.devnull, os.O_WRONLY), os.dup(2)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(null)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


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
