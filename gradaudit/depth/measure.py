"""From the steps that cases took to the lines and branches that they never reached."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gradaudit.depth.implementation import Function
from gradaudit.depth.trace import new_coverage
from gradaudit.engine.events import CaseDone, DepthMeasured, Event, Handler, RunFinished
from gradaudit.results import Branch, FunctionDepth, Trace
from gradaudit.spec.case import Case

COMPLAINTS = r"^\s*raise\b"
"""Lines that do not count: an op that raises has failed its audit, so that no case of a right one gets there."""


class DepthMeter:
    """A handler of events that says before the end of a run how deep its cases went, and passes all events on.

    Args:
        emit: told of everything.
        cases: the cases of the run.
        implementations: the functions of each op, by the op.
        base: the folder that files are named from.

    """

    def __init__(
        self, emit: Handler, cases: Sequence[Case], implementations: Mapping[str, Sequence[Function]], base: Path
    ) -> None:
        self._emit = emit
        self._op_of = {case.id: case.op for case in cases}
        self._implementations = implementations
        self._base = base
        self._traces: dict[str, list[Trace]] = defaultdict(list)

    def __call__(self, event: Event) -> None:
        """Note what a case executed; measure where the run has ended by itself."""
        if isinstance(event, CaseDone):
            self._traces[self._op_of[event.id]].append(event.trace)
        elif isinstance(event, RunFinished) and not event.interrupted:
            try:
                self._measure()
            except KeyboardInterrupt:
                event = replace(event, interrupted=True)
        self._emit(event)

    def _measure(self) -> None:
        for op, traces in self._traces.items():
            if functions := self._implementations[op]:
                self._emit(DepthMeasured(op, measured(functions, traces, self._base)))


def measured(functions: Sequence[Function], traces: Iterable[Trace], base: Path) -> tuple[FunctionDepth, ...]:
    """Return what some runs of functions executed of them, by file and line.

    Args:
        functions: the functions.
        traces: the steps that each run took.
        base: the folder that files are named from.

    """
    steps: dict[str, set[tuple[int, int]]] = {str(function.file): set() for function in functions}
    for trace in traces:
        for file, taken in trace.items():
            steps.setdefault(file, set()).update(taken)
    report = _report(steps)
    ordered = sorted(functions, key=lambda function: (function.file, function.line))
    return tuple(_depth(function, report.get(str(function.file), {}), base) for function in ordered)


def _report(steps: Mapping[str, Iterable[tuple[int, int]]]) -> Mapping[str, Any]:
    """Return coverage.py's findings for each file, by its full name."""
    tracer = new_coverage()
    tracer.exclude(COMPLAINTS)
    tracer.get_data().add_arcs({file: list(taken) for file, taken in steps.items()})
    with TemporaryDirectory(prefix="gradaudit-") as folder:
        file = Path(folder, "depth.json")
        tracer.json_report(outfile=str(file), ignore_errors=True)
        files = json.loads(file.read_text(encoding="utf-8"))["files"]
    return {str(Path(name).resolve()): found for name, found in files.items()}


def _depth(function: Function, found: Mapping[str, Any], base: Path) -> FunctionDepth:
    executed, missed = (_within(function, found.get(f"{which}_lines", [])) for which in ("executed", "missing"))
    taken, untaken = (_leaving(function, found.get(f"{which}_branches", [])) for which in ("executed", "missing"))
    text = function.file.read_text(encoding="utf-8", errors="replace").split("\n")
    inside = function.file.is_relative_to(base)
    return FunctionDepth(
        function=function.name,
        file=(function.file.relative_to(base) if inside else function.file).as_posix(),
        line=function.line,
        lines=len(executed) + len(missed),
        missed_lines=tuple((line, text[line - 1].strip()) for line in missed),
        branches=len(taken) + len(untaken),
        missed_branches=untaken,
    )


def _within(function: Function, lines: Sequence[int]) -> list[int]:
    return [line for line in lines if line in function.body]


def _leaving(function: Function, steps: Sequence[Sequence[int]]) -> tuple[Branch, ...]:
    """Return the steps from lines of the function; where its ``def`` is on one of them, that is the module's."""
    return tuple((start, end) for start, end in steps if start in function.body and start != function.line)
