"""From what a merged case says of its target to the target: its kind, and what that leaves to fill in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from gradaudit.spec.case import (
    BackwardCall,
    Framework,
    FrameworkTarget,
    Input,
    Mode,
    ProcessTarget,
    PythonTarget,
    Target,
)
from gradaudit.spec.document import TargetModel
from gradaudit.spec.errors import nearest
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.source import KeyPath

PATH: KeyPath = ("target",)

PYTHON = ("forward", "backward")
"""The keys that make a target a pair of Python functions."""

FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)

MODES: Mapping[str, tuple[Mode, ...]] = {"torch": get_args(Mode), "jax": get_args(Mode)}
"""Which ways to differentiate a framework is audited in; the others in reverse mode only."""


def expanded_target(
    model: TargetModel, mode: Mode, inputs: tuple[Input, ...], names: tuple[str, ...], folder: Path, mistakes: Mistakes
) -> Target | None:
    """Return the target of a case, None where a mistake prevents it.

    Args:
        model: what the spec says of it.
        mode: by which differentiation the gradient is had.
        inputs: the case's inputs, those that could be made.
        names: of all inputs.
        folder: the spec's own.
        mistakes: where mistakes are collected.

    """
    given = [key for key in (*PYTHON, *FRAMEWORKS, "process") if getattr(model, key) is not None]
    python = [key for key in given if key in PYTHON]
    others = [key for key in given if key not in PYTHON]
    first, beside = (python[0], others) if python else ("".join(others[:1]), others[1:])
    if python == ["backward"] and others:
        first, beside = others[0], ["backward", *others[1:]]
    mistakes += [
        InvalidCaseError((*PATH, key), f"found '{key}' beside '{first}'; a target is of one kind", key=True)
        for key in beside
    ]
    if mode not in MODES.get(first, ("reverse",)):
        able = ", ".join(name for name, modes in MODES.items() if mode in modes)
        mistakes.append(InvalidCaseError(("modes",), f"found '{mode}', which targets of kind {able} have"))
    if first in PYTHON or not first:
        return _python(model, inputs, names, folder, mistakes)
    if first == "process" and model.process is not None:
        return ProcessTarget(
            command=tuple(model.process.command),
            op=model.process.op,
            timeout=float(model.process.timeout),
            differentiable_outputs=_counted(model),
            folder=folder,
        )
    framework = next(name for name in FRAMEWORKS if name == first)
    return FrameworkTarget(framework, getattr(model, first), _counted(model), folder, mode)


def _counted(model: TargetModel) -> tuple[int, ...] | None:
    return None if model.outputs is None else tuple(model.outputs.differentiable)


def _python(
    model: TargetModel, inputs: tuple[Input, ...], names: tuple[str, ...], folder: Path, mistakes: Mistakes
) -> PythonTarget | None:
    mistakes += [
        InvalidCaseError(PATH, f"expected '{key}: module:function', found none", key=True)
        for key in PYTHON
        if getattr(model, key) is None
    ]
    if model.forward is None or model.backward is None:
        return None
    if model.backward.call is None:
        message = "expected 'call: module:function', found none"
        mistakes.append(InvalidCaseError((*PATH, "backward"), message, key=True))
        return None
    args, returns = model.backward.args, model.backward.returns
    for i, word in enumerate(args or ()):
        if word not in names and not re.fullmatch(r"(upstream|output)(\[\d+\])?", word):
            known = [*names, "upstream", "output"]
            message = f"found '{word}'; expected upstream, output, output[k] or an input{nearest(word, known)}"
            mistakes.append(InvalidCaseError((*PATH, "backward", "args", i), message))
    for i, word in enumerate(returns or ()):
        if word not in names:
            message = f"found '{word}'; expected one of the inputs {', '.join(names)}{nearest(word, names)}"
            mistakes.append(InvalidCaseError((*PATH, "backward", "returns", i), message))
    differentiable = [made.name for made in inputs if made.differentiable]
    return PythonTarget(
        forward=model.forward,
        backward=BackwardCall(
            call=model.backward.call,
            args=tuple(["upstream", *names] if args is None else args),
            returns=tuple(differentiable if returns is None else returns),
        ),
        differentiable_outputs=_counted(model),
        folder=folder,
    )
