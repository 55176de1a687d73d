"""Ops that a child process answers for, in any language; ``gradaudit guide process`` says what it has to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from gradaudit.spec.case import Case
from gradaudit.spec.errors import nearest
from gradaudit.spec.op_targets import ProcessTarget
from gradaudit.targets.child import Child
from gradaudit.targets.op import LostOpError, OpError
from gradaudit.targets.process_op import ProcessOp, ask
from gradaudit.targets.process_points import ProcessOpOfMany

PROTOCOL = "1"
"""The version of the messages: what a child says it speaks when it is asked to describe an op."""


def open_process(target: ProcessTarget, case: Case) -> ProcessOp:
    """Start the process of a target, have it describe the op, and bind the case's params to it.

    Raises:
        OpError: where it cannot be started, does not know the op, or describes it in a way that makes no sense.
        LostOpError: where it does not answer, or speaks another version of the protocol.

    """
    params = _as_json(case.params)
    child = Child(target.command, target.folder, target.timeout)
    try:
        description = ask(child, "describe", target.op, params).texts
        if (spoken := description.get("protocol")) != PROTOCOL:
            raise LostOpError(f"the process answers describe with protocol {spoken!r}; expected {PROTOCOL!r}")
        args, counted, most = _args(description, case), _counted(description), _most(description)
    except BaseException:
        child.end()
        raise
    counted = target.differentiable_outputs or counted
    if most > 1:
        return ProcessOpOfMany(child, target.op, params, args, counted, most=most)
    return ProcessOp(child, target.op, params, args, counted)


def _args(description: Mapping[str, str], case: Case) -> tuple[str, ...] | None:
    args = _listed(description, "args", str)
    names = [made.name for made in case.inputs]
    for word in args or ():
        if word not in names and not re.fullmatch(r"(upstream|output)(\[\d+\])?", word):
            known = nearest(word, names) or f"; expected upstream, output, output[k] or an input ({', '.join(names)})"
            raise OpError(f"the process names '{word}' among backward's args, which does not exist{known}")
    return args


def _counted(description: Mapping[str, str]) -> tuple[int, ...] | None:
    counted = _listed(description, "differentiable", int)
    if counted is None:
        return None
    if not counted or len(set(counted)) < len(counted):
        found = f"outputs {list(counted)}" if counted else "no output"
        raise OpError(f"the process counts {found}; expected each position once, and at least one")
    if min(counted) < 0:
        raise OpError(f"the process says that output {min(counted)} counts; positions begin at 0")
    return counted


def _most(description: Mapping[str, str]) -> int:
    """Return how many points a description says that forward may be asked for at once."""
    text = description.get("points", "1")
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise OpError(f"the process describes the op with points {text[:60]!r}; expected a whole number such as 64")
    return int(text)


def _as_json(params: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(params), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise OpError(f"the params cannot be sent to a process, which gets them as JSON: {error}") from None


def _listed(description: Mapping[str, str], key: str, kind: type) -> tuple[Any, ...] | None:
    """Return a list that a description holds as JSON, None where it does not have it."""
    if (text := description.get(key)) is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(type(item) is kind for item in found):
        expected = '["upstream", "x"]' if kind is str else "[0]"
        raise OpError(f"the process describes the op with {key} {text[:60]!r}; expected a JSON list such as {expected}")
    return tuple(found)
