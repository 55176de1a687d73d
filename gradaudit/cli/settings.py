"""What commands begin with: the project's settings, and leaving where something is wrong with what was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from gradaudit.cli.run import EXIT_USAGE

if TYPE_CHECKING:
    from rich.console import Console

    from gradaudit.spec.project import Project


def leave(message: str) -> NoReturn:
    """Say what is wrong with what was asked for and exit with 2."""
    typer.echo(message, err=True)
    raise typer.Exit(EXIT_USAGE)


def project_settings() -> Project:
    """Return the settings of the project around the current folder; leave where they are wrong."""
    from gradaudit.spec.errors import SpecError
    from gradaudit.spec.project import find_project

    try:
        return find_project(Path.cwd())
    except SpecError as error:
        leave(str(error))


def paper() -> Console:
    """Return standard output for tables: no wider than the terminal, and where there is none as wide as they are."""
    import io

    from rich.console import Console

    console = Console(highlight=False)
    if isinstance(console.file, io.TextIOWrapper):  # a locale without the op's characters is no reason to stop
        console.file.reconfigure(errors="backslashreplace")
    if not console.file.isatty() and console.width <= 80:
        console.width = WIDE
    return console


WIDE = 160
"""Columns of a table in a pipe or a log, where nothing is cut."""


@contextmanager
def searching() -> Iterator[Callable[[int], None]]:
    """Show how many files were searched while that lasts, where someone looks on."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.file.isatty():
        yield lambda files: None
        return
    with console.status("searching") as status:

        def show(files: int) -> None:
            if files % STEP == 0:
                status.update(f"searching: {files:,} files")

        yield show


STEP = 100
"""Files between two changes of what is shown."""
