"""A child process that answers messages: started once, asked again and again, and gone when it is no longer needed."""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

from gradaudit.targets import launch
from gradaudit.targets.message import (
    PREFIX,
    Header,
    Message,
    MessageError,
    decoded,
    encoded,
    header_length,
    read_header,
)
from gradaudit.targets.op import LostOpError, OpError
from gradaudit.targets.unwritten import FIRST

CHUNK = 2**20
"""Bytes read or written at a time: as many as a pipe may be made to hold."""

SHOWN = 8_000
"""Bytes of what it wrote to stderr last that are kept; however much it writes, it neither blocks nor fills memory."""

SHOWN_LINES = 8
"""Lines of them that go with an error."""

SHOWN_BYTES = 60
"""Bytes that are shown of what is no message."""

LONGEST_WAIT = 3600.0
"""Seconds to wait before the clock is looked at again; a selector does not take any number of them."""

GRACE = 0.5
"""Seconds that a child has to end by itself."""


class Child:
    """A process that answers each message on its standard input with one on its standard output.

    Args:
        command: the program and its arguments.
        folder: its current folder, which relative paths in the command are seen from.
        seconds: how long it may take for an answer.

    Attributes:
        seconds: the same.

    Raises:
        OpError: where there is no such program, or the system has no pipes that can be waited at together.

    """

    def __init__(self, command: Sequence[str], folder: Path, seconds: float) -> None:
        self.seconds = seconds
        self._said = bytearray()
        self._trouble = ""
        self._process = _started(command, folder)
        self._selector = selectors.DefaultSelector()
        self._stdin, self._stdout, self._stderr = (_unblocked(pipe) for pipe in _pipes(self._process))
        for pipe in (self._stdout, self._stderr):
            self._selector.register(pipe, selectors.EVENT_READ)
        self._finalizer = weakref.finalize(self, _end, self._process, self._selector)

    def ask(self, call: str, message: Message) -> Message:
        """Return the child's answer to a message.

        Raises:
            MessageError: where the message cannot be sent in this format.
            LostOpError: where the child ends, hangs or answers with something else than a message, and whenever it is
                asked again after that.

        """
        if self._trouble:
            raise LostOpError(self._trouble)
        request = deque(encoded(message))
        try:
            return self._exchange(request)
        except _SilentError as error:
            self._lose(f"the process gave no answer to {call} within {self.seconds:g} s{error}")
        except _EndedError as error:
            self._lose(f"the process {self._how_it_ended()} instead of answering {call}{error}")
        except MessageError as error:
            self._lose(f"the process's answer to {call} is no message: {error}")

    def end(self) -> None:
        """Let the process go; without this call it goes with this object."""
        self._trouble = self._trouble or "the process was asked to exit"
        self._finalizer()

    def _lose(self, trouble: str) -> NoReturn:
        """Give the child up.

        Raises:
            LostOpError: always.

        """
        _kill(self._process)
        self._hear_out()
        lines = self._said.decode("utf-8", errors="replace").strip().splitlines()[-SHOWN_LINES:]
        self._trouble = trouble + ("\n  its last lines on stderr:" if lines else "")
        self._trouble += "".join(f"\n    {line}" for line in lines)
        raise LostOpError(self._trouble)

    def _exchange(self, request: deque[memoryview]) -> Message:
        """Write the request while listening to whatever the child writes, so that neither waits for the other."""
        if unasked := self._unasked():
            raise MessageError(f"before it was asked for, {unasked!r} was on standard output already")
        answer = _Answer()
        end = time.monotonic() + self.seconds
        self._selector.register(self._stdin, selectors.EVENT_WRITE)
        while request or not answer.complete:
            ready = {key.fd for key, _ in self._selector.select(min(max(0.0, end - time.monotonic()), LONGEST_WAIT))}
            if time.monotonic() > end:
                raise _SilentError(answer.progress)
            if self._stderr in ready:
                self._hear()
            if self._stdout in ready:
                answer.take(os.read(self._stdout, min(answer.wanted, CHUNK) or 1))
            if self._stdin in ready:
                self._write(request)
        return answer.message()

    def _unasked(self) -> bytes:
        """Return what the child wrote since its last answer, which would be taken for the next one."""
        try:
            return os.read(self._stdout, SHOWN_BYTES)
        except BlockingIOError:
            return b""

    def _write(self, request: deque[memoryview]) -> None:
        try:
            written = os.write(self._stdin, request[0][:CHUNK])
        except BrokenPipeError:  # it has ended, or is about to: its standard output tells
            request.clear()
        else:
            request[0] = request[0][written:]
            if not request[0]:
                request.popleft()
        if not request:
            self._selector.unregister(self._stdin)

    def _hear(self) -> None:
        said = os.read(self._stderr, CHUNK)
        if not said:
            self._selector.unregister(self._stderr)
        self._said += said
        del self._said[:-SHOWN]

    def _hear_out(self) -> None:
        """Read what a child that has ended left in its pipe."""
        with suppress(OSError):  # nothing more is there
            while said := os.read(self._stderr, CHUNK):
                self._said += said
        del self._said[:-SHOWN]

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "closed its standard output"
        if status >= 0:
            return f"ended with exit status {status}"
        number = -status
        return f"crashed with {signal.Signals(number).name if number in set(signal.Signals) else f'signal {number}'}"


