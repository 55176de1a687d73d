"""Backward passes in any language, found by regular expressions with a group named ``op``."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from gradaudit.coverage.passes import BackwardPass, Kind
from gradaudit.time_limit import TooLongError, time_limit

TIME_LIMIT = 2.0
"""Seconds that the patterns may take for one file: a million characters take a sensible one 10 ms."""

C_FAMILY = r"[\w>*&]\s+[*&]*(?:\w+::)*(?P<op>\w+)_(?:backward|bwd|backprop|vjp)\s*\([^;{}]*\{"
C_CAMEL = r"[\w>*&]\s+[*&]*(?:\w+::)*(?P<op>\w*[a-z0-9])(?:Backward|Backprop|Bwd)\s*\([^;{}]*\{"
C_PREFIXED = r"[\w>*&]\s+[*&]*(?:\w+::)*(?:backward|bwd|backprop)_(?P<op>\w+)\s*\([^;{}]*\{"
"""A definition, not a declaration or a call: the end of a type before it, and a brace behind it."""

BUILT_IN = (
    ("*.mojo", r"\b(?:fn|def)\s+(?P<op>\w+)_backward\s*[\[(]"),
    ("*.rs", r"\bfn\s+(?P<op>\w+)_(?:backward|vjp)\s*[<(]"),
    ("*.jl", r"\brrule\([^)\n]*::typeof\((?P<op>[\w.!]+)\)"),
    ("*.jl", r"@adjoint!?\s+(?:function\s+)?(?P<op>[\w.!]+)\("),
    ("*.jl", r"\bfunction\s+(?:\w+\.)*(?P<op>\w+)_(?:backward|pullback)!?\s*[({]"),
    ("*.jl", r"^[ \t]*(?P<op>\w+)_(?:backward|pullback)!?\([^\n]*\)[ \t]*(?:where[^\n=]*)?=[^=]"),
    ("*.swift", r"@derivative\(of:\s*(?P<op>\w+)"),
    ("*.go", r"\bfunc\s+(?:\([^)]*\)\s*)?(?P<op>\w+)Backward\("),
    *(
        (f"*.{suffix}", expression)
        for suffix in ("c", "cc", "cpp", "cxx", "cu", "cuh", "h", "hpp", "metal")
        for expression in (C_FAMILY, C_CAMEL, C_PREFIXED)
    ),
)
"""Patterns of file names, and what a backward pass looks like in them."""


class PatternError(Exception):
    """A regular expression cannot be used; says which and why."""


class OutOfTime(str):
    """What is said of a file that a pattern did not get through in time."""


@dataclass(frozen=True)
class Pattern:
    """A regular expression with a group named ``op``, and the pattern of the file names that it is for."""

    files: str
    expression: re.Pattern[str]


def compiled_patterns(given: Mapping[str, str]) -> tuple[Pattern, ...]:
    """Return a project's own patterns by the pattern of their files' names, then the ones that are built in.

    Raises:
        PatternError: where an expression is not one, or has no group named ``op``.

    """
    own = tuple(_compiled(files, expression) for files, expression in given.items())
    return own + tuple(_compiled(*entry) for entry in BUILT_IN if entry[0] not in given)


def _compiled(files: str, text: str) -> Pattern:
    try:
        expression = re.compile(text, re.MULTILINE)
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternError(f"the pattern for {files} is not a regular expression: {error}: {text}") from None
    if "op" not in expression.groupindex:
        known = sorted(expression.groupindex)
        found = f"found {', '.join(known)}" if known else "found none"
        raise PatternError(f"the pattern for {files} needs a group (?P<op>...) around the op's name, {found}: {text}")
    return Pattern(files, expression)


def patterns_for(name: str, patterns: Sequence[Pattern]) -> list[Pattern]:
    """Return the patterns that are for files of a name."""
    return [pattern for pattern in patterns if fnmatchcase(name, pattern.files)]


def pattern_passes(source: bytes, file: Path, patterns: Sequence[Pattern]) -> list[BackwardPass] | str:
    """Return the backward passes that patterns find in a file, each op once, or in words why it cannot be searched."""
    if b"\0" in source:
        return "is a binary file"
    text = source.decode("utf-8", errors="replace")
    ends = [match.start() for match in re.finditer("\n", text)]
    found: dict[str, BackwardPass] = {}
    try:
        with time_limit(TIME_LIMIT):
            for pattern in patterns:
                for match in pattern.expression.finditer(text):
                    op, line = match["op"], bisect(ends, match.start("op") - 1) + 1
                    if op:
                        found.setdefault(op, BackwardPass(file, line, _word(text, match), op, Kind.PATTERN))
    except TooLongError:
        said = "; ".join(pattern.expression.pattern for pattern in patterns)
        return OutOfTime(f"took the pattern longer than {TIME_LIMIT:g} s: {said}")
    return sorted(found.values(), key=lambda one: (one.line, one.op))


def _word(text: str, match: re.Match[str]) -> str:
    """Return the whole word that the op's name is a part of: ``relu_backward`` for ``relu``."""
    begin, end = match.span("op")
    while begin > 0 and (text[begin - 1].isalnum() or text[begin - 1] == "_"):
        begin -= 1
    rest = re.compile(r"\w*").match(text, end)
    return text[begin:end] + (rest[0] if rest else "")
