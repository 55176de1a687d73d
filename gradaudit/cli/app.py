"""The application that all commands are registered with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gradaudit.cli.coverage import coverage
from gradaudit.cli.diff import diff
from gradaudit.cli.ending import leave
from gradaudit.cli.explain import explain
from gradaudit.cli.explore import explore
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
from gradaudit.extensions import ExtensionError


class Commands(TyperGroup):
    """The commands; each ends with 2 where what another package adds cannot be used."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except ExtensionError as error:
            leave(str(error))


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help(command: Callable[..., None]) -> str:
    """Return a docstring as the help of a command: each paragraph on one line, and brackets that are no markup."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(text.split()) for text in paragraphs).replace("[", "\\[")


COMMANDS: tuple[Callable[..., None], ...] = (
    run,
    explain,
    guide,
    coverage,
    mutate,
    explore,
    lint,
    init,
    record,
    merge,
    history,
    diff,
    open_page,
    schema,
)
for command in COMMANDS:
    app.command("open" if command is open_page else None, help=_help(command))(command)


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
