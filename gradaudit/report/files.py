"""Writing a report file whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


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
        self._temporary = ""
        try:
            self._direct = path == "-" or (self._path.exists() and not self._path.is_file())
            if self._path.is_dir():
                raise UnwritableError(f"cannot write {path}: it is a folder")
            if self._direct:
                return
            self._path = self._path.resolve()  # a link stays a link; what it points to is replaced
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, self._temporary = tempfile.mkstemp(prefix=f".{self._path.name[:100]}.", dir=self._path.parent)
        except UnwritableError:
            raise
        except (OSError, ValueError) as error:
            raise UnwritableError(f"cannot write {path}: {_reason(error)}") from None
        os.close(handle)

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
            Path(self._temporary or self._path).write_bytes(content)
            if self._temporary:
                umask = os.umask(0)
                os.umask(umask)
                os.chmod(self._temporary, 0o666 & ~umask)
                os.replace(self._temporary, self._path)
        except OSError as error:
            raise UnwritableError(f"cannot write {self._name}: {_reason(error)}") from None

    def discard(self) -> None:
        """Leave the place as it was; after ``write`` this does nothing."""
        if self._temporary:
            Path(self._temporary).unlink(missing_ok=True)


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
