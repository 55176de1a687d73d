"""The console that commands write to."""

from __future__ import annotations

import io

from rich.console import Console
from rich.markdown import Markdown


def open_console(*, stderr: bool = False) -> Console:
    """Return the console of standard output or error: colour and width are those of the terminal, if it is one."""
    console = Console(stderr=stderr, highlight=False)
    if isinstance(console.file, io.TextIOWrapper):  # a locale without the op's characters is no reason to stop
        console.file.reconfigure(errors="backslashreplace")
    return console


def print_markdown(text: str, console: Console) -> None:
    """Write Markdown as the console can show it."""
    console.print(Markdown(text, code_theme="bw" if console.color_system is None else "ansi_dark"))
