"""Whether the model's output is attached to the graph, by the step that the spec expects."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.flow.subject import FlowSubject
from gradaudit.results import Finding
from gradaudit.spec.errors import nearest


def detached_output(subject: FlowSubject) -> Iterator[Finding]:
    """Yield a finding where the output, or the loss, is on no tape; where it was cut off is found by one more run."""
    if not subject.detached:
        return
    tape = subject.op.tape
    tensors = [each for each in subject.outputs if tape.is_tensor(each)]
    if not tensors:
        kinds = ", ".join(sorted({type(each).__name__ for each in subject.outputs})) or "nothing"
        message = f"the model returned {kinds}, which is on no tape; expected a tensor"
        yield Finding("detached-output", message)
        return
    attached = any(tape.node(each) is not None for each in tensors)
    what = "the loss is attached to nothing, though the output is" if attached else "the output is attached to nothing"
    cut = subject.cut(*subject.names)
    yield Finding("detached-output", f"{what}: {cut.in_words()}", cut.evidence())


def wrong_backward(subject: FlowSubject, expected: str) -> Iterator[Finding]:
    """Yield a finding where another step than the expected one made the output."""
    tape = subject.op.tape
    nodes = [tape.node(each) for each in subject.outputs if tape.is_tensor(each)]
    names = [node.name for node in nodes if node is not None]
    if not expected or not names or expected in names:
        return
    message = f"the output was made by {', '.join(names)}; expected {expected}{nearest(expected, names)}"
    yield Finding("wrong-backward", message, {"expected": expected, "found": names})
