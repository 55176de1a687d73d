"""The command line: one file for each command, which parses, calls, prints and exits."""

from __future__ import annotations

import time


def main() -> None:
    """Run the command that the arguments name.

    Worker processes import this module too; only the process that parses arguments pays for the parser.
    """
    began = time.perf_counter()
    from gradaudit.cli.app import app
    from gradaudit.engine.threads import one_thread_for_linear_algebra

    one_thread_for_linear_algebra()
    app(prog_name="gradaudit", obj=began)
