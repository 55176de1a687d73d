"""Whether an op is the same when its framework traces it anew, where it keeps what it traced.

What a function draws by other means than its framework's is a constant of its trace: the same at every call, and
another in its backward, which is traced by itself. No call tells, and the gradient is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gradaudit.checks.agreement import Change
from gradaudit.checks.determinism import extent, worst_change
from gradaudit.checks.probe import Probe
from gradaudit.results import Finding
from gradaudit.targets.op import Op


def retraced(probe: Probe) -> Iterator[Finding]:
    """Yield a finding where forward is another when it is traced anew, else for each input whose gradient is."""
    subject = probe.subject
    make: Callable[[], Op | None] | None = getattr(probe.op, "anew", None)
    if make is None or (op := make()) is None:
        return
    outputs = op.forward(subject.inputs)
    if seen := worst_change(probe.counted(subject.outputs), probe.counted(outputs), subject.inputs):
        yield _finding("forward", "outputs", seen)
        return
    again = op.backward(subject.upstream, subject.inputs, subject.outputs)
    for name in probe.claimed:
        first, second = subject.gradients[name], again.get(name)
        if first is not None and second is not None and (seen := probe.gradient_change(name, first, second)):
            yield _finding("backward", f"gradients of {name}", seen, array=name)


def _finding(which: str, what: str, seen: Change, **about: str) -> Finding:
    message = (
        f"{which} returns different {what} when JAX traces it again, at {extent(seen)}: random draws are constants of "
        "a trace, and backward has a trace of its own; draw the mask or noise once and make it an input"
    )
    evidence = {"changed": seen.count, "size": seen.size, "largest": seen.largest, "drawn_anew": True, **about}
    return Finding(f"stochastic-{which}", message, evidence)
