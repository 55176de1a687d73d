"""``gradaudit diff``: what changed between two runs."""

from __future__ import annotations

from typing import Annotated

import typer

from gradaudit.cli.ending import EXIT_UNEXPECTED, leave
from gradaudit.cli.options import Store


def diff(
    before: Annotated[
        str | None, typer.Argument(metavar="A", help="A run's number or a commit; default: the whole run before B.")
    ] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="B", help="A run's number or a commit; default: the last run.")
    ] = None,
    store: Store = None,
) -> None:
    """Show what changed from run A to run B: newly failing, newly passing, new, gone, slower by evaluations.

    Exits with 0 where nothing newly fails, 1 where something does, what A did not audit included, 2 where there are no
    such runs.
    """
    from gradaudit.cli.settings import project_settings, recorded_in
    from gradaudit.report.comparison import comparison_lines
    from gradaudit.report.console import open_console
    from gradaudit.store.choose import NoSuchRunError, chosen_runs
    from gradaudit.store.compare import compare_runs
    from gradaudit.store.read import records_of_run, runs
    from gradaudit.store.schema import StoreError, open_to_read

    path = store or recorded_in(project_settings())
    try:
        with open_to_read(path) as connection:
            a, b = chosen_runs(runs(connection), before, after)
            comparison = compare_runs(a, records_of_run(connection, a.id), b, records_of_run(connection, b.id))
    except (StoreError, NoSuchRunError) as error:
        leave(str(error))
    console = open_console()
    for line in comparison_lines(comparison):
        console.print(line, markup=False, soft_wrap=True)
    if comparison.newly_failing:
        raise typer.Exit(EXIT_UNEXPECTED)
