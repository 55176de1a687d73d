"""Targets: how an op's implementation is reached. One file for each kind, and the protocol that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gradaudit.spec.case import Case, HeldTarget, ProcessTarget, PythonTarget, Target
from gradaudit.targets.op import Op
from gradaudit.targets.process import open_process
from gradaudit.targets.python import imported_names, open_python


@dataclass(frozen=True)
class TargetKind:
    """What is known of a kind of target: how to open it, and what it imports, by the path that names it in a spec."""

    open: Callable[[Any, Case], Op]
    imported_names: Callable[[Any], Mapping[tuple[str, ...], str]]


def _nothing(target: Target) -> Mapping[tuple[str, ...], str]:
    return {}


TARGET_KINDS: Mapping[type, TargetKind] = {
    PythonTarget: TargetKind(open_python, imported_names),
    ProcessTarget: TargetKind(open_process, _nothing),
    HeldTarget: TargetKind(lambda target, case: target.open(case), _nothing),
}


def open_op(case: Case) -> Op:
    """Return the op that the case's target reaches, with the case's params bound.

    Raises:
        OpError: where a module or function cannot be imported, or a process not be started.
        LostOpError: where a process does not answer.

    """
    return TARGET_KINDS[type(case.target)].open(case.target, case)


@contextmanager
def opened(case: Case) -> Iterator[Op]:
    """Open the op of a case as ``open_op`` does; the process that it may hold ends with the context."""
    op = open_op(case)
    try:
        yield op
    finally:
        if callable(close := getattr(op, "close", None)):
            close()


def names_to_import(target: Target) -> Mapping[tuple[str, ...], str]:
    """Return the ``module:function`` names that a target needs, by their path in the spec."""
    return TARGET_KINDS[type(target)].imported_names(target)
