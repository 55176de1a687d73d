"""``detached-residual``: a sum of tensors is made of their arrays, or one branch of it is."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.lint.rules.detached import detached
from gradaudit.lint.rules.rule import Breach, Rule, listed
from gradaudit.lint.source import SourceFile


def _check(source: SourceFile) -> Iterator[Breach]:
    for new, summed in detached(source):
        if summed:
            why = f"the sum takes the values of {listed(new.sources)} off the tape: no gradient flows back"
            yield Breach(new.call, why, "add the tensors themselves: x + y")


RULE = Rule("detached-residual", "a residual connection adds .data instead of tensors", _check)
