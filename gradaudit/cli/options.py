"""Options that several commands take, in the same words."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

PRETTY: Literal["rich"] | None = "rich" if sys.stdout is not None and sys.stdout.isatty() else None
"""How help is written: by Rich for a terminal, and plainly, which takes half the time, for whatever else reads it."""


def shown(text: str) -> str:
    """Return help as it is written to be shown: its brackets are no markup of Rich's."""
    return text.replace("[", "\\[") if PRETTY else text


DtypeName = StrEnum("DtypeName", ["float16", "bfloat16", "float32", "float64", "complex64", "complex128"])

A_YEAR = 365 * 86_400.0
"""Seconds that nobody waits for: the clocks of some systems cannot count much more."""

Dtypes = Annotated[list[DtypeName] | None, typer.Option(help="Audit in this dtype instead; repeatable.")]
Json = Annotated[str | None, typer.Option(metavar="FILE", help="Write the results as JSON; - is stdout.")]
Html = Annotated[str | None, typer.Option(metavar="FILE", help="Write a page for a browser; - is stdout.")]
Junit = Annotated[str | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML; - is stdout.")]
Reports = Annotated[
    list[str] | None,
    typer.Option("--report", metavar="NAME=FILE", help="Write a report in a format of this name; repeatable."),
]
MaxRows = Annotated[int, typer.Option(min=0, help="Rows of a mismatch table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="One line per unexpected gradient, and one at the end.")]
AllowInconclusive = Annotated[bool, typer.Option("--allow-inconclusive", help="Inconclusive results fail no run.")]
Store = Annotated[Path | None, typer.Option(metavar="FILE", help="The store.", show_default="the project's")]
NoStore = Annotated[bool, typer.Option("--no-store", help="Record nothing.")]
