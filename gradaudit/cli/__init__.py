"""The command line: one file for each command, which parses, calls, prints and exits."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from typing import NoReturn

EXIT_UNABLE = 3
"""What the system refused keeps the command from going on."""


def main() -> None:
    """Run the command that the arguments name.

    Worker processes import this module too; only the process that parses arguments pays for the parser.
    """
    began = time.perf_counter()
    from gradaudit.cli.app import app
    from gradaudit.engine.threads import one_thread_for_linear_algebra

    one_thread_for_linear_algebra()
    try:
        os.getcwd()
        app(prog_name="gradaudit", obj=began)
    except OSError as error:  # the folder or the disk that this runs in, or what reads the output, is gone
        _leave_unable(error)


def _leave_unable(error: OSError) -> NoReturn:
    """Say what the system refused, and exit with 3."""
    name = error.filename if isinstance(error.filename, str) else ""
    said = f"{name}: {error.strerror}" if name else error.strerror or str(error)
    if error.errno == errno.ENOENT and not name:
        said = "the current folder has been deleted"
    with suppress(OSError, ValueError):
        print(f"gradaudit could not go on: {said}", file=sys.stderr)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # or Python would try to write what is left once more
    sys.exit(EXIT_UNABLE)
