"""The command line: one file for each command, which parses, calls, prints and exits."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from gradaudit.cli.running import RunOptions

EXIT_UNABLE = 3
"""What the system refused keeps the command from going on."""

EXIT_INTERRUPTED = 130

POLITE = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that ask a command to end: Ctrl-C, a kill that leaves time, a terminal that is closed."""

UNASKED = (signal.default_int_handler, signal.SIG_DFL)
"""What is done about them where nobody has asked for anything else."""


OBJECTS_BETWEEN_COLLECTIONS = 200_000
"""How many objects Python makes before it looks for garbage: those of a start stay, and are fewer."""


def main() -> None:
    """Run the command that the arguments name.

    Worker processes import this module too; only the process that parses arguments pays for the parser.
    """
    began = time.perf_counter()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    atexit.register(gc.freeze)  # what is left at the end goes with the process: nobody has to look for garbage in it
    _open_standard_streams()
    for number in POLITE:
        if signal.getsignal(number) in UNASKED:  # one that is ignored stays so, as in the background of a script
            signal.signal(number, leave_at_once)
    from gradaudit.cli.first_look import plain_run
    from gradaudit.engine.libraries import set_up_libraries

    set_up_libraries()
    try:
        os.getcwd()
        if (options := plain_run(sys.argv[1:])) is not None:
            _run(options, began)
        else:
            from gradaudit.cli.app import app

            app(prog_name="gradaudit", obj=began)
    except BrokenPipeError:  # who read the output has seen enough
        _write_no_more()
        sys.exit(1)
    except OSError as error:  # the folder or the disk that this runs in, or what reads the output, is gone
        _leave_unable(error)


def _run(options: RunOptions, began: float) -> None:
    """Audit as the options say; end with 2 where what another package adds cannot be used."""
    from gradaudit.cli.ending import leave
    from gradaudit.cli.running import run_audits
    from gradaudit.extensions import ExtensionError

    try:
        run_audits(options, began)
    except ExtensionError as error:
        leave(str(error))


def _open_standard_streams() -> None:
    """Put nothing in the place of standard streams that are closed, or the next file to be opened would be one."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the lowest number that is free


def leave_at_once(number: int, frame: object) -> NoReturn:
    """End a command that has nothing to lose: a handler of signals."""
    os.write(2, b"Interrupted before it was done\n")
    sys.exit(EXIT_INTERRUPTED)


def _leave_unable(error: OSError) -> NoReturn:
    """Say what the system refused, and exit with 3."""
    name = error.filename if isinstance(error.filename, str) else ""
    said = f"{name}: {error.strerror}" if name else error.strerror or str(error)
    if error.errno == errno.ENOENT and not name:
        said = "the current folder has been deleted"
    with suppress(OSError, ValueError):
        print(f"gradaudit had to stop: {said}", file=sys.stderr)
    _write_no_more()
    sys.exit(EXIT_UNABLE)


def _write_no_more() -> None:
    """Put nothing in the place of standard output, or Python would try to write what is left once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
