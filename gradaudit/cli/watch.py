"""``gradaudit run --watch``: the run again whenever a file has changed, for what it bears on."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import typer

from gradaudit.cli.ending import leave, one_interrupt

SUFFIXES = (".py", ".yaml", ".yml", ".toml", ".c", ".h", ".cc", ".cpp", ".cu", ".rs", ".f90", ".mojo", ".js", ".npy")
"""Of the files that ops are made of; not of those that runs write."""


def watch(given: Sequence[Path], *, recorded: bool) -> NoReturn:
    """Run the command that this process was called with, and again what is stale whenever a file changes, until Ctrl-C.

    Args:
        given: the paths that the command names; folders among them are watched, and the current one.
        recorded: whether the runs are recorded, which tells what is stale.

    """
    if not recorded:
        leave("--watch needs recorded results; found --no-store")
    try:
        import watchfiles
    except ImportError:
        leave("--watch needs the package watchfiles: pip install 'gradaudit[watch]'")

    usual = watchfiles.DefaultFilter()  # which leaves out .git, caches, environments

    def is_source(change: Any, path: str) -> bool:
        return path.endswith(SUFFIXES) and usual(change, path)

    arguments = [word for word in sys.argv[1:] if word != "--watch"]
    folders = [Path.cwd(), *(path for path in given if path.is_dir())]
    command = [sys.executable, "-m", "gradaudit", *arguments]
    again = command if "--stale" in arguments else [*command, "--stale"]
    with suppress(KeyboardInterrupt), one_interrupt():
        _run(command)
        typer.echo("watching; Ctrl-C ends", err=True)
        for changes in watchfiles.watch(*folders, watch_filter=is_source, raise_interrupt=True):
            names = sorted({Path(path).name for _, path in changes})
            typer.echo(f"\nchanged: {', '.join(names[:5])}{' and more' if len(names) > 5 else ''}", err=True)
            _run(again)
    raise typer.Exit


def _run(command: Sequence[str]) -> None:
    """Run a command; one that is interrupted is given the time to write its reports."""
    with subprocess.Popen(command) as process:
        try:
            process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGTERM)
            process.wait()
            raise
