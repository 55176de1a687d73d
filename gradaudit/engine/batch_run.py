"""A worker process at its batch: what it is given, what its answers and its end mean, what is left to be done."""

from __future__ import annotations

import math
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

from gradaudit.engine.batches import Batch
from gradaudit.engine.executor import Lost, Task
from gradaudit.engine.exits import describe_exit
from gradaudit.engine.fence import Setting
from gradaudit.engine.template import Ended
from gradaudit.engine.worker import READY

AHEAD = 32
"""Tasks that a process has at once: it goes on while what it answered is read, several answers at once."""

SECONDS_BEHIND = 1.0
"""Seconds that tasks wait behind another in its process, where a second one has nothing to do."""

SECONDS_TO_END = 1.0
"""Seconds that a worker may take to end when it is told that there is no more to do."""

SECONDS_TO_BEGIN = 120.0
"""Seconds that a worker may take to begin: the imports that its template has to make."""


class WorkerProcess(Protocol):
    """A place for one worker process at a time; ``ForkedWorker`` says what its methods do."""

    modules: tuple[str, ...]
    room: int

    def start(self, setting: Setting) -> None: ...  # noqa: D102
    def send(self, *messages: bytes) -> None: ...  # noqa: D102
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


class BatchRun:
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
        self._sent: deque[int] = deque()
        self._kept: bytes | None = None
        self._groups: set[Any] = set()
        self._by_then: Any = None
        self.deadline = time.monotonic() + SECONDS_TO_BEGIN
        self.patience = math.inf

    def begin(self, setting: Setting) -> None:
        """Start the worker and give it its first tasks."""
        self.worker.start(setting)
        self._give_ahead()
        self._turn_to_next()

    @property
    def busy(self) -> bool:
        """Whether the worker has so many tasks that its answers need not be read at once."""
        return self.begun and not self.over and len(self._sent) > AHEAD // 2

    def _give_ahead(self) -> None:
        """Give the worker tasks to go on with, unless it has many, or no room for more while it is at one.

        It reads none meanwhile, and may wait itself until its answer is read here.
        """
        if self.busy:
            return
        messages: list[bytes] = []
        for position in self.left_over.positions[len(self._sent) : AHEAD]:
            message = self._kept or self._message(position)
            if self._sent and sum(self._sent) + len(message) > self.worker.room:
                self._kept = message
                break
            self._kept = None
            messages.append(message)
            self._sent.append(len(message))
        if messages:
            self.worker.send(*messages)

    def _message(self, position: int) -> bytes:
        task = self._tasks[position]
        return pickle.dumps((position, pickle.dumps((self._function, task.arguments)), task.stands))

    def _turn_to_next(self) -> None:
        """Note which task the worker is at."""
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
        self._sent, self._kept = deque([self._sent[0]]), None
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
            self._turn_to_next()
            self._give_ahead()
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
            self._sent.popleft()
            self.left_over = replace(self.left_over, positions=self.left_over.positions[1:], tried=False)

    def _died(self, ended: Ended) -> Iterator[tuple[int, Any]]:
        if self.left_over.tried:
            yield from self._concluded(Lost(describe_exit(ended)))
        else:
            self.left_over = replace(self.left_over, tried=True)

    def _give_up(self) -> None:
        self.worker.kill()
        self.over = True
