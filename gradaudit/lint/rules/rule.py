"""What a rule is."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from gradaudit.lint.source import SourceFile


@dataclass(frozen=True)
class Breach:
    """Where a rule is broken: the expression or statement, what is lost there, and what to write instead."""

    node: ast.expr | ast.stmt
    why: str
    fix: str


Check: TypeAlias = Callable[[SourceFile], Iterable[Breach]]


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: what it is selected and ignored by.
        summary: what it finds, in a line.
        check: finds where a file breaks it.

    """

    name: str
    summary: str
    check: Check


def listed(names: Iterable[str], limit: int = 3) -> str:
    """Write names of tensors in a message, the first few of them."""
    short = [name if len(name) <= 40 else f"{name[:37]}..." for name in sorted(names)]
    rest = len(short) - limit
    shown = short[:limit] + ([f"{rest} more"] if rest > 0 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
