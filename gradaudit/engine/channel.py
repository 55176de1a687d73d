"""Messages over a socket between two processes, whole or not at all."""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from contextlib import suppress

LENGTH = 8
"""Bytes before each message that say how long it is."""

LONGEST = 2**32
"""Bytes of a message beyond which what came is no message: an op wrote into a descriptor that is not its own."""

CHUNK = 2**18
"""Bytes read at a time: as many as a socket holds."""

PATIENCE = 30.0
"""Seconds for which a message may find no room: the other side reads whenever it is not at work."""


class GarbledError(Exception):
    """What came is no message."""


class Channel:
    """One end of a socket.

    Attributes:
        socket: the socket; this object closes it.
        open: whether more can come.

    """

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._identity = _identity(end.fileno())
        self._received = bytearray()
        self._waiting: deque[bytes] = deque()
        self.open = True

    def fileno(self) -> int:
        """Return the descriptor, to wait at."""
        return self.socket.fileno()

    def send(self, *messages: bytes) -> None:
        """Send messages.

        Raises:
            OSError: where the other end is closed or does not read, or this one was closed or replaced under us.

        """
        if _identity(self.socket.fileno()) != self._identity:
            raise OSError("the descriptor has been replaced")
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(b"".join(part for each in messages for part in (len(each).to_bytes(LENGTH, "big"), each)))

    def receive(self) -> bytes | None:
        """Return the next message, waiting for it; None where the other end is closed.

        Raises:
            GarbledError: where what comes is no message.
            OSError: where this end was closed under us.

        """
        self.socket.settimeout(None)
        while not self._waiting and self.open:
            self.hear()
        return self._waiting.popleft() if self._waiting else None

    def hear(self) -> None:
        """Read what has come, without waiting where the socket was found readable.

        Raises:
            GarbledError: where it is no message.

        """
        try:
            came = self.socket.recv(CHUNK)
        except ConnectionError:  # the other end went with something of ours unread
            came = b""
        self.open = bool(came)
        self._received += came
        while len(self._received) >= LENGTH:
            length = int.from_bytes(self._received[:LENGTH], "big")
            if length > LONGEST:
                raise GarbledError(f"{bytes(self._received[:60])!r}")
            if len(self._received) < LENGTH + length:
                break
            self._waiting.append(bytes(self._received[LENGTH : LENGTH + length]))
            del self._received[: LENGTH + length]

    def readable(self, seconds: float) -> bool:
        """Whether something has come, or the other end was closed, within so many seconds."""
        return bool(select.select([self.socket], [], [], seconds)[0])

    def heard(self) -> bytes | None:
        """Return the next message that has been read, None where there is none yet."""
        return self._waiting.popleft() if self._waiting else None

    def say_no_more(self) -> None:
        """Let the other end know that nothing will come any more; it can still answer."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close this end."""
        self.open = False
        with suppress(OSError):
            self.socket.close()


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino
