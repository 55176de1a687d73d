"""``gradaudit history``: how an op fared from run to run."""

from __future__ import annotations

from typing import Annotated

import typer

from gradaudit.cli.completion import ops
from gradaudit.cli.ending import leave
from gradaudit.cli.options import Store


def history(
    op: Annotated[str, typer.Argument(help="The op's name.", autocompletion=ops)],
    limit: Annotated[int, typer.Option(min=1, help="How many runs to show.")] = 20,
    store: Store = None,
) -> None:
    """Show how an op fared from run to run, newest first. Exits with 2 where it was never recorded."""
    from gradaudit.cli.settings import project_settings, recorded_in
    from gradaudit.report.console import open_console_for_tables
    from gradaudit.report.history import history_table
    from gradaudit.spec.errors import nearest
    from gradaudit.store.read import ops, records_of_op, runs
    from gradaudit.store.schema import StoreError, open_to_read

    path = store or recorded_in(project_settings())
    try:
        with open_to_read(path) as connection:
            records = records_of_op(connection, op)
            if not records:
                leave(f"{path} has no results of an op '{op}'{nearest(op, ops(connection))}")
            open_console_for_tables().print(history_table(runs(connection), records, limit))
    except StoreError as error:
        leave(str(error))
