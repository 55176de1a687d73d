"""How commands end: their exit statuses, what is said of a wrong spec or option, and what an interrupt does."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from gradaudit.cli import EXIT_INTERRUPTED as EXIT_INTERRUPTED
from gradaudit.cli import EXIT_UNABLE as EXIT_UNABLE
from gradaudit.cli import POLITE, UNASKED, leave_at_once

if TYPE_CHECKING:
    from gradaudit.spec.errors import Problem

EXIT_UNEXPECTED = 1
EXIT_USAGE = 2


def leave(message: str) -> NoReturn:
    """Say what is wrong with what was asked for and exit with 2."""
    typer.echo(message, err=True)
    raise typer.Exit(EXIT_USAGE) from None


def leave_with_problems(problems: tuple[Problem, ...], written: Callable[[Problem], str] = str) -> NoReturn:
    """Print what is wrong with the specs and exit."""
    for problem in problems:
        typer.echo(written(problem), err=True)
    count = len(problems)
    settings = {problem.location.file.name for problem in problems} == {"pyproject.toml"}
    where = "settings" if settings else "specs"
    typer.echo(f"{count} problem{'s' if count != 1 else ''} in the {where}; nothing was audited", err=True)
    raise typer.Exit(EXIT_USAGE) from None


def leave_interrupted(*, reported: bool) -> NoReturn:
    """Exit with 130; say so where the reports are not written, as those that are there are of an earlier run."""
    if not reported:
        typer.echo("Interrupted before any report was written", err=True)
    raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Let the first Ctrl-C, or a polite kill, end the run, and ignore any more: they would tear its reports."""
    from gradaudit.engine.interrupt import interrupt as raise_interrupt

    before = {number: signal.getsignal(number) for number in POLITE}
    own = [number for number, handler in before.items() if handler in (*UNASKED, leave_at_once)]

    def interrupt(number: int, frame: object) -> None:
        for each in own:
            signal.signal(each, signal.SIG_IGN)
        raise_interrupt(number, frame)

    for number in own:  # not one that is ignored, as in the background of a script
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in own:
            if signal.getsignal(number) is interrupt:  # what is left is to exit
                signal.signal(number, signal.SIG_IGN if before[number] is leave_at_once else before[number])
