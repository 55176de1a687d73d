"""Inputs that hide bugs by their symmetry: all values equal, or all zero."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.checks.probe import Probe
from gradaudit.results import Finding
from gradaudit.spec.dtypes import has_derivatives


def symmetric_inputs(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose values cannot show what an op does with them.

    A differentiable input hides bugs where its elements are all zero or all equal. Data without a gradient does where
    it is all zero: a mask of ones, or labels of one class, are cases that people ask for.
    """
    for plan in probe.case.inputs:
        x = probe.subject.inputs[plan.name]
        if not x.size or not has_derivatives(x.dtype):
            continue
        first = x.reshape(-1)[0] if x.flags.c_contiguous else x[(0,) * x.ndim]
        if not (x == first).all():
            continue
        evidence = {"array": plan.name, "value": complex(first) if x.dtype.kind == "c" else float(first)}
        if first == 0 and (plan.differentiable or x.size > 1):
            message = f"{plan.name} is zero everywhere: what it is multiplied with, or added to, cannot be seen"
            yield Finding("zero-input", f"{message}; draw it from a range", {**evidence, "size": x.size})
        elif plan.differentiable and x.size > 1:
            message = f"all {x.size:,} values of {plan.name} are {first:.4g}: indices that are mixed up look alike"
            yield Finding("uniform-input", f"{message}; draw them from a range", {**evidence, "size": x.size})
