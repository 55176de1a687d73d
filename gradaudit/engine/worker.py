"""What runs inside a worker process: one task after the other, as they come over a channel, until it closes."""

from __future__ import annotations

import os
import pickle
from contextlib import suppress
from typing import NoReturn, Protocol

from gradaudit.engine.by_then import heard
from gradaudit.engine.executor import Lost, describe_exception
from gradaudit.engine.fence import MAX_PRINTED, Fence, Setting
from gradaudit.engine.state import changed, state_of_process

READY = b"ready "
"""How the message of a worker begins that has begun itself; the number of its parent follows."""

CUT_OFF = 113
"""Exit status of a worker that cannot send any more."""

ENDED_TEMPLATE = "ended the process from which its own was forked"
"""What is said of a task after which the worker's parent is gone."""


class Messages(Protocol):
    """How a worker hears of its tasks, and tells of their outcomes."""

    def send(self, message: bytes) -> None:
        """Send a message."""
        ...

    def receive(self) -> bytes | None:
        """Return the next message; None where there will be none."""
        ...


def work(messages: Messages, setting: Setting, log: int) -> NoReturn:
    """Do every task that comes, then end this process, whatever would want to have a say in that.

    A task is a pickle of its number, its call (a pickle of a function and its arguments), and what says of an outcome
    whether others may follow in this process, None where they may. The answer is one of the number, the outcome, and
    what the task left changed in the process. What a task tells while it goes on is the same, with None for the last.
    """
    leave = os._exit  # before any op can put something in its place
    process, parent = os.getpid(), os.getppid()
    with suppress(BaseException):
        fence = Fence(setting, log)
        messages.send(READY + str(os.getppid()).encode())
        state = state_of_process()
        while (message := messages.receive()) is not None:
            number, call, stands = pickle.loads(message)
            outcome = _outcome(number, call, fence, messages)
            if os.getpid() != process:  # a child that the op forked and that came back: its parent speaks for it
                leave(0)
            if os.getppid() != parent:
                outcome = Lost(ENDED_TEMPLATE)
            left = changed(state, state := state_of_process(state))
            messages.send(_answer(number, outcome, left))
            if left or (stands is not None and not stands(outcome)):  # what has come already is done elsewhere
                break
        leave(0)
    leave(CUT_OFF)


def _outcome(number: int, call: bytes, fence: Fence, messages: Messages) -> object:
    process = os.getpid()

    def tell(outcome: object) -> None:
        with suppress(Exception):
            if os.getpid() == process:
                messages.send(pickle.dumps((number, outcome, None)))

    try:
        with fence.around(), heard(tell):
            function, arguments = pickle.loads(call)
            outcome = function(*arguments)
    except BaseException as error:  # a KeyboardInterrupt too: it is the op's own, the user's does not come here
        outcome = Lost(describe_exception(error))
    if fence.printed_too_much:
        outcome = Lost(f"printed more than {MAX_PRINTED // 2**20} MiB; its output was cut there")
    return outcome


def _answer(number: int, outcome: object, left: tuple[str, ...]) -> bytes:
    try:
        return pickle.dumps((number, outcome, left))
    except Exception as error:
        return pickle.dumps((number, Lost(f"its result cannot be sent: {describe_exception(error)}"), left))
