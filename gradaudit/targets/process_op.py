"""An op whose every call is a message to a child process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from typing import Any

from numpy.typing import NDArray

from gradaudit.spec.dtypes import has_derivatives
from gradaudit.spec.errors import nearest
from gradaudit.targets.child import Child
from gradaudit.targets.message import Message, MessageError
from gradaudit.targets.op import OpError

Array = NDArray[Any]


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
        return self._outputs(self._ask("forward", inputs))

    def _outputs(self, answer: Mapping[str, Array]) -> tuple[Array, ...]:
        names = list(takewhile(answer.__contains__, (f"output[{k}]" for k in count())))
        outputs = tuple(answer[name] for name in names)
        for k in self.counted or ():
            if k >= len(outputs) or not has_derivatives(outputs[k].dtype):
                raise OpError(f"output {k} counts, but forward answered {_in_words(answer)}")
        if not self.differentiable_outputs(outputs):
            found = f"found {_in_words(answer)}"
            raise OpError(f"forward's answer has no floating array output[0] to differentiate; {found}")
        if unknown := [name for name in answer if name not in names]:
            raise OpError(f"forward answered '{unknown[0]}'; expected {', '.join(names)} and output[{len(names)}] next")
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

    def _ask(self, call: str, arrays: Mapping[str, Array], **more: str) -> Mapping[str, Array]:
        return ask(self.child, call, self.name, self.params, arrays, **more).arrays


def ask(
    child: Child, call: str, op: str, params: str, arrays: Mapping[str, Array] | None = None, **more: str
) -> Message:
    """Return what a child answers to a call; more texts than those of every call may go with it.

    Raises:
        OpError: where it answers with an error, or the arrays cannot be sent.
        LostOpError: where it does not answer.

    """
    try:
        answer = child.ask(call, Message(arrays or {}, {"call": call, "op": op, "params": params} | more))
    except MessageError as error:
        raise OpError(f"{call} cannot be asked for: {error}") from None
    if (error_text := answer.texts.get("error")) is not None:
        raise OpError(f"{call} answered with an error: {error_text or 'without a word'}")
    return answer


def _is_wanted(name: str, args: Sequence[str]) -> bool:
    return name in args or name.partition("[")[0] in args


def _in_words(answer: Mapping[str, Array]) -> str:
    return ", ".join(f"{name}: {array.dtype}" for name, array in answer.items()) or "nothing"
