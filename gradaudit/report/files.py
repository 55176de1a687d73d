"""Writing a report file whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


class UnwritableError(OSError):
    """A report cannot be written where it was asked for."""


class AtomicFile:
    """A text file that appears complete under its name, or stays what it was.

    The place is claimed when this object is made, before any work whose result could be lost. ``-`` is standard
    output; devices and pipes, which cannot be replaced, are written directly.

    Raises:
        UnwritableError: where no file can be made there.

    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._direct = path == "-" or (self._path.exists() and not self._path.is_file())
        self._temporary = ""
        if self._path.is_dir():
            raise UnwritableError(f"cannot write {path}: it is a folder")
        if self._direct:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, self._temporary = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        except OSError as error:
            raise UnwritableError(f"cannot write {path}: {error.strerror or error}") from None
        os.close(handle)

    def write(self, text: str) -> None:
        """Put the text in place."""
        if str(self._path) == "-":
            sys.stdout.write(text)
            return
        if self._direct:
            self._path.write_text(text, encoding="utf-8")
            return
        Path(self._temporary).write_text(text, encoding="utf-8")
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(self._temporary, 0o666 & ~umask)
        os.replace(self._temporary, self._path)

    def discard(self) -> None:
        """Leave the place as it was; after ``write`` this does nothing."""
        if self._temporary:
            Path(self._temporary).unlink(missing_ok=True)
