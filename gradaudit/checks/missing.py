"""Gradients that are zero everywhere where forward's derivative is not: what a framework gives for none at all.

Engines hand out zeros where a backward returned None, and where an input's way to the output leaves the graph.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.checks.probe import Probe
from gradaudit.results import Finding, Verdict


def missing_gradient(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each gradient that is wrong and zero at every index, in float64 where backward is generic."""
    wrong = {result.input: result for result in probe.results if result.verdict is Verdict.FAIL}
    for name in probe.claimed:
        if name not in wrong or probe.gradients[name].any():
            continue
        slope = max((abs(row.numerical) for row in wrong[name].mismatches), default=0.0)
        message = (
            f"the gradient of {name} is zero at every index, but forward depends on {name}: backward returns None or "
            "zeros for it, or forward detaches it"
        )
        yield Finding("missing-gradient", message, {"array": name, "largest": slope})
