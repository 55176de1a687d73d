"""Specs of the kind ``op``: what only the merged case of a differentiable operation can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradaudit.spec.case import Input, Target, takes_upstream
from gradaudit.spec.document import InputModel
from gradaudit.spec.errors import nearest
from gradaudit.spec.inputs import check_upstream, expanded_input
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.op_targets import WITH_MODULES, FrameworkTarget, PythonTarget
from gradaudit.spec.reading import validated
from gradaudit.spec.requires import RequirementError, check_requirement
from gradaudit.spec.target import expanded_target
from gradaudit.spec.target_document import TargetModel


def op_parts(
    merged: Mapping[str, Any], dtype: str, mode: Any, folder: Path, mistakes: Mistakes
) -> tuple[Target | None, tuple[Input, ...]]:
    """Return the target and the inputs of a merged case; None where a mistake prevents it."""
    given = {name: validated(InputModel, own) for name, own in merged["inputs"].items()}
    made = [expanded_input(name, model, dtype, mistakes, folder=folder) for name, model in given.items()]
    inputs = tuple(entry for entry in made if entry is not None)
    model = validated(TargetModel, merged["target"])
    upstream = merged["upstream"] != "none"
    target = expanded_target(
        model, mode, inputs, tuple(given), folder, mistakes, params=tuple(merged["params"]), upstream=upstream
    )
    inputs = tuple(_with_respect_to(entry, target, given[entry.name]) for entry in inputs)
    if not given:
        mistakes.append(InvalidCaseError(("inputs",), "expected at least one input, found none"))
    elif len(inputs) == len(given) and not any(entry.differentiable for entry in inputs) and not _brings_inputs(target):
        message = "none of the inputs is differentiable, so there is no gradient to audit"
        mistakes.append(InvalidCaseError(("inputs",), message))
    mistakes.noting(check_upstream, merged["upstream"], dtype)
    mistakes += _wrong_requirements(merged["requires"], merged["params"], given)
    if isinstance(merged["expect"], Mapping) and len(inputs) == len(given) and not _brings_inputs(target):
        mistakes += _unknown_gradients(merged["expect"], [entry.name for entry in inputs if entry.differentiable])
    return target, inputs


def _with_respect_to(made: Input, target: Target | None, model: InputModel) -> Input:
    """Return an input as data where the gradient function of a loss does not name it, and the spec does not insist."""
    if not isinstance(target, PythonTarget) or takes_upstream(target) or model.differentiable is not None:
        return made
    return made if made.name in target.backward.returns else replace(made, differentiable=False)


def _unknown_gradients(expected: Mapping[str, Any], names: Sequence[str]) -> Iterator[InvalidCaseError]:
    """Yield a mistake for each input that is expected to end in some way and has no gradient."""
    for name in expected:
        if name not in names:
            message = f"there is no gradient of '{name}', only of {', '.join(names)}{nearest(name, names)}"
            yield InvalidCaseError(("expect", name), message, key=True)


def _wrong_requirements(
    texts: Sequence[str], params: Mapping[str, Any], inputs: Mapping[str, Any]
) -> Iterator[InvalidCaseError]:
    for k, text in enumerate(texts):
        try:
            check_requirement(text, params, inputs)
        except RequirementError as error:
            yield InvalidCaseError(("requires", k), str(error))


def _brings_inputs(target: Target | None) -> bool:
    """Whether a target may be a module, as an embedding is: its parameters are known when it has been made."""
    return isinstance(target, FrameworkTarget) and target.framework in WITH_MODULES
