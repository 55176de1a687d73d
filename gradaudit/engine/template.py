"""A template: a process that has imported what many need and runs no code of an op, and forks.

The first template is started as a fresh interpreter; each worker's own is cloned from it, forks one worker after the
other, and ends with each whatever that left running: as the reaper of orphans it becomes the parent of all of them.
A template ends when the other end of its socket is closed, which the end of that process does too, however it comes.

Commands are pickles: ``Clone`` and ``Work``, each with the descriptor of a socket; the answer to ``Work`` is ``Ended``.
"""

from __future__ import annotations

import gc
import os
import pickle
import select
import signal
import socket
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from gradaudit.engine.channel import LENGTH, Channel
from gradaudit.engine.fence import Setting, new_log
from gradaudit.engine.lifeline import Lifeline
from gradaudit.engine.worker import CUT_OFF, work

PR_SET_PDEATHSIG = 1
"""What ends a process with the one that it was forked from; see prctl(2)."""

PR_SET_CHILD_SUBREAPER = 36
"""What makes a process the parent of its descendants' orphans; see prctl(2)."""

SHARED = (
    "gradaudit.engine.audit",
    "gradaudit.audit.likely_causes",
    "gradaudit.models.audit",
    "gradaudit.targets.closure",
    "gradaudit.targets.frameworks",
    "gradaudit.targets.layer",
    "gradaudit.targets.library",
    "gradaudit.targets.process",
    "numpy.random",
    "numpy.ma",
    "scipy.special",
)
"""What audits import sooner or later."""

SHOWN_TAIL = 8_000
"""Bytes at the end of a log that are told of when a worker ends."""

COMMAND_CHUNK = 2**16
"""Bytes of a command read at a time; all but those with a large environment come at once."""


@dataclass(frozen=True)
class Clone:
    """Fork another template, to be reached by the socket, that imports these modules first."""

    modules: tuple[str, ...]


@dataclass(frozen=True)
class Work:
    """Fork a worker, whose channel is the socket."""

    setting: Setting


@dataclass(frozen=True)
class Ended:
    """A worker has ended, and all that it started.

    Attributes:
        status: its exit status, or minus a signal's number.
        printed: the end of its log.
        with_template: whether its template has ended too.

    """

    status: int
    printed: bytes
    with_template: bool = False


def send_command(control: socket.socket, command: Clone | Work, end: socket.socket) -> None:
    """Send a template a command with a socket.

    Raises:
        OSError: where the template is gone.

    """
    message = pickle.dumps(command)
    message = len(message).to_bytes(LENGTH, "big") + message
    sent = socket.send_fds(control, [message], [end.fileno()])
    control.sendall(message[sent:])


def received_command(control: socket.socket) -> tuple[Clone | Work, socket.socket] | None:
    """Return the next command and its socket, None where there is none any more."""
    message, descriptors, _, _ = socket.recv_fds(control, COMMAND_CHUNK, 1)  # which ends where another's begins
    if not descriptors:
        return None
    end = socket.socket(fileno=descriptors[0])
    length = int.from_bytes(message[:LENGTH], "big")
    while rest := LENGTH + length - len(message):
        if not (came := control.recv(rest)):
            return None
        message += came
    return pickle.loads(message[LENGTH:]), end


def main(descriptor: int, lifeline: Lifeline) -> NoReturn:
    """Be the first template, in a fresh interpreter that hangs by a lifeline; it ends its clones with itself."""
    warnings.simplefilter("ignore")
    os.setsid()
    _import(SHARED)
    lifeline.cut()
    Template(socket.socket(fileno=descriptor)).serve(())


class Template:
    """What this process is while it is a template.

    Args:
        control: the socket that commands come by.

    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._clones: set[int] = set()
        self._worker = 0
        self._log = -1
        self._woken = -1

    def serve(self, modules: tuple[str, ...]) -> NoReturn:
        """Import modules and obey commands until there are no more."""
        try:
            _control_process(PR_SET_CHILD_SUBREAPER, 1)
            self._woken = _waker()
            _import(modules)
            while True:
                ready = set(select.select([self._control.fileno(), self._woken], [], [])[0])
                if self._woken in ready:
                    os.read(self._woken, 4096)
                    self._bury()
                if self._control.fileno() in ready and not self._obey():
                    break
        finally:
            end_children({self._worker, *self._clones} - {0}, set())
            os._exit(0)

    def _obey(self) -> bool:
        """Do what the next command says; False where there is none any more."""
        received = received_command(self._control)
        if received is None:
            return False
        command, end = received
        log = new_log() if isinstance(command, Work) else -1
        template = os.getpid()
        process = os.fork()
        if process == 0:
            self._control.close()
            if isinstance(command, Clone):
                os.setsid()  # an op that ends the group of its parent ends no other's template
                os.close(signal.set_wakeup_fd(-1))
                os.close(self._woken)
                Template(end).serve(command.modules)
            _become_worker(self._woken, template)
            work(Channel(end), command.setting, log)
        end.close()
        if isinstance(command, Clone):
            self._clones.add(process)
        else:
            self._worker, self._log = process, log
        return True

    def _bury(self) -> None:
        """Take note of children that have ended; orphans that were left to this process end as well."""
        ended = False
        for process, status in _dead_children():
            self._clones.discard(process)
            if process == self._worker:
                self._worker, ended, code = 0, True, os.waitstatus_to_exitcode(status)
        if self._worker:
            return
        end_children(set(), self._clones)
        if ended:
            answer = pickle.dumps(Ended(code, _tail(self._log)))
            os.close(self._log)
            with suppress(OSError):
                Channel(self._control).send(answer)


def _import(modules: tuple[str, ...]) -> None:
    """Import what can be imported; what cannot is the audit's to tell of, and freeze it out of garbage collection."""
    for module in modules:
        with suppress(Exception):
            import_module(module)
    gc.collect()
    gc.freeze()  # or the collector would write to every page that clones share


def _control_process(operation: int, value: int) -> None:
    """Ask the kernel of Linux for something; see prctl(2)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(operation, value, 0, 0, 0)


def _waker() -> int:
    """Return a descriptor that can be read whenever a child has ended."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def _become_worker(woken: int, template: int) -> None:
    """Let go of all that is the template's, and of its session; end with it.

    An op that ends its parent again and again would find another one each time: a process of the user's at last.
    """
    _control_process(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != template:
        os._exit(CUT_OFF)
    write = signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.close(write)
    os.close(woken)
    os.setsid()


def _dead_children() -> list[tuple[int, int]]:
    dead = []
    with suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            dead.append(child)
    return dead


def end_children(known: set[int], spared: set[int]) -> None:
    """End all children of this process but those that are spared, and the children that they leave.

    Args:
        known: children that there are even where the system does not list them.
        spared: children that may live.

    """
    doomed = known | _children() - spared
    while doomed:
        for process in doomed:
            for kill in (os.killpg, os.kill):  # what it started is in its group where nothing else finds it
                with suppress(OSError):
                    kill(process, signal.SIGKILL)
        for process in doomed:
            with suppress(ChildProcessError):
                os.waitpid(process, 0)
        doomed = _children() - spared


def _children() -> set[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return {int(word) for word in file.read().split()}
    except OSError:  # not Linux, where orphans are not ours either
        return set()


def _tail(log: int) -> bytes:
    size = os.fstat(log).st_size
    return os.pread(log, SHOWN_TAIL, max(0, size - SHOWN_TAIL))
