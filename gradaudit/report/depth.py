"""How deep cases went into an implementation, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradaudit.engine.events import DepthMeasured
from gradaudit.report import numbers
from gradaudit.results import Branch, FunctionDepth


def depth_lines(measured: Sequence[DepthMeasured]) -> Iterator[str]:
    """Yield what each op's cases never reached, indented below its name, and the whole in a line."""
    for depth in measured:
        if missed := list(never_reached(depth.functions)):
            yield f"{depth.op}: {counted(depth.functions)} reached; never"
            yield from (f"  {place}: {what}" for place, what in missed)
    everything = [function for depth in measured for function in depth.functions]
    yield f"Depth: {counted(everything)} of {numbers.counted(len(measured), 'implementation')} reached"


def counted(functions: Sequence[FunctionDepth]) -> str:
    """Write how many lines, and branches where there are any, were reached: ``11 of 12 lines, 3 of 4 branches``."""
    lines, branches = reached_lines(functions), reached_branches(functions)
    said = [f"{lines[0]:,} of {numbers.counted(lines[1], 'line')}"]
    if branches[1]:
        said.append(f"{branches[0]:,} of {numbers.counted(branches[1], 'branch', 'branches')}")
    return ", ".join(said)


def reached_lines(functions: Sequence[FunctionDepth]) -> tuple[int, int]:
    """Return how many lines were reached, and how many there are."""
    lines = sum(function.lines for function in functions)
    return lines - sum(len(function.missed_lines) for function in functions), lines


def reached_branches(functions: Sequence[FunctionDepth]) -> tuple[int, int]:
    """Return how many branches were taken, and how many there are."""
    branches = sum(function.branches for function in functions)
    return branches - sum(len(function.missed_branches) for function in functions), branches


def never_reached(functions: Sequence[FunctionDepth]) -> Iterator[tuple[str, str]]:
    """Yield ``file:line`` and what is there, for each line and each branch that was never reached.

    Branches from and to a line that is listed itself are left out.
    """
    for function in functions:
        missed = dict(function.missed_lines)
        for line, text in function.missed_lines:
            yield f"{function.file}:{line}", text
        for start, end in function.missed_branches:
            if start not in missed and end not in missed:
                yield f"{function.file}:{start}", _untaken((start, end))


def _untaken(branch: Branch) -> str:
    return f"never continues to line {branch[1]}" if branch[1] > 0 else "never returns from here"
