"""The application that all commands are registered with."""

from __future__ import annotations

from typing import Annotated

import typer

from gradaudit.cli.coverage import coverage
from gradaudit.cli.diff import diff
from gradaudit.cli.explain import explain
from gradaudit.cli.guide import guide
from gradaudit.cli.history import history
from gradaudit.cli.init import init
from gradaudit.cli.lint import lint
from gradaudit.cli.merge import merge
from gradaudit.cli.mutate import mutate
from gradaudit.cli.open_page import open_page
from gradaudit.cli.record import record
from gradaudit.cli.run import run
from gradaudit.cli.schema import schema

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(explain)
app.command()(guide)
app.command()(coverage)
app.command()(mutate)
app.command()(lint)
app.command()(init)
app.command()(record)
app.command()(merge)
app.command()(history)
app.command()(diff)
app.command("open")(open_page)
app.command()(schema)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"gradaudit {version('gradaudit')}")
        raise typer.Exit


@app.callback()
def gradaudit(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Audit hand-written gradients: right, wrong, or not decidable here, index by index."""
