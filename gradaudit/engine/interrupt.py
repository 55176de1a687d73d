"""The user's interrupt, told apart from one that the code of an op raises by itself."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """An interrupt that a signal brought."""


def interrupt(number: int, frame: object) -> None:
    """Raise the user's interrupt: a handler of signals.

    Raises:
        Interrupted: always.

    """
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
