"""An audit that notes which lines of an op's implementation it executes, by coverage.py."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradaudit.audit.conclusion import Audit
from gradaudit.engine.audit import audit_case
from gradaudit.results import Trace
from gradaudit.spec.case import Case

if TYPE_CHECKING:
    from coverage import Coverage


class NoTracerError(Exception):
    """Depth was asked for, and coverage.py is not installed."""


def require_tracer() -> None:
    """Make sure that coverage.py is there.

    Raises:
        NoTracerError: where it is not, saying how to install it.

    """
    if find_spec("coverage") is None:
        raise NoTracerError("--depth needs coverage.py: pip install 'gradaudit[depth]'")


def new_coverage(**settings: Any) -> Coverage:
    """Return coverage.py's own object, with no files and no settings but these."""
    from coverage import Coverage

    return Coverage(data_file=None, config_file=False, branch=True, **settings)


def audit_traced(files: Sequence[Path], case: Case, *, seconds: float | None = None) -> Audit:
    """Audit a case, and note the steps from line to line that it takes in some files."""
    with noting_steps(files) as trace:
        audit = audit_case(case, seconds=seconds)
    return replace(audit, trace=trace)


@contextmanager
def noting_steps(files: Sequence[Path]) -> Iterator[Trace]:
    """Note the steps from line to line that are taken in some files while the context lasts; they are there after it.

    Nothing is noted of no files.
    """
    trace: dict[str, frozenset[tuple[int, int]]] = {}
    if not files:
        yield trace
        return
    tracer = new_coverage(include=[str(file) for file in files])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an op that fails before it runs leaves nothing to collect
        tracer.start()
        try:
            yield trace
        finally:
            tracer.stop()
            data = tracer.get_data()
            trace |= {file: frozenset(data.arcs(file) or ()) for file in data.measured_files()}
