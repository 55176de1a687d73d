"""Worker processes that may die: each task ends with its value or with the cause of its loss, the others go on."""

from __future__ import annotations

import math
import os
import pickle
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Protocol, TypeVar

from gradaudit.engine.executor import Lost, Task
from gradaudit.engine.exits import describe_exit
from gradaudit.engine.fence import Setting
from gradaudit.engine.interrupt import held
from gradaudit.engine.template import Ended
from gradaudit.engine.worker import READY

T = TypeVar("T")

TASKS_OF_A_PROCESS = 16
"""Tasks of one group that a process does at most: enough to make starting it cheap, few enough to share a large group
among processes."""

CHUNKS_OF_A_WORKER = 4
"""Chunks that tasks of several groups are made into for each worker: few processes to start, and none late."""

MOST_IN_A_CHUNK = 64
"""Tasks of such a chunk at most: starting a process costs as much as ten audits of small ops."""

AHEAD = 2
"""Tasks that a process has at once: it begins the next while what it answered is read."""

SECONDS_BEHIND = 1.0
"""Seconds that tasks wait behind another in its process, where a second one has nothing to do."""

MAX_STILLBORN = 5
"""How often in a row a worker may end before it begins, until the tasks that are left are given up."""

SECONDS_TO_END = 1.0
"""Seconds that a worker may take to end when it is told that there is no more to do."""

SECONDS_TO_BEGIN = 120.0
"""Seconds that a worker may take to begin: the imports that its template has to make."""

MEMORY_SHARE = 0.8
"""Share of the machine's memory that all workers together may fill."""


class WorkerProcess(Protocol):
    """A place for one worker process at a time; ``ForkedWorker`` says what its methods do."""

    modules: tuple[str, ...]

    def start(self, setting: Setting) -> None: ...  # noqa: D102
    def send(self, message: bytes) -> None: ...  # noqa: D102
    def finish(self) -> None: ...  # noqa: D102
    def hear(self, ready: set[Any]) -> None: ...  # noqa: D102
    def message(self) -> bytes | None: ...  # noqa: D102
    def kill(self) -> None: ...  # noqa: D102
    @property
    def channels(self) -> list[Any]: ...  # noqa: D102
    @property
    def ended(self) -> Ended | None: ...  # noqa: D102
    @property
    def usable(self) -> bool: ...  # noqa: D102


class Workers:
    """An executor in processes of this machine, each of which may crash, hang or be killed without harm to the others.

    A process that ends before its task does is given a second try, in a fresh process that has done nothing else: what
    happens twice is the task's own doing. Tasks of several groups share a process where their outcomes say whether they
    stand; what does not is done again alone.

    Args:
        count: number of processes.
        timeout: seconds that a task may take.
        place: makes a place for a worker process whose template imports these modules.
        began: told of every task that is given to a process, once more where it is tried again.

    """

    def __init__(
        self,
        count: int,
        timeout: float,
        place: Callable[[tuple[str, ...]], WorkerProcess] | None = None,
        began: Callable[[Task], None] = lambda task: None,
    ):
        self._count = count
        self._began = began
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
        running: list[_Run] = []
        stillborn = 0
        try:
            while waiting or running:
                while waiting and len(running) < self._count:
                    worker = self._free_place(waiting[0].modules)
                    running.append(_Run(worker, waiting.popleft(), function, tasks, self._timeout, self._began))
                    running[-1].begin(setting)
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


@dataclass(frozen=True)
class Batch:
    """Tasks that one process may do, by their positions; ``tried`` says that a process has died of the first."""

    positions: tuple[int, ...]
    modules: tuple[str, ...]
    tried: bool = False


def batches(tasks: Sequence[Task]) -> deque[Batch]:
    """Return the tasks as batches of one group each, in their order."""
    groups: dict[Any, list[int]] = {}
    for position, task in enumerate(tasks):
        groups.setdefault((position if task.group is None else task.group, task.preload), []).append(position)
    return deque(
        Batch(tuple(own[k : k + TASKS_OF_A_PROCESS]), modules)
        for (_, modules), own in groups.items()
        for k in range(0, len(own), TASKS_OF_A_PROCESS)
    )


def chunks(tasks: Sequence[Task], size: int) -> deque[Batch]:
    """Return the batches of the tasks, in their order, some of which are one: those whose groups may share a process.

    Args:
        tasks: the tasks.
        size: tasks of several groups that a process does at most.

    """
    joined: deque[Batch] = deque()
    for batch in batches(tasks):
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.modules == batch.modules
            and len(last.positions) + len(batch.positions) <= size
            and all(tasks[positions[0]].stands for positions in (last.positions, batch.positions))
        ):
            joined[-1] = replace(last, positions=last.positions + batch.positions)
        else:
            joined.append(batch)
    return joined


