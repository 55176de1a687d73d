"""Where a function stands in source."""

from __future__ import annotations

import functools
import inspect
import linecache
import os
import re
from pathlib import Path
from types import CodeType
from typing import Any

from gradaudit.results import SourceLine

BEGINS = re.compile(r"\s*(async\s+)?(def|class)\b|.*\blambda\b")
"""How a definition begins, after its decorators."""


def place_of(function: Any) -> SourceLine | None:
    """Return where a function or a class is defined; None for what is not written in Python."""
    code = code_of(function)
    return None if code is None else _place_of_code(code, code.co_filename, os.getcwd())


@functools.lru_cache
def _place_of_code(code: CodeType, file: str, here: str) -> SourceLine | None:
    """Return the place of code that stands in a file: the same code in another file is equal to it."""
    if not Path(file).is_file():
        return None
    return SourceLine(_seen_from(Path(here), file), _line_of_definition(code), code.co_qualname)


def plain_function(function: Any) -> Any:
    """Return the function inside of a method, a partial application or what wraps it."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.ismethod(function) or isinstance(function, (staticmethod, classmethod)):
            function = function.__func__
        else:
            return function


def code_of(function: Any) -> CodeType | None:
    """Return the code of a function, of the method that calls an object, or of a class's ``forward``."""
    found = plain_function(function)
    if inspect.isclass(found) or not hasattr(found, "__code__"):
        owner = found if inspect.isclass(found) else type(found)
        found = plain_function(getattr(owner, "forward", None) or getattr(owner, "__call__", None))  # noqa: B004
    code = getattr(found, "__code__", None)
    return code if isinstance(code, CodeType) else None


def _line_of_definition(code: CodeType) -> int:
    """Return the line of ``def``; code begins at its first decorator."""
    lines = linecache.getlines(code.co_filename)
    first = code.co_firstlineno
    rest = range(first, min(first + 50, len(lines) + 1))
    return next((line for line in rest if BEGINS.match(lines[line - 1])), first)


def _seen_from(here: Path, file: str) -> str:
    path = Path(file).resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)
