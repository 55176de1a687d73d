"""``gradaudit merge``: the shards of a run, put together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradaudit.cli.ending import EXIT_UNEXPECTED, leave
from gradaudit.cli.options import AllowInconclusive, Html, Json, Junit, MaxRows, Quiet, Reports

if TYPE_CHECKING:
    from gradaudit.engine.events import Handler

SHOWN = 10
"""Cases that are named of those that are missing, or there twice."""


def merge(
    parts: Annotated[list[Path], typer.Argument(help="Stores or JSON reports, one of each shard.", show_default=False)],
    json: Json = None,
    junit: Junit = None,
    html: Html = None,
    report: Reports = None,
    max_rows: MaxRows = 10,
    quiet: Quiet = False,
    allow_inconclusive: AllowInconclusive = False,
) -> None:
    """Put the shards of a run together, and say which cases are missing, or there twice.

    Exits with 0 where every case is there and ended as its spec expects, 1 where not, 2 where a file is no run.
    """
    from gradaudit.cli.written import reports_asked, written
    from gradaudit.report.console import open_console
    from gradaudit.report.files import UnwritableError
    from gradaudit.report.parts import PartError, merged, read_part
    from gradaudit.report.tally import Tally
    from gradaudit.report.terminal import TerminalReport

    tally = Tally()
    try:
        asked = reports_asked(report or (), json=json, junit=junit, html=html)
        whole = merged([read_part(path) for path in parts])
        console = open_console(stderr="-" in asked.values())
        handlers: list[Handler] = [
            tally,
            TerminalReport(console, max_rows=max_rows, quiet=quiet),
            *written(asked),
        ]
        for event in whole.events():
            for handler in handlers:
                handler(event)
    except (PartError, UnwritableError) as error:
        leave(str(error))
    _tell("missing", whole.missing)
    _tell("present twice; the last one counts", whole.twice)
    if whole.missing or not tally.as_expected(allow_inconclusive=allow_inconclusive):
        raise typer.Exit(EXIT_UNEXPECTED)


def _tell(what: str, ids: tuple[str, ...]) -> None:
    if ids:
        more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
        verb = "case is" if len(ids) == 1 else "cases are"
        typer.echo(f"{len(ids):,} {verb} {what}: {', '.join(ids[:SHOWN])}{more}", err=True)
