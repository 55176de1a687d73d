"""``detached-output``: a function returns a tensor that was built of other tensors' arrays and is not on the tape."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.lint.rules.detached import detached
from gradaudit.lint.rules.rule import Breach, Rule, listed
from gradaudit.lint.source import SourceFile
from gradaudit.lint.value import How


def _check(source: SourceFile) -> Iterator[Breach]:
    for new, summed in detached(source):
        if not summed and new.how is not How.RESHAPED:
            why = f"a new tensor is made of the values of {listed(new.sources)} off the tape: no gradient flows back"
            yield Breach(new.call, why, "compute it with the tensors' own operations, or set its grad function")


RULE = Rule("detached-output", "a new tensor made of .data is passed on without a grad function", _check)
