"""The console that commands write to."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO, Any, ClassVar

from rich.console import Console, ConsoleOptions, RenderableType


def open_console(*, stderr: bool = False) -> Console:
    """Return the console of standard output or error: colour and width are those of the terminal, if it is one."""
    console = Console(stderr=stderr, highlight=False)
    if isinstance(console.file, io.TextIOWrapper):  # a locale without the op's characters is no reason to stop
        console.file.reconfigure(errors="backslashreplace")
    return console


def without_commands(console: Console) -> Console:
    """Return a console like this one, none of whose lines is a command to GitHub Actions, whatever an op printed.

    A command begins with ``::`` after blanks, or stands anywhere after ``##[``; a backslash before it makes it text.
    """
    stream: Any = _Tame(console.file)
    tame = Console(file=stream, highlight=False, force_terminal=console.is_terminal, width=console.width)
    tame.no_color = console.no_color
    return tame


def tamed(text: str) -> str:
    """Return a text none of whose lines is a command."""
    return _COMMAND.sub(r"\1\\\2", text)


class _Tame:
    """A stream that takes what would be a command for text."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.encoding = getattr(stream, "encoding", "utf-8")

    def write(self, text: str) -> int:
        return self._stream.write(tamed(text))

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()


_COMMAND = re.compile(r"(^(?:\s|\x1b\[[0-9;]*m)*|#(?=#\[))(::|#\[)", re.MULTILINE)


WIDE = 160
"""Columns of a table in a pipe or a log, where nothing is cut."""


def open_console_for_tables() -> Console:
    """Return the console of standard output: no wider than the terminal, and where there is none as wide as tables."""
    console = open_console()
    if not console.file.isatty() and console.width <= 80:
        console.width = WIDE
    return console


def print_markdown(text: str, console: Console) -> None:
    """Write Markdown as the console can show it; code begins at the left edge, so that it can be copied."""
    from rich.markdown import CodeBlock, Markdown  # which takes a tenth of the time that a command takes to start
    from rich.syntax import Syntax

    class Code(CodeBlock):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
            code = Syntax(str(self.text).rstrip(), self.lexer_name, theme=self.theme)
            yield code.highlight(code.code)

    class Page(Markdown):
        elements: ClassVar = {**Markdown.elements, "fence": Code, "code_block": Code}

    with console.capture() as written:
        console.print(Page(text, code_theme="bw" if console.color_system is None else "ansi_dark"))
    console.file.write(re.sub(" +$", "", written.get(), flags=re.MULTILINE))
