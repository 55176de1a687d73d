"""What ends a process that is busy when the one that it works for is gone.

A process that waits for commands sees that the other end of its socket is closed; one that imports for seconds does
not look. This module imports little: it is there before anything that takes long.
"""

from __future__ import annotations

import os
import select
import threading

CLOSED = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0) if hasattr(select, "poll") else 0
"""What a socket is polled for: that its other end is closed, whatever can still be read."""


class Lifeline:
    """Ends this process as soon as the other end of a socket is closed, until it is cut.

    By a thread: it must be cut before the process forks.

    Args:
        descriptor: of the socket; it must stay open.

    """

    def __init__(self, descriptor: int) -> None:
        self._read, self._write = os.pipe()
        self._thread = threading.Thread(target=self._watch, args=(descriptor,), daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Let the process live on, whatever becomes of the other end."""
        os.close(self._write)
        self._thread.join()
        os.close(self._read)

    def _watch(self, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, CLOSED)
        poll.register(self._read, CLOSED)
        if any(ready == descriptor for ready, _ in poll.poll()):
            os._exit(0)
