"""Whether the model's output is attached to the graph, by the step that the spec expects."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.models.subject import FlowSubject
from gradaudit.models.tapes.tape import Tensor
from gradaudit.results import Finding
from gradaudit.spec.errors import nearest


def detached_output(subject: FlowSubject) -> Iterator[Finding]:
    """Yield a finding where the output, or the loss, is on no tape; where it was cut off is found by more runs."""
    if not subject.detached:
        return
    evidence = subject.way(*subject.names).evidence() if _tensors(subject) else {}
    yield Finding("detached-output", said_of(subject, *subject.names), evidence)


def said_of(subject: FlowSubject, *names: str) -> str:
    """Return in words how some parameters are cut off from a loss that is on no tape."""
    if not _tensors(subject):
        kinds = ", ".join(sorted({type(each).__name__ for each in subject.outputs})) or "nothing"
        return f"the model returned {kinds}, which is on no tape; expected a tensor"
    lost = "the loss is on no tape, though the output is"
    what = lost if subject.makers else "the output is on no tape"
    return f"{what}: {subject.way(*names).in_words()}"


def _tensors(subject: FlowSubject) -> list[Tensor]:
    return [each for each in subject.outputs if subject.op.tape.is_tensor(each)]


def wrong_backward(subject: FlowSubject, expected: str) -> Iterator[Finding]:
    """Yield a finding where another step than the expected one made the output."""
    names = subject.makers
    if not expected or not names or expected in names:
        return
    message = f"the output was made by {', '.join(names)}; expected {expected}{nearest(expected, names)}"
    yield Finding("wrong-backward", message, {"expected": expected, "found": [*names]})
