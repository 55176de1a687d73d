"""How commands end: their exit statuses, what is said of a wrong spec or option, and what an interrupt does."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from gradaudit.cli import EXIT_INTERRUPTED as EXIT_INTERRUPTED
from gradaudit.cli import EXIT_UNABLE as EXIT_UNABLE
from gradaudit.cli import POLITE, UNASKED, leave_at_once

if TYPE_CHECKING:
    from gradaudit.spec.errors import Problem

EXIT_UNEXPECTED = 1
EXIT_USAGE = 2


def leave(message: str) -> NoReturn:
    """Say what is wrong with what was asked for and exit with 2."""
    print(message, file=sys.stderr)
    raise SystemExit(EXIT_USAGE) from None


def leave_with_problems(problems: tuple[Problem, ...], *, annotated: bool = False) -> NoReturn:
    """Print what is wrong with the specs, with annotations for GitHub Actions where they are asked for, and exit."""
    written: Callable[[Problem], str] = str
    if annotated:
        from gradaudit.report.github import annotated_problem as written
    for problem in problems:
        print(written(problem), file=sys.stderr)
    count = len(problems)
    settings = {problem.location.file.name for problem in problems} == {"pyproject.toml"}
    where = "settings" if settings else "specs"
    print(f"{count} problem{'s' if count != 1 else ''} in the {where}; nothing was audited", file=sys.stderr)
    raise SystemExit(EXIT_USAGE) from None


def leave_interrupted(*, reported: bool) -> NoReturn:
    """Exit with 130; say so where the reports are not written, as those that are there are of an earlier run."""
    if not reported:
        print("Interrupted before any report was written", file=sys.stderr)
    raise SystemExit(EXIT_INTERRUPTED) from None


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


@contextmanager
def leaving_with_mistakes() -> Iterator[None]:
    """Audit in here: exit with 2 where specs are wrong or name no such op, and with 130 after one Ctrl-C."""
    from gradaudit.explain.explain import UnknownNameError
    from gradaudit.spec.errors import SpecError

    try:
        with one_interrupt():
            yield
    except SpecError as error:
        leave_with_problems(error.problems)
    except UnknownNameError as error:
        leave(str(error))
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
