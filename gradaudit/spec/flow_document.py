"""Specs of the kind ``flow``: a model, a batch and a loss, of which is asked whether gradients flow and are right."""

from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from gradaudit.spec.case import Input, Method
from gradaudit.spec.document import InputModel, Inputs, Module, OpName, Step, ToleranceModel
from gradaudit.spec.inputs import expanded_input
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.model_document import ModelSettings, model_keys
from gradaudit.spec.model_targets import FlowTarget
from gradaudit.spec.reading import validated
from gradaudit.spec.strict import CaseName, Field, Name


class FlowSettings(ModelSettings):
    """What may stand both in a flow document and in each of its cases, where it overrides the document's."""

    inputs: Inputs = {}
    targets: Annotated[
        dict[Name, InputModel], Field(description="what the loss takes after the output, made as inputs are")
    ] = {}
    backward: Annotated[Name | None, Field(description="the name expected of the step that made the output")] = None
    stopped: Annotated[
        list[Name], Field(description="parameters and inputs whose gradients are stopped on purpose; * stands for any")
    ] = []
    unused: Annotated[list[Name], Field(description="parameters that a batch may not use; * stands for any")] = []
    tolerance: ToleranceModel = ToleranceModel()
    step: Step = "auto"
    method: Method = "search"


class FlowCase(FlowSettings):
    """One case: a name, and what differs from the rest of the document."""

    name: CaseName


class FlowDocument(FlowSettings):
    """A model's spec: whether gradients flow to all that they should reach, and whether they are right."""

    kind: Literal["flow"]
    op: OpName
    module: Module = None
    cases: Annotated[list[FlowCase], Field(description="default: one, named default")] = []


def flow_parts(
    merged: dict[str, Any], dtype: str, mode: str, folder: Path, mistakes: Mistakes
) -> tuple[FlowTarget | None, tuple[Input, ...]]:
    """Return the target and the inputs of a merged case, targets among them; None where a mistake prevents it."""
    made = [
        expanded_input(name, validated(InputModel, own), dtype, mistakes, part=part)
        for part in ("inputs", "targets")
        for name, own in merged[part].items()
    ]
    for name in sorted(set(merged["inputs"]) & set(merged["targets"])):
        mistakes.append(InvalidCaseError(("targets", name), "an input has this name already", key=True))
    if merged["data"] is None and not merged["inputs"]:
        mistakes.append(InvalidCaseError(("inputs",), "expected inputs, or data, found neither", key=True))
    for part in ("inputs", "targets"):
        if merged["data"] is not None and merged[part]:
            mistakes.append(InvalidCaseError((part,), f"found '{part}' beside 'data', which gives them", key=True))
    keys = model_keys(merged, folder, mistakes)
    inputs = tuple(_as_data(entry, merged["targets"]) for entry in made if entry is not None)
    if mistakes:
        return None, inputs
    target = FlowTarget(
        **keys,
        targets=tuple(merged["targets"]),
        backward=merged["backward"] or "",
        stopped=tuple(merged["stopped"]),
        unused=tuple(merged["unused"]),
    )
    return target, inputs


def _as_data(made: Input, targets: Container[str]) -> Input:
    """Return an input as it is, a target as one of which no gradient is asked."""
    return replace(made, differentiable=False) if made.name in targets else made
