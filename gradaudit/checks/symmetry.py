"""Inputs that hide bugs by their symmetry: all values equal, or all zero."""

from __future__ import annotations

from collections.abc import Iterator

from gradaudit.checks.probe import Probe
from gradaudit.numerics.arrays import count, dtype_name, in_cache
from gradaudit.results import Finding
from gradaudit.spec.dtypes import is_complex, is_floating


def symmetric_inputs(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose values cannot show what an op does with them.

    A differentiable input hides bugs where its elements are all zero or all equal. Data without a gradient does where
    it is all zero: a mask of ones, or labels of one class, are cases that people ask for.
    """
    for plan in probe.case.inputs:
        x = probe.subject.inputs[plan.name]
        name, size = dtype_name(x.dtype), count(x)
        if not size or not is_floating(name):
            continue
        first = x[(0,) * x.ndim]
        flat = x.reshape(-1)
        if not all(bool((flat[part] == first).all()) for part in in_cache(flat)):
            continue
        value = complex(first) if is_complex(name) else float(first)
        evidence = {"array": plan.name, "value": value}
        if first == 0 and (plan.differentiable or size > 1):
            message = f"{plan.name} is zero everywhere: it hides errors in the gradients of its factors"
            yield Finding("zero-input", f"{message}; draw it from a range", {**evidence, "size": size})
        elif plan.differentiable and size > 1:
            message = f"all {size:,} values of {plan.name} are {value:.4g}: mixed-up indices do not show"
            yield Finding("uniform-input", f"{message}; draw them from a range", {**evidence, "size": size})