class _SilentError(Exception):
    """The child took too long."""


class _EndedError(Exception):
    """The child closed its standard output."""


class _Answer:
    """What has come of an answer so far."""

    def __init__(self) -> None:
        self._part = bytearray()
        self._header: Header | None = None
        self._text_length = 0
        self.wanted = PREFIX
        self.complete = False

    def take(self, received: bytes) -> None:
        """Add what was read, at most as many bytes as were wanted."""
        if not received:
            raise _EndedError(self.progress)
        if self.complete:
            raise MessageError(f"more than one answer: {received!r} follows it on standard output")
        self._part += received
        self.wanted -= len(received)
        while self.wanted == 0 and not self.complete:
            self._go_on()

    def _go_on(self) -> None:
        """Find out from the part that is complete what the next one is."""
        if self._header is not None:
            self.complete = True
        elif not self._text_length:
            self.wanted = self._text_length = header_length(bytes(self._part))
            self._part.clear()
        else:
            self._header = read_header(bytes(self._part))
            self.wanted = self._header.data_length
            self._part.clear()

    @property
    def progress(self) -> str:
        """How much of the answer has come, in words; empty where none has."""
        if self.complete:
            return ": the whole answer came, but the message was not read to its end"
        if not self._text_length:
            return f": it wrote {bytes(self._part)!r} to standard output" if self._part else ""
        part = "data" if self._header else "header"
        return f": {len(self._part):,} of {len(self._part) + self.wanted:,} bytes of the answer's {part} came"

    def message(self) -> Message:
        assert self._header is not None
        return decoded(self._header, self._part)


def _started(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    if os.name != "posix":
        raise OpError("the process cannot be started: waiting for several pipes needs Linux, macOS or the like")
    program = command[0]
    found = shutil.which(program if os.sep not in program else str(folder / program))
    if found is None:
        where = f"in {folder}" if os.sep in program else "on the path"
        if os.sep not in program and shutil.which(str(folder / program)):
            where += f"; did you mean './{program}'?"
        raise OpError(f"the process cannot be started: there is no program '{program}' {where}")
    words = [found, *command[1:]]
    if sys.platform == "linux":
        words = [sys.executable, "-I", "-S", str(launch.__file__), *words]
    pipe = subprocess.PIPE
    try:
        # In a session of its own: Ctrl-C is for the run, which ends the child, and what that started ends with it.
        return subprocess.Popen(
            words,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            bufsize=0,
            cwd=folder,
            start_new_session=True,
            env={"MALLOC_PERTURB_": str(FIRST.byte ^ 0xFF), **os.environ},  # no unwritten element is zero by chance
        )
    except OSError as error:
        raise OpError(f"the process cannot be started: {program}: {error.strerror}") from None
    except ValueError as error:  # no text that a system takes: a null byte, half of a character
        raise OpError(f"the process cannot be started: {' '.join(command)!r}: {error}") from None


def _pipes(process: subprocess.Popen[bytes]) -> list[IO[bytes]]:
    return [pipe for pipe in (process.stdin, process.stdout, process.stderr) if pipe]


def _unblocked(pipe: IO[bytes]) -> int:
    """Return the descriptor of a pipe that is never waited at, and holds as much as it may where that can be set."""
    number = pipe.fileno()
    os.set_blocking(number, False)
    with suppress(ImportError, AttributeError, OSError):  # Linux has it, up to a limit for each user
        import fcntl

        fcntl.fcntl(number, fcntl.F_SETPIPE_SZ, CHUNK)
    return number


def _end(process: subprocess.Popen[bytes], selector: selectors.BaseSelector) -> None:
    """Tell the child that there is nothing more to do, and see to it that it goes."""
    selector.close()
    if process.returncode is None:  # else it was given up before, and its number may be another's by now
        with suppress(OSError, subprocess.TimeoutExpired):
            process.stdin.write(b"".join(encoded(Message(texts={"call": "exit"}))))  # type: ignore[union-attr]
            process.stdin.close()  # type: ignore[union-attr]
            process.wait(GRACE)
        _kill(process)
    for pipe in _pipes(process):
        with suppress(OSError):
            pipe.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process, and those that it has started."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
