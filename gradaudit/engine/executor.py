"""Where tasks run: the protocol that worker processes, this process and a cluster have in common.

An executor is given all tasks at once, and gives each one's outcome as it comes: the value that the function returned,
or why there is none. Another kind of executor is a class with this one method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from gradaudit.engine.interrupt import Interrupted, told_apart
from gradaudit.targets.op import raised

T = TypeVar("T")


@dataclass(frozen=True)
class Lost:
    """A task that gave no value: why, in words that follow the task's name, and the seconds it took where known."""

    cause: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Task:
    """The arguments of one call, and the company that it may be made in.

    Attributes:
        arguments: what the function is called with; they and what it returns travel as pickles.
        group: tasks of one group may share a process; a process never sees two groups, unless ``stands`` is given.
            What a task leaves behind in its process therefore reaches no other group. None for a group of its own.
        preload: modules to import before the process is made, of which many processes can share the memory and the
            time. They say nothing of the task's own code.
        cost: how long it takes compared with others, where that is known; executors begin with what takes long.
        overtime: part of the time limit by which a task that keeps to it by itself may overrun it before it is ended.
        stands: whether an outcome counts though tasks of other groups were done in its process before. One that does
            not is dropped, and the task done again in a process that has done nothing else; no task is done after it.
            It travels as a pickle too. None where no task of another group may come before.

    """

    arguments: tuple[Any, ...]
    group: str | None = None
    preload: tuple[str, ...] = ()
    cost: float = 1.0
    overtime: float = 0.0
    stands: Callable[[Any], bool] | None = None


class Executor(Protocol):
    """Runs tasks, wherever."""

    def map(self, function: Callable[..., T], tasks: Sequence[Task]) -> Iterator[tuple[int, T | Lost]]:
        """Call ``function(*task.arguments)`` for every task; yield each one's position and outcome as it comes.

        Every task has exactly one outcome. Nothing that a task does is raised here: it is ``Lost`` with its cause.

        Raises:
            ExecutorError: where no more tasks can be run; the outcomes that there are have been given by then.

        """
        ...


class ExecutorError(Exception):
    """The place where tasks run is gone; says what happened to it."""


class InProcess:
    """Tasks one after the other in this process, for debuggers: no time limit, no fence between them."""

    def map(self, function: Callable[..., T], tasks: Sequence[Task]) -> Iterator[tuple[int, T | Lost]]:
        """Call the function for every task, in order.

        Raises:
            Interrupted: where the user interrupts; a KeyboardInterrupt of a task's own is that task's loss.

        """
        for position, task in enumerate(tasks):
            outcome: T | Lost
            try:
                with told_apart():
                    outcome = function(*task.arguments)
            except Interrupted:
                raise
            except BaseException as error:
                outcome = Lost(describe_exception(error))
            yield position, outcome


def describe_exception(error: BaseException) -> str:
    """Say in words what no check expected, with the last frame of its traceback."""
    return str(raised("", error)).lstrip()
