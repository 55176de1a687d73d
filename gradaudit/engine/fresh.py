"""Worker processes that are fresh interpreters, for systems that cannot fork: slower to start, and as far apart."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any

from gradaudit.engine.fence import Setting, new_log
from gradaudit.engine.libraries import set_up_libraries
from gradaudit.engine.template import SHARED, Ended
from gradaudit.engine.worker import READY, work


class FreshWorker:
    """A place for one worker process at a time; its methods are those of ``ForkedWorker``.

    Args:
        modules: what each process imports before it takes tasks.

    """

    room = 2**12

    def __init__(self, modules: tuple[str, ...]) -> None:
        set_up_libraries()
        self.modules = modules
        self.usable = True
        self._process: Any = None
        self._connection: Any = None
        self._messages: list[bytes] = []

    def start(self, setting: Setting) -> None:
        """Start a worker."""
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, self.modules, setting))
        self._process.start()
        theirs.close()

    def send(self, *messages: bytes) -> None:
        """Send the worker tasks; that it is gone is told elsewhere."""
        for message in messages:
            if self._connection is not None:
                with suppress(OSError):
                    self._connection.send_bytes(message)

    def finish(self) -> None:
        """Tell the worker that there is no more to do."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def channels(self) -> list[Any]:
        """What to wait at for anything to happen; the first tells of the worker's end."""
        sentinel = [self._process.sentinel] if self._process is not None else []
        return sentinel + ([self._connection] if self._connection is not None else [])

    def hear(self, ready: set[Any]) -> None:
        """Read what has come by those channels that are ready."""
        if self._connection is None or self._connection not in ready:
            return
        try:
            while self._connection.poll():
                self._messages.append(self._connection.recv_bytes())
        except (EOFError, OSError):
            self.finish()

    def message(self) -> bytes | None:
        """Return the worker's next message that has come, None where there is none."""
        message = self._messages.pop(0) if self._messages else None
        return READY if message is not None and message.startswith(READY) else message

    @property
    def ended(self) -> Ended | None:
        """How the worker has ended, None while it lives."""
        if self._process.exitcode is None:
            return None
        _end_group(self._process.pid)
        return Ended(self._process.exitcode, b"")

    def kill(self) -> None:
        """End the worker."""
        self.finish()
        if self._process is not None:
            _end_group(self._process.pid)
            self._process.kill()
            self._process.join()


def _end_group(process: int) -> None:
    """End what a worker has started, where the system knows that it belongs together."""
    if hasattr(os, "killpg"):
        with suppress(OSError):
            os.killpg(process, signal.SIGKILL)


class _Messages:
    """A connection, as a worker knows it."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def send(self, message: bytes) -> None:
        self._connection.send_bytes(message)

    def receive(self) -> bytes | None:
        try:
            message: bytes = self._connection.recv_bytes()
        except EOFError:
            return None
        return message


def _serve(connection: Any, modules: tuple[str, ...], setting: Setting) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if hasattr(os, "setsid"):
        os.setsid()
    warnings.simplefilter("ignore")
    for module in (*SHARED, *modules):
        with suppress(Exception):
            import_module(module)
    work(_Messages(connection), setting, new_log())


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(0)
