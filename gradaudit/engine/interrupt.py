"""The user's interrupt, told apart from one that the code of an op raises by itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Interrupted(KeyboardInterrupt):
    """An interrupt that a signal brought."""


@dataclass
class _Held:
    """How many parts of the program are at what must not be torn, and whether an interrupt waits for them."""

    by: int = 0
    waiting: bool = False


_held = _Held()


def interrupt(number: int, frame: object) -> None:
    """Raise the user's interrupt, at once or when nothing holds it: a handler of signals.

    Raises:
        Interrupted: unless it is held.

    """
    if _held.by:
        _held.waiting = True
    else:
        raise Interrupted


@contextmanager
def held() -> Iterator[None]:
    """Let an interrupt wait until this is done: between a result's coming and its being written down.

    Raises:
        Interrupted: at the end, where there was one.

    """
    _held.by += 1
    try:
        yield
    finally:
        _held.by -= 1
    if _held.waiting and not _held.by:
        _held.waiting = False
        raise Interrupted


@contextmanager
def told_apart() -> Iterator[None]:
    """Let Ctrl-C raise ``Interrupted`` where Python's own handler would raise what an op may raise too."""
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
