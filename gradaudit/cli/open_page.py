"""``gradaudit open``: a run that was recorded, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradaudit.cli.ending import leave
from gradaudit.cli.options import Html


def open_page(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="A store or a JSON report; default: the project's store.", show_default=False
        ),
    ] = None,
    html: Html = None,
) -> None:
    """Show the last run that was recorded as a page in the browser, with what changed since the run before it.

    With --html the page is written there and no browser is opened; else it lies in the user's cache.

    Exits with 0, with 2 where no run is recorded or the page cannot be written.
    """
    import webbrowser

    from gradaudit.cli.settings import page_of_folder, project_settings, recorded_in
    from gradaudit.report.files import UnwritableError
    from gradaudit.report.page.run_page import PageReport
    from gradaudit.report.parts import PartError, merged, read_part

    path = run or recorded_in(project_settings())
    if run is None and not path.is_file():
        leave("no run is recorded here yet; gradaudit run records one")
    page = html or str(page_of_folder())
    try:
        events = merged([read_part(path)]).events()
        report = PageReport(page, changed=_changed(path))
        for event in events:
            report(event)
    except (PartError, UnwritableError) as error:
        leave(str(error))
    if html is None:
        typer.echo(page)
        if not webbrowser.open(Path(page).as_uri()):
            typer.echo("no browser could be opened: open that file in one", err=True)


def _changed(path: Path) -> tuple[str, ...]:
    """Return in lines what changed between the last two runs of a store; none where it holds fewer, or is no store."""
    from gradaudit.report.comparison import comparison_lines
    from gradaudit.report.parts import SQLITE
    from gradaudit.store.choose import NoSuchRunError, chosen_runs
    from gradaudit.store.compare import compare_runs
    from gradaudit.store.read import records_of_run, runs
    from gradaudit.store.schema import StoreError, open_to_read

    with path.open("rb") as file:
        if file.read(len(SQLITE)) != SQLITE:
            return ()
    try:
        with open_to_read(path) as connection:
            a, b = chosen_runs(runs(connection), None, None)
            comparison = compare_runs(a, records_of_run(connection, a.id), b, records_of_run(connection, b.id))
    except (StoreError, NoSuchRunError):
        return ()
    return tuple(str(line) for line in comparison_lines(comparison))
