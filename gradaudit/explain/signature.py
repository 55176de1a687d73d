"""How an op is called, in the words of its target."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from gradaudit.explain.explanation import Signature
from gradaudit.spec.case import Case
from gradaudit.spec.model_targets import LearningTarget, ModelTarget, Optimiser
from gradaudit.spec.op_targets import HeldTarget, ProcessTarget, PythonTarget
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
    if isinstance(case.target, ModelTarget):
        return Signature(dict(_calls_of_model(case.target, params)))
    if isinstance(case.target, HeldTarget):
        return Signature({"op": f"{case.target.name}({', '.join([*inputs, *params])})"})
    names = names_to_import(case.target)
    return Signature({".".join(path): f"{name}({', '.join([*inputs, *params])})" for path, name in names.items()})


def _calls_of_model(target: ModelTarget, params: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield "model", f"{target.model}({', '.join(params)})"
    yield "loss", f"{target.loss}(output, targets)"
    if target.data:
        yield "data", f"{target.data}(seed)"
    yield "tape", target.tape if isinstance(target.tape, str) else target.tape.tensor
    if isinstance(target, LearningTarget):
        if target.accuracy:
            yield "accuracy", f"{target.accuracy}(output, targets)"
        size = f" in batches of {target.batch_size}" if target.batch_size else ""
        yield "training", f"{target.epochs} epochs{size} by {_optimiser(target.optimiser)}"


def _optimiser(optimiser: Optimiser) -> str:
    if optimiser.call:
        return f"{optimiser.call}({', '.join(['parameters', *(f'{k}={v!r}' for k, v in optimiser.params.items())])})"
    momentum = f", momentum={optimiser.momentum:g}" if optimiser.momentum else ""
    return f"{optimiser.name}(lr={optimiser.lr:g}{momentum})"
