"""Writing a report file whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

STDOUT = 1
"""The descriptor of standard output, which ``-`` and ``/dev/stdout`` both name."""


class UnwritableError(OSError):
    """A report cannot be written where it was asked for."""


class AtomicFile:
    """A file that appears complete under its name, or stays what it was.

    The place is claimed when this object is made, before any work whose result could be lost. ``-`` is standard
    output; devices and pipes, which cannot be replaced, are written directly.

    Raises:
        UnwritableError: where no file can be made there.

    """

    def __init__(self, path: str) -> None:
        self._name = path
        self._path = Path(path)
        if not path:
            raise UnwritableError("cannot write a report: expected the name of a file, found an empty one")
        try:
            self._direct = path == "-" or (self._path.exists() and not self._path.is_file())
            if self._path.is_dir():
                raise UnwritableError(f"cannot write {path}: it is a folder")
            if not self._direct:
                self._path = self._path.resolve()  # a link stays a link; what it points to is replaced
                self._path.parent.mkdir(parents=True, exist_ok=True)
                Path(self._beside()).unlink()  # a run that is killed leaves nothing behind
        except UnwritableError:
            raise
        except (OSError, ValueError) as error:
            raise UnwritableError(f"cannot write {path}: {_reason(error)}") from None

    def _beside(self) -> str:
        """Make an empty file in the same folder; return its path."""
        handle, path = tempfile.mkstemp(prefix=f".{self._path.name[:100]}.", dir=self._path.parent)
        os.close(handle)
        return path

    def write(self, text: str) -> None:
        """Put the text in place.

        Raises:
            UnwritableError: where that fails now, for example because the disk is full.

        """
        if self._name == "-":
            sys.stdout.write(text)
            return
        self.write_bytes(text.encode())

    def write_bytes(self, content: bytes) -> None:
        """Put the content in place, as ``write`` does.

        Raises:
            UnwritableError: where that fails now.

        """
        if self._name == "-":
            sys.stdout.buffer.write(content)
            return
        try:
            if self._direct:
                self._path.write_bytes(content)
            else:
                self._replace(content)
        except OSError as error:
            raise UnwritableError(f"cannot write {self._name}: {_reason(error)}") from None

    def _replace(self, content: bytes) -> None:
        temporary = self._beside()
        try:
            Path(temporary).write_bytes(content)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, self._path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def are_one(path: str, other: str) -> bool:
    """Whether two names are those of one file, or would be: by another spelling, or by a link."""
    if path == other:
        return True
    try:
        return os.path.samestat(*(os.fstat(STDOUT) if name == "-" else os.stat(name) for name in (path, other)))
    except (OSError, ValueError):  # one of them is not there yet, or no name
        return "-" not in (path, other) and os.path.realpath(path) == os.path.realpath(other)


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
