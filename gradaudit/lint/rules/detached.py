"""What the three rules about detached tensors share: the new tensors that go on without the tape knowing of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradaudit.lint.source import SourceFile, Unit
from gradaudit.lint.value import How, NewTensor


def detached(source: SourceFile) -> Iterator[tuple[NewTensor, bool]]:
    """Yield the tensors built of others' arrays that are lost to the tape, with whether they are part of a sum."""
    for unit in source.units:
        lost = unit.flow.lost
        if lost and source.should_stay_on_tape(unit) and not _has_other_branch(unit):
            for new in sorted(lost, key=lambda new: (new.call.lineno, new.call.col_offset)):
                yield new, new.how is How.SUMMED or (new.how is How.AS_IS and new in unit.flow.seen.added)


def _has_other_branch(unit: Unit) -> bool:
    """Whether the function asks if a gradient is needed and records elsewhere: then this is where none is."""
    if not unit.flow.seen.recorded:
        return False
    tests = (node.test for node in ast.walk(unit.node) if isinstance(node, (ast.If, ast.IfExp)))
    return any("grad" in ast.unparse(test) for test in tests)
