"""``detached-reshape``: a tensor is reshaped, transposed or flattened through its array."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.lint.rules.detached import detached
from gradaudit.lint.rules.rule import Breach, Rule, listed
from gradaudit.lint.source import SourceFile
from gradaudit.lint.value import How


def _check(source: SourceFile) -> Iterator[Breach]:
    for new, _ in detached(source):
        if new.how is How.RESHAPED:
            why = f"the values of {listed(new.sources)} are rearranged off the tape: no gradient flows back"
            yield Breach(new.call, why, "use the tensor's own method: x.reshape(...), x.transpose(...)")


RULE = Rule("detached-reshape", "a tensor is reshaped through .data", _check)
