"""Worker processes that are forked from templates; this is the side of the process that has tasks to give."""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Any

from gradaudit.engine.channel import Channel, GarbledError
from gradaudit.engine.fence import Setting
from gradaudit.engine.interrupt import held
from gradaudit.engine.libraries import set_up_libraries
from gradaudit.engine.template import Clone, Ended, Work, send_command
from gradaudit.engine.worker import READY

GRACE = 1.0
"""Seconds that a template may take to end its worker before it is ended itself."""


class Templates:
    """The templates that those of workers are cloned from: one of every list of modules that is wanted.

    Each is cloned from that of a shorter list; what is imported once, all later ones share.
    """

    def __init__(self) -> None:
        self._owner = os.getpid()
        self._process, first = _started()
        self._sockets: dict[tuple[str, ...], socket.socket] = {(): first}

    @property
    def ours(self) -> bool:
        """Whether they are this process's own, and not those of one that forked it."""
        return self._owner == os.getpid()

    def let_go(self) -> None:
        """Close the sockets: the templates end unless another process has them too."""
        for end in self._sockets.values():
            end.close()

    def close(self) -> None:
        """Let them end; the first, whose parent this process is, is waited for unless it takes long."""
        self.let_go()
        patience = time.monotonic() + GRACE
        with suppress(ChildProcessError):
            while os.waitpid(self._process, os.WNOHANG) == (0, 0) and time.monotonic() < patience:
                time.sleep(0.01)

    def clone(self, modules: tuple[str, ...]) -> socket.socket:
        """Return the socket of a new template that has imported these modules.

        Raises:
            OSError: where one of those here is gone.

        """
        if modules not in self._sockets:
            self._sockets[modules] = self._cloned(modules[:-1], modules[-1:])
        return self._cloned(modules, ())

    def _cloned(self, origin: tuple[str, ...], modules: tuple[str, ...]) -> socket.socket:
        if origin not in self._sockets:
            self._sockets[origin] = self._cloned(origin[:-1], origin[-1:])
        ours, theirs = socket.socketpair()
        try:
            send_command(self._sockets[origin], Clone(modules), theirs)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours


def _started() -> tuple[int, socket.socket]:
    """Start the first template as a fresh interpreter; return its number and its socket."""
    set_up_libraries()
    ours, theirs = socket.socketpair()
    program = (
        f"import sys; sys.path[:] = {sys.path!r}; from gradaudit.engine.lifeline import Lifeline; "
        f"line = Lifeline({theirs.fileno()}); from gradaudit.engine.template import main; main({theirs.fileno()}, line)"
    )
    flags = ["-" + "O" * sys.flags.optimize] * bool(sys.flags.optimize) + ["-B"] * sys.flags.dont_write_bytecode
    command = [sys.executable, *flags, "-c", program]
    null = subprocess.DEVNULL
    try:
        with theirs:
            process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=null, stdout=null, stderr=null, cwd="/"
            )
    except BaseException:
        ours.close()
        raise
    process.returncode = 0  # it ends when it is no longer needed: nobody waits for it
    return process.pid, ours


_templates: list[Templates] = []
_lock = threading.Lock()


def prepare() -> None:
    """Let the first template import on its own, while this process does something else."""
    _templates_of_ours()


def _templates_of_ours() -> Templates:
    with _lock, held():  # whoever starts it knows of it
        while _templates and not _templates[0].ours:
            _templates.pop().let_go()
        if not _templates:
            _templates.append(Templates())
        return _templates[0]


@atexit.register
def _let_all_go() -> None:
    while _templates:
        _templates.pop().let_go()


def _cloned(modules: tuple[str, ...]) -> socket.socket:
    """Return the socket of a new template; where none can be had, that of one that has ended."""
    for _ in range(2):
        try:
            return _templates_of_ours().clone(modules)
        except OSError:  # something has ended them: they are made anew
            while _templates:
                _templates.pop().close()
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


class ForkedWorker:
    """A place for one worker process at a time, with a template of its own.

    Attributes:
        modules: what the template imports.
        room: bytes of tasks that may wait for the worker without holding up who sends them.

    Args:
        modules: the same.

    Raises:
        OSError: where no template can be started.

    """

    room = 2**15

    def __init__(self, modules: tuple[str, ...]) -> None:
        self.modules = modules
        self._control = Channel(_cloned(modules))
        self._worker: Channel | None = None
        self._ended: Ended | None = None
        self._template: int | None = None

    def start(self, setting: Setting) -> None:
        """Fork a worker; that the template is gone is told by ``usable``."""
        self.finish()
        with held():
            ours, theirs = socket.socketpair()
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * self.room)
            self._worker, self._ended = Channel(ours), None
            with theirs, suppress(OSError):
                send_command(self._control.socket, Work(setting), theirs)

    def send(self, *messages: bytes) -> None:
        """Send the worker tasks; that it is gone is told elsewhere."""
        if self._worker is not None:
            with suppress(OSError):
                self._worker.send(*messages)

    def finish(self) -> None:
        """Tell the worker that there is no more to do."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    @property
    def channels(self) -> list[Any]:
        """What to wait at for anything to happen; the first tells of the worker's end."""
        return [channel for channel in (self._control, self._worker) if channel is not None and channel.open]

    def hear(self, ready: set[Any]) -> None:
        """Read what has come by those channels that are ready.

        Raises:
            GarbledError: where an op has written into the worker's channel.

        """
        if self._worker is not None and self._worker in ready:
            self._worker.hear()
        if self._control in ready:
            with suppress(GarbledError):
                self._control.hear()
            if message := self._control.heard():
                self._ended = pickle.loads(message)
                self._drain()

    def _drain(self) -> None:
        """Read what the worker sent before it ended."""
        while self._worker is not None and self._worker.open and self._worker.readable(0.0):
            self._worker.hear()

    def message(self) -> bytes | None:
        """Return the worker's next message that has come, None where there is none."""
        message = self._worker.heard() if self._worker is not None else None
        if message is not None and message.startswith(READY):
            self._template = int(message.removeprefix(READY))
            return READY
        return message

    @property
    def ended(self) -> Ended | None:
        """How the worker has ended, None while it lives."""
        if self._ended is None and not self._control.open:
            return Ended(-signal.SIGKILL, b"", with_template=True)
        return self._ended

    @property
    def usable(self) -> bool:
        """Whether another worker can be started here."""
        return self._control.open

    def kill(self) -> None:
        """End the worker, and the template with it."""
        self.finish()
        self._control.say_no_more()
        if self._template is not None:
            with suppress(OSError):
                os.kill(self._template, signal.SIGCONT)  # an op may have stopped it
            self._template = None  # whose number may be another's soon
        with suppress(GarbledError):
            while self._control.open and self._control.readable(GRACE):
                self._control.hear()
        self._control.close()
