"""Results made by hand, and reports of them on paper instead of a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from gradaudit.engine.events import CaseDone, CaseFinished, Event, RunFinished, RunStarted
from gradaudit.report.terminal import TerminalReport
from gradaudit.results import Mismatch, Result, Verdict


class Paper(io.StringIO):
    """A stream that is a terminal or is not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def made_mismatch(index: Sequence[int] = (0,), analytical: Any = 1.5, numerical: Any = 1.0, **keys: Any) -> Mismatch:
    """Return a mismatch at an index, its difference and tolerance following from its two values."""
    difference = abs(analytical - numerical)
    tolerance = 1e-6 + 1e-4 * abs(numerical)
    return Mismatch(tuple(index), analytical, numerical, keys.pop("error_bound", 3.1e-8), difference, tolerance, **keys)


def made_result(verdict: str = "pass", mismatches: Sequence[Mismatch] = (), **keys: Any) -> Result:
    """Return a result; it is expected where it passes, unless the keys say otherwise."""
    size = keys.pop("size", max(12, len(mismatches)))
    defaults: dict[str, Any] = {
        "op": "norm",
        "module": "normalization",
        "case": "default",
        "dtype": "float32",
        "input": "x",
        "verdict": Verdict(verdict),
        "expected": verdict == "pass",
        "size": size,
        "checked": size,
        "wrong": len(mismatches) if verdict == "fail" else 0,
        "evaluations": 50,
        "forwards": 70,
        "backwards": 8,
        "seconds": 0.25,
        "resolution": 1e-6,
        "rtol": 1e-4,
        "atol": 1e-6,
        "message": f"{len(mismatches)} of {size} indices wrong" if verdict == "fail" and mismatches else "",
        "mismatches": tuple(mismatches),
        "location": "specs/norm.yaml:7",
    }
    return Result(**defaults | keys)


def events_of(results: Iterable[Result | Sequence[Result]], *, interrupted: bool = False) -> list[Event]:
    """Return the events of a run that gives these results, a case for each or for each sequence of them."""
    cases = [(entry,) if isinstance(entry, Result) else tuple(entry) for entry in results]
    events: list[Event] = [RunStarted(len(cases) + interrupted, len({case[0].op for case in cases}))]
    for k, case in enumerate(cases):
        name = f"{case[0].module}/{case[0].op}::{case[0].case}[{case[0].dtype}]"
        events += [CaseDone(name, k + 1, len(cases)), CaseFinished(name, case, check_evaluations=2)]
    return [*events, RunFinished(1.5, interrupted)]


def terminal_text(
    results: Iterable[Result | Sequence[Result]],
    *,
    width: int = 80,
    terminal: bool = False,
    colour: bool = False,
    interrupted: bool = False,
    **options: Any,
) -> str:
    """Return what the terminal's report writes, with escapes only where colour is asked for or a bar is drawn."""
    paper = Paper(terminal=terminal)
    console = Console(
        file=paper, width=width, highlight=False, color_system="standard" if colour else None, force_terminal=colour
    )
    report = TerminalReport(console, **options)
    for event in events_of(results, interrupted=interrupted):
        report(event)
    return paper.getvalue()
