"""Comments that say a rule is broken on purpose: ``# gradaudit: ignore`` and ``# gradaudit: ignore[rule, rule]``."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MARK = re.compile(r"#\s*gradaudit:\s*ignore\b(?P<list>\s*\[(?P<rules>[^\]]*)\])?", re.IGNORECASE)


@dataclass(frozen=True)
class Ignore:
    """A comment that ignores rules on its line; all of them where it names none.

    Attributes:
        line: its line, from 1.
        column: its column, from 1.
        rules: the rules that it names; None where it has no list.

    """

    line: int
    column: int
    rules: tuple[str, ...] | None

    def covers(self, rule: str) -> bool:
        """Whether this rule is ignored on the line."""
        return self.rules is None or rule in self.rules


def ignores_in(source: bytes) -> Mapping[int, Ignore]:
    """Return the ignores of a file by line; what stands in a string is no comment."""
    if b"gradaudit" not in source:
        return {}
    return {ignore.line: ignore for ignore in _found(source)}


def _found(source: bytes) -> Iterator[Ignore]:
    try:
        for token in tokenize.tokenize(io.BytesIO(source).readline):
            mark = MARK.search(token.string) if token.type == tokenize.COMMENT else None
            if mark is not None:
                named = mark["rules"]
                rules = None if named is None else tuple(word.strip() for word in named.split(",") if word.strip())
                yield Ignore(token.start[0], token.start[1] + mark.start() + 1, rules)
    except (tokenize.TokenError, SyntaxError):  # the parser has said so already
        return
