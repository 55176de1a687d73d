"""``gradaudit guide``: how-to pages."""

from __future__ import annotations

from typing import Annotated

import typer

from gradaudit.cli.completion import guides
from gradaudit.cli.ending import leave


def guide(
    name: Annotated[
        str | None,
        typer.Argument(help="Which guide; without it, all are listed.", show_default=False, autocompletion=guides),
    ] = None,
) -> None:
    """Print a how-to guide, or list them all: tolerances, debugging, new ops, kinks, and so on."""
    from gradaudit.guides import guide as read_guide
    from gradaudit.guides import guide_names
    from gradaudit.report.console import open_console, print_markdown
    from gradaudit.spec.errors import nearest

    names = guide_names()
    if name is None:
        width = max(map(len, names)) + 2
        for known in names:
            typer.echo(f"{known:{width}}{read_guide(known).title}")
        return
    if name not in names:
        hint = nearest(name, names) or f"; there are {', '.join(names)}"
        leave(f"there is no guide '{name}'{hint}")
    print_markdown(read_guide(name).text, open_console())
