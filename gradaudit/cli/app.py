"""The application that all commands are registered with."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from gradaudit.cli.ending import leave
from gradaudit.cli.options import PRETTY, shown
from gradaudit.extensions import ExtensionError

COMMANDS = {
    "run": "run",
    "explain": "explain",
    "guide": "guide",
    "coverage": "coverage",
    "mutate": "mutate",
    "explore": "explore",
    "lint": "lint",
    "init": "init",
    "record": "record",
    "merge": "merge",
    "history": "history",
    "diff": "diff",
    "open": "open_page",
    "schema": "schema",
}
"""By each command, the module of this folder that holds a function of its own name: imported when it is asked for."""


def function_of(command: str) -> Callable[..., None]:
    """Return the function of a command."""
    name = COMMANDS[command]
    found: Callable[..., None] = getattr(import_module(f"gradaudit.cli.{name}"), name)
    return found


@cache
def _parser_of(command: str) -> Any:
    """Return the parser of a command, which takes milliseconds to make."""
    function = function_of(command)
    alone = typer.Typer(add_completion=False, rich_markup_mode=PRETTY)
    alone.command(command, help=_help(function))(function)
    return typer.main.get_command(alone)


def _help(function: Callable[..., None]) -> str:
    """Return a docstring as the help of a command: each paragraph on one line."""
    paragraphs = (inspect.getdoc(function) or "").split("\n\n")
    return shown("\n\n".join(" ".join(text.split()) for text in paragraphs))


class Commands(TyperGroup):
    """The commands; each ends with 2 where what another package adds cannot be used."""

    listing = False
    """Whether they are listed: their options do not matter then."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except ExtensionError as error:
            leave(str(error))

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, those first that are needed most."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None where there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        if not self.listing:
            return _parser_of(cmd_name)
        said = _help(function_of(cmd_name))
        return TyperCommand(cmd_name, help=said, short_help=said.partition("\n\n")[0], rich_markup_mode=PRETTY)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the list of the commands."""
        self.listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self.listing = False


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=PRETTY,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
