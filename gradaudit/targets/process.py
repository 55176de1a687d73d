"""Ops that a child process answers for, in any language; ``gradaudit guide process`` says what it has to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any

from numpy.typing import NDArray

from gradaudit.spec.case import Case, ProcessTarget
from gradaudit.spec.dtypes import has_derivatives
from gradaudit.spec.errors import nearest
from gradaudit.targets.child import Child
from gradaudit.targets.message import Message, MessageError
from gradaudit.targets.op import LostOpError, OpError

Array = NDArray[Any]

PROTOCOL = "1"
"""The version of the messages: what a child says it speaks when it is asked to describe an op."""


@dataclass(frozen=True)
class ProcessOp:
    """An op whose forward and backward are answered by a child process.

    Attributes:
        child: the process.
        name: what it knows the op by.
        params: as JSON.
        args: what backward is sent, in the words of a spec's ``args``; None for everything.
        counted: positions of the outputs that count; None for all floating ones.

    """

    child: Child = field(repr=False)
    name: str
    params: str
    args: tuple[str, ...] | None = None
    counted: tuple[int, ...] | None = None

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return the arrays of the answer that are named ``output[0]``, ``output[1]`` and so on."""
        answer = self._ask("forward", inputs)
        names = takewhile(answer.__contains__, (f"output[{k}]" for k in count()))
        outputs = tuple(answer[name] for name in names)
        for k in self.counted or ():
            if k >= len(outputs) or not has_derivatives(outputs[k].dtype):
                raise OpError(f"output {k} counts, but forward answered {_in_words(answer)}")
        if not self.differentiable_outputs(outputs):
            found = f"found {_in_words(answer)}"
            raise OpError(f"forward's answer has no floating array output[0] to differentiate; {found}")
        return outputs

    def differentiable_outputs(self, outputs: tuple[Array, ...]) -> tuple[int, ...]:
        """Return the positions named by the spec or the process, else those of all floating outputs."""
        floating = (k for k, out in enumerate(outputs) if has_derivatives(out.dtype))
        return self.counted if self.counted is not None else tuple(floating)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Array, ...]
    ) -> dict[str, Array | None]:
        """Return the arrays of the answer, which are named as the inputs that they are the gradients of."""
        counted = self.differentiable_outputs(outputs)
        known = {f"upstream[{k}]": part for k, part in zip(counted, upstream, strict=True)}
        known |= {f"output[{k}]": out for k, out in enumerate(outputs)}
        known |= inputs
        sent = known if self.args is None else {name: known[name] for name in known if _is_wanted(name, self.args)}
        answer = self._ask("backward", sent)
        if unknown := [name for name in answer if name not in inputs]:
            hint = nearest(unknown[0], inputs) or f"; expected {', '.join(inputs)}"
            raise OpError(f"backward answered a gradient of '{unknown[0]}', which is no input{hint}")
        return dict(answer)

    def close(self) -> None:
        """End the process."""
        self.child.end()

    def _ask(self, call: str, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return ask(self.child, call, self.name, self.params, arrays).arrays


def ask(child: Child, call: str, op: str, params: str, arrays: Mapping[str, Array] | None = None) -> Message:
    """Return what a child answers to a call.

    Raises:
        OpError: where it answers with an error, or the arrays cannot be sent.
        LostOpError: where it does not answer.

    """
    try:
        answer = child.ask(call, Message(arrays or {}, {"call": call, "op": op, "params": params}))
    except MessageError as error:
        raise OpError(f"{call} cannot be asked for: {error}") from None
    if (error_text := answer.texts.get("error")) is not None:
        raise OpError(f"{call} answered with an error: {error_text}")
    return answer


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
        args, counted = _args(description, case), _counted(description)
    except BaseException:
        child.end()
        raise
    return ProcessOp(child, target.op, params, args, target.differentiable_outputs or counted)


def _args(description: Mapping[str, str], case: Case) -> tuple[str, ...] | None:
    args = _listed(description, "args", str)
    names = [made.name for made in case.inputs]
    for word in args or ():
        if word not in names and not re.fullmatch(r"(upstream|output)(\[\d+\])?", word):
            known = nearest(word, names) or f"; expected upstream, output, output[k] or an input ({', '.join(names)})"
            raise OpError(f"the process names '{word}' among backward's args, which is nothing that there is{known}")
    return args


def _counted(description: Mapping[str, str]) -> tuple[int, ...] | None:
    counted = _listed(description, "differentiable", int)
    if counted and min(counted) < 0:
        raise OpError(f"the process says that output {min(counted)} counts; positions begin at 0")
    return counted


def _as_json(params: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(params), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise OpError(f"the params cannot be sent to a process, which gets them as JSON: {error}") from None


def _listed(description: Mapping[str, str], key: str, kind: type) -> tuple[Any, ...] | None:
    """Return a list that a description holds as JSON, None where it does not have it."""
    if (text := description.get(key)) is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(type(item) is kind for item in found):
        expected = '["upstream", "x"]' if kind is str else "[0]"
        raise OpError(f"the process describes the op with {key} {text[:60]!r}; expected a JSON list such as {expected}")
    return tuple(found)


def _is_wanted(name: str, args: Sequence[str]) -> bool:
    return name in args or name.partition("[")[0] in args


def _in_words(answer: Mapping[str, Array]) -> str:
    return ", ".join(f"{name}: {array.dtype}" for name, array in answer.items()) or "nothing"
