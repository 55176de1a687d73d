"""A worker process that is asked one thing after the other, where the next question depends on the last answer."""

from __future__ import annotations

import os
import pickle
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

from gradaudit.engine.batch_run import SECONDS_TO_BEGIN
from gradaudit.engine.executor import Lost
from gradaudit.engine.exits import describe_exit
from gradaudit.engine.fence import Setting
from gradaudit.engine.pool import MAX_STILLBORN, MEMORY_SHARE, default_place, machine_memory
from gradaudit.engine.worker import READY

T = TypeVar("T")


class SingleWorker:
    """One process of this machine, which may crash, hang or be killed: the next question is asked of a fresh one.

    What a call leaves changed in its process, as far as that is seen, reaches no later call.

    Args:
        modules: what the process imports before anything is asked of it.
        timeout: seconds that an answer may take.

    """

    def __init__(self, modules: tuple[str, ...], timeout: float) -> None:
        self._modules = modules
        self._timeout = timeout
        self._place = default_place()(modules)
        self._alive = False
        self._asked = 0

    def ask(self, function: Callable[..., T], *arguments: Any) -> T | Lost:
        """Return what a function returns, or how its process ended; both travel as pickles."""
        call = pickle.dumps((function, arguments))
        for _ in range(MAX_STILLBORN):
            answer: T | Lost | None = self._asked_once(call)
            if answer is not None:
                return answer
        return Lost("no worker process stays alive")

    def _asked_once(self, call: bytes) -> Any:
        """Return the answer; None where the process ended before it began."""
        self._asked += 1
        begun = self._alive
        if not self._alive:
            self._start()
        self._place.send(pickle.dumps((self._asked, call, None)))
        deadline = time.monotonic() + (self._timeout if begun else SECONDS_TO_BEGIN)
        while True:
            ready = wait(self._place.channels, max(0.0, deadline - time.monotonic()))
            try:
                self._place.hear(set(ready))
                while (message := self._place.message()) is not None:
                    if message == READY:
                        begun, deadline = True, time.monotonic() + self._timeout
                        continue
                    number, outcome, left_behind = pickle.loads(message)
                    if number != self._asked or left_behind is None:
                        continue
                    if left_behind:
                        self.renew()
                    return outcome
            except Exception as error:  # what came is no message, or no pickle that can be read here
                self._end()
                return Lost(f"its result could not be read: {type(error).__name__}: {error}")
            if (ended := self._place.ended) is not None:
                self._alive = False
                return Lost(describe_exit(ended)) if begun else None
            if time.monotonic() > deadline:
                self._end()
                return Lost(f"exceeded its time limit of {self._timeout:g} s", self._timeout)

    def _start(self) -> None:
        if not self._place.usable:
            self._place.kill()
            self._place = default_place()(self._modules)
        memory = int(machine_memory() * MEMORY_SHARE)
        self._place.start(Setting(Path.cwd(), tuple(sys.path), dict(os.environ), memory))
        self._alive = True

    def renew(self) -> None:
        """Let the process end: the next question is asked of one that has heard no other."""
        self._place.finish()
        self._alive = False

    def _end(self) -> None:
        self._place.kill()
        self._alive = False
        self._place = default_place()(self._modules)

    def stop(self) -> None:
        """End the process."""
        self._place.kill()
