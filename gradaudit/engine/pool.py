"""Worker processes that may die: each task ends with its value or with the cause of its loss, the others go on."""

from __future__ import annotations

import math
import os
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from typing import TypeVar

from gradaudit.engine.batch_run import BatchRun, WorkerProcess
from gradaudit.engine.batches import CHUNKS_OF_A_WORKER, MOST_IN_A_CHUNK, chunks
from gradaudit.engine.executor import Lost, Task
from gradaudit.engine.fence import Setting
from gradaudit.engine.interrupt import held

T = TypeVar("T")

MAX_STILLBORN = 5
"""How often in a row a worker may end before it begins, until the tasks that are left are given up."""

PACE = 0.02
"""Seconds for which answers are left to come where every worker has many tasks: those of a time are read together."""

MEMORY_SHARE = 0.8
"""Share of the machine's memory that all workers together may fill."""


class Workers:
    """An executor in processes of this machine, each of which may crash, hang or be killed without harm to the others.

    A process that ends before its task does is given a second try, in a fresh process that has done nothing else: what
    happens twice is the task's own doing. Tasks of several groups share a process where their outcomes say whether they
    stand; what does not is done again alone.

    Args:
        count: number of processes.
        timeout: seconds that a task may take.
        place: makes a place for a worker process whose template imports these modules.
        began: told of every task that a process begins, once more where it is tried again.
        told: called when all outcomes have been given that have come so far.

    """

    def __init__(
        self,
        count: int,
        timeout: float,
        place: Callable[[tuple[str, ...]], WorkerProcess] | None = None,
        began: Callable[[Task], None] = lambda task: None,
        told: Callable[[], None] = lambda: None,
    ):
        self._count = count
        self._began = began
        self._told = told
        self._timeout = timeout
        self._place = place or default_place()
        self._places: list[WorkerProcess] = []
        self._idle: list[WorkerProcess] = []
        weakref.finalize(self, _end_all, self._places).atexit = False  # which are gone with this process anyway

    def map(
        self, function: Callable[..., T], tasks: Sequence[Task], *, folder: Path | None = None
    ) -> Iterator[tuple[int, T | Lost]]:
        """Call ``function(*task.arguments)`` for every task; yield each task's position and outcome as it comes.

        In ``folder`` as the current one, by default this process's.
        """
        setting = self._setting(folder or Path.cwd())
        waiting = chunks(tasks, min(MOST_IN_A_CHUNK, len(tasks) // (CHUNKS_OF_A_WORKER * self._count)))
        running: list[BatchRun] = []
        stillborn = 0
        try:
            while waiting or running:
                while waiting and len(running) < self._count:
                    worker = self._free_place(waiting[0].modules)
                    running.append(BatchRun(worker, waiting.popleft(), function, tasks, self._timeout, self._began))
                    running[-1].begin(setting)
                if all(run.busy for run in running):
                    wait([channel for run in running for channel in run.worker.channels[:1]], PACE)
                ready = set(wait([channel for run in running for channel in run.worker.channels], _until(running)))
                for run in running[:]:
                    with held():  # what has come is passed on
                        yield from run.go_on(ready)
                    if run.over:
                        running.remove(run)
                        stillborn = 0 if run.begun else stillborn + 1
                        if run.left_over.positions:
                            waiting.appendleft(run.left_over)
                        self._let_go(run.worker)
                with held():
                    self._told()
                if not waiting and len(running) < self._count:
                    waiting.extend(batch for run in running if (batch := run.behind()) is not None)
                if stillborn > MAX_STILLBORN:
                    left = [*waiting, *(run.left_over for run in running)]
                    given_up = sorted(position for batch in left for position in batch.positions)
                    yield from ((position, Lost("no worker process stays alive")) for position in given_up)
                    return
        finally:
            for run in running:
                self._end(run.worker)

    def _setting(self, folder: Path) -> Setting:
        memory = int(machine_memory() * MEMORY_SHARE / self._count)
        return Setting(folder, tuple(sys.path), dict(os.environ), memory)

    def _free_place(self, modules: tuple[str, ...]) -> WorkerProcess:
        """Return an idle place with these modules, or a new one for which others make room."""
        found = next((worker for worker in self._idle if worker.modules == modules), None)
        if found is None:
            while len(self._idle) >= self._count:
                self._end(self._idle.pop(0))
            with held():  # whoever made it knows of it
                self._places.append(found := self._place(modules))
            return found
        self._idle.remove(found)
        return found

    def _let_go(self, worker: WorkerProcess) -> None:
        worker.finish()
        if worker.usable:
            self._idle.append(worker)
        else:
            self._end(worker)

    def _end(self, worker: WorkerProcess) -> None:
        with held():
            worker.kill()
            if worker in self._places:
                self._places.remove(worker)

    def stop(self) -> None:
        """End all processes; without this call they end with this object."""
        self._idle.clear()
        _end_all(self._places)


def _end_all(places: list[WorkerProcess]) -> None:
    with held():
        while places:
            places.pop().kill()


def _until(running: Sequence[BatchRun]) -> float:
    """Return the seconds until something has to be done though nothing has come."""
    now = time.monotonic()
    until = min(min(run.deadline, run.patience if run.patience > now else math.inf) for run in running)
    return max(0.0, until - now)


def prepare() -> None:
    """Let what worker processes are made from import on its own, while this process does something else."""
    if hasattr(os, "fork"):
        from gradaudit.engine import forked

        forked.prepare()


def default_place() -> Callable[[tuple[str, ...]], WorkerProcess]:
    """Return what makes places for workers on this system: forked where it can fork, else fresh ones."""
    if hasattr(os, "fork"):
        from gradaudit.engine.forked import ForkedWorker

        return ForkedWorker
    from gradaudit.engine.fresh import FreshWorker

    return FreshWorker


@contextmanager
def workers(
    count: int,
    timeout: float,
    began: Callable[[Task], None] = lambda task: None,
    told: Callable[[], None] = lambda: None,
) -> Iterator[Workers]:
    """Start worker processes; they are gone when the context ends."""
    pool = Workers(count, timeout, began=began, told=told)
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
