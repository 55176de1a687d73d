"""How an op is called, in the words of its target."""

from __future__ import annotations

import shlex

from gradaudit.explain.explanation import Signature
from gradaudit.spec.case import Case, ProcessTarget, PythonTarget
from gradaudit.targets import names_to_import


def signature_of(case: Case) -> Signature:
    """Return what is called, with which arguments, for which gradients."""
    inputs = [made.name for made in case.inputs]
    params = [f"{name}={value!r}" for name, value in case.params.items()]
    if isinstance(case.target, PythonTarget):
        backward = case.target.backward
        taken, given = ", ".join(backward.args), ", ".join(backward.returns)
        return Signature(
            {
                "forward": f"{case.target.forward}({', '.join([*inputs, *params])})",
                "backward": f"{backward.call}({taken}) -> {given}",
            }
        )
    if isinstance(case.target, ProcessTarget):
        called = f"{case.target.op}({', '.join([*inputs, *params])})"
        return Signature({"process": f"{called} in {shlex.join(case.target.command)}"})
    names = names_to_import(case.target)
    return Signature({".".join(path): f"{name}({', '.join([*inputs, *params])})" for path, name in names.items()})