class _Run:
    """A worker at its batch.

    Attributes:
        begun: whether the worker has said that it is ready.
        over: whether nothing more will come of it.
        left_over: what has to be done elsewhere.
        deadline: when the task is given up, as ``time.monotonic`` tells.
        patience: until when others wait behind it, though another process could do them.

    """

    def __init__(
        self,
        worker: WorkerProcess,
        batch: Batch,
        function: Callable[..., Any],
        tasks: Sequence[Task],
        timeout: float,
        told: Callable[[Task], None],
    ) -> None:
        self.worker = worker
        self.begun = False
        self.over = False
        self.left_over = batch
        self._function = function
        self._tasks = tasks
        self._timeout = timeout
        self._told = told
        self._at: int | None = None
        self._sent = 0
        self._groups: set[Any] = set()
        self._by_then: Any = None
        self.deadline = time.monotonic() + SECONDS_TO_BEGIN
        self.patience = math.inf

    def begin(self, setting: Setting) -> None:
        """Start the worker and give it its first task."""
        self.worker.start(setting)
        self._give_next()

    def _give_next(self) -> None:
        for position in self.left_over.positions[self._sent : AHEAD]:
            call = pickle.dumps((self._function, self._tasks[position].arguments))
            self.worker.send(pickle.dumps((position, call)))
            self._sent += 1
        position = self.left_over.positions[0]
        task = self._tasks[position]
        self._at, self._by_then = position, None
        self._groups.add(position if task.group is None else task.group)
        self._told(task)

    def _time(self) -> None:
        """Note when the task that begins now is ended: one that keeps to its time by itself may say so first."""
        overtime = self._tasks[self.left_over.positions[0]].overtime
        now = time.monotonic()
        self.deadline = now + self._timeout * (1.0 + overtime)
        self.patience = now + SECONDS_BEHIND

    def behind(self) -> Batch | None:
        """Return what waits behind a task that takes long, to be done elsewhere; None where nothing does."""
        own, others = self.left_over.positions[:1], self.left_over.positions[1:]
        if self._at is None or not others or time.monotonic() < self.patience:
            return None
        self.left_over = replace(self.left_over, positions=own)
        self._sent = 1
        return Batch(others, self.left_over.modules)

    def go_on(self, ready: set[Any]) -> Iterator[tuple[int, Any]]:
        """Yield the outcomes that have come by those channels that are ready, and find out how the worker is."""
        garbled = self._hear(ready)
        try:
            while (message := self.worker.message()) is not None:
                if message == READY:
                    self.begun = True
                    self._time()
                else:
                    yield from self._answered(message)
            if garbled is not None:  # by the task that is being done: what came before is read
                raise garbled
        except Exception as error:  # what came is no message, or no pickle that can be read here
            yield from self._judged(Lost(f"its result could not be read: {type(error).__name__}: {error}"))
            self._give_up()
        if self.over:
            return
        if (ended := self.worker.ended) is not None:
            self.over = True
            if self._at is not None and self.begun:
                yield from self._died(ended)
        elif time.monotonic() > self.deadline:
            if self._at is not None and self.begun:
                lost = Lost(f"exceeded its time limit of {self._timeout:g} s", self._timeout)
                yield from self._judged(lost if self._by_then is None else self._by_then)
            self._give_up()

    def _hear(self, ready: set[Any]) -> Exception | None:
        try:
            self.worker.hear(ready)
        except Exception as error:
            return error
        return None

    def _answered(self, message: bytes) -> Iterator[tuple[int, Any]]:
        position, outcome, left_behind = pickle.loads(message)
        if position != self._at:  # a thread of an op that speaks up again
            return
        if left_behind is None:
            self._by_then = outcome
            return
        yield from self._judged(outcome)
        if left_behind or not self._stands(position, outcome) or not self.left_over.positions:
            self._at = None
            self.worker.finish()
            self.deadline = time.monotonic() + SECONDS_TO_END
        else:
            self._give_next()
            self._time()

    def _stands(self, position: int, outcome: Any) -> bool:
        stands = self._tasks[position].stands
        return stands is None or stands(outcome)

    def _judged(self, outcome: Any) -> Iterator[tuple[int, Any]]:
        """Yield an outcome that counts; else the task is left over, for a process that has done nothing before."""
        if self._at is not None and (len(self._groups) == 1 or self._stands(self._at, outcome)):
            yield from self._concluded(outcome)

    def _concluded(self, outcome: Any) -> Iterator[tuple[int, Any]]:
        """Yield the outcome of the task that the worker is at."""
        if self._at is not None:
            yield self._at, outcome
            self._at = None
            self._sent -= 1
            self.left_over = replace(self.left_over, positions=self.left_over.positions[1:], tried=False)

    def _died(self, ended: Ended) -> Iterator[tuple[int, Any]]:
        if self.left_over.tried:
            yield from self._concluded(Lost(describe_exit(ended)))
        else:
            self.left_over = replace(self.left_over, tried=True)

    def _give_up(self) -> None:
        self.worker.kill()
        self.over = True


def _until(running: Sequence[_Run]) -> float:
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
def workers(count: int, timeout: float, began: Callable[[Task], None] = lambda task: None) -> Iterator[Workers]:
    """Start worker processes; they are gone when the context ends."""
    pool = Workers(count, timeout, began=began)
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
