"""What an op consists of: the functions that may be edited, and those of its forward, which say what is right."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from gradaudit.repair.program import Program, program_of
from gradaudit.source.place import plain_function
from gradaudit.source.written import NoSourceError, Written, reached, written
from gradaudit.targets import written_backwards
from gradaudit.targets.framework_op import FrameworkOp
from gradaudit.targets.op import Op
from gradaudit.targets.process_op import ProcessOp


@dataclass(frozen=True)
class Parts:
    """The program of a backward, and the source of what its forward calls."""

    program: Program
    forward: tuple[Written, ...]


def parts_of(op: Op, inputs: dict[str, Any] | None) -> Parts:
    """Return what of an op may be edited: its backward and what that calls, as far as forward does not call it too.

    Args:
        op: the op.
        inputs: some that it takes, to see what a framework's function calls.

    Raises:
        NoSourceError: saying why nothing may be.

    """
    if isinstance(op, ProcessOp):
        raise NoSourceError("its backward runs in a process of its own, whose source is not available")
    backwards = written_backwards(op, inputs)
    if not backwards:
        raise NoSourceError("its backward is not in Python source that can be read")
    backward = plain_function(backwards[0])
    if isinstance(op, FrameworkOp) and backward is plain_function(op.written):
        raise NoSourceError("it has no backward of its own: its derivative is the framework's")
    forward = {made: None for function in _forwards(op, backward) for made in reached(function)}
    if backward in forward:
        raise NoSourceError("forward and backward are one function")
    editable = [made for made in reached(backward) if made not in forward]
    if not editable:
        raise NoSourceError("its backward is not a function in Python")
    return Parts(program_of(editable), tuple(_written(forward)))


def _forwards(op: Any, backward: Any) -> Iterator[Any]:
    yield from filter(None, (getattr(op, name, None) for name in ("forward_function", "stand_in")))
    target = getattr(op, "target", None)
    name = getattr(target, "forward", "forward")
    make, given = getattr(op, "make", None), getattr(op, "written", None)
    owner_name = getattr(backward, "__qualname__", "").rpartition(".")[0]
    owner = getattr(backward, "__globals__", {}).get(owner_name)
    for held in (make, given, owner):
        if inspect.isclass(held):
            yield from (vars(held)[each] for each in (name, "__init__", "setup_context") if each in vars(held))
        elif held is not None:
            yield held
    applied = getattr(getattr(given, "__self__", None), "forward", None)  # of Function.apply
    if applied is not None:
        yield applied


def _written(functions: dict[FunctionType, None]) -> Iterator[Written]:
    for function in functions:
        try:
            yield written(function)
        except NoSourceError:
            continue
