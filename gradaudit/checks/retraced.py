"""Whether an op is the same when its framework traces it anew, where it keeps what it traced.

What a function draws by other means than its framework's is a constant of its trace: the same at every call, and
another in its backward, which is traced by itself. No call tells, and the gradient is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gradaudit.checks.determinism import stochastic, worst_change
from gradaudit.checks.probe import Probe
from gradaudit.results import Finding
from gradaudit.targets.op import Op

DRAWN = (
    "random draws are constants of a trace, and backward has a trace of its own; draw the mask or noise once and make "
    "it an input"
)
"""What makes it another."""


def retraced(probe: Probe) -> Iterator[Finding]:
    """Yield a finding where forward is another when it is traced anew, else for each input whose gradient is."""
    subject = probe.subject
    make: Callable[[], Op | None] | None = getattr(probe.op, "anew", None)
    if make is None or (op := make()) is None:
        return
    outputs = op.forward(subject.inputs)
    if seen := worst_change(probe.counted(subject.outputs), probe.counted(outputs), subject.inputs):
        yield stochastic("forward", "outputs when JAX traces it again", seen, DRAWN, drawn=True)
        return
    again = op.backward(subject.upstream, subject.inputs, subject.outputs)
    for name in probe.claimed:
        first, second = subject.gradients[name], again.get(name)
        if first is not None and second is not None and (seen := probe.gradient_change(name, first, second)):
            what = f"gradients of {name} when JAX traces it again"
            yield stochastic("backward", what, seen, DRAWN, drawn=True, array=name)
