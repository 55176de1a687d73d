"""Writing a repair into the file that it mends."""

from __future__ import annotations

import io
import os
import tempfile
import tokenize
from pathlib import Path

from gradaudit.repair.repairs import Repair
from gradaudit.source.text import decoded


class NotWrittenError(Exception):
    """A repair was not written; the message says why, and the file is as it was."""


def write_repair(made: Repair) -> None:
    """Write a repair into its file, in the file's own encoding and ends of lines, all of it or nothing.

    Raises:
        NotWrittenError: where the file is not what it was during the search, or cannot be written.

    """
    try:
        source = made.path.read_bytes()
        if decoded(source) != made.before:
            raise NotWrittenError(f"{made.file} has changed since; nothing was written")
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        ends = "\r\n" if b"\r\n" in source else "\n"
        _replace(made.path, made.after.replace("\n", ends).encode(encoding))
    except OSError as error:
        raise NotWrittenError(f"{made.file} cannot be written: {error.strerror or error}") from None


def _replace(path: Path, contents: bytes) -> None:
    real = path.resolve()
    handle, name = tempfile.mkstemp(dir=real.parent, prefix=f".{real.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(contents)
        os.chmod(name, real.stat().st_mode)
        os.replace(name, real)
    except OSError:
        os.unlink(name)
        raise
