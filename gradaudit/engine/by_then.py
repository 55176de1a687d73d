"""What is known of a task while it is still being done, for whoever may have to end it before it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[object], None]] = []


def is_heard() -> bool:
    """Whether anybody wants to know."""
    return bool(_listeners)


def tell(outcome: object) -> None:
    """Tell what the task would answer if it were ended now."""
    for listener in _listeners:
        listener(outcome)


@contextmanager
def heard(listener: Callable[[object], None]) -> Iterator[None]:
    """Let somebody hear what is told."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
