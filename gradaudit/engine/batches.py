"""Which tasks a worker process does one after the other: those of a group, or of several that may share a process."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from gradaudit.engine.executor import Task

TASKS_OF_A_PROCESS = 16
"""Tasks of one group that a process does at most: enough to make starting it cheap, few enough to share a large group
among processes."""

CHUNKS_OF_A_WORKER = 4
"""Chunks that tasks of several groups are made into for each worker: few processes to start, and none late."""

MOST_IN_A_CHUNK = 512
"""Tasks of such a chunk at most: starting a process costs as much as twenty audits of small ops, and what they leave in
memory has to end some time."""


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
