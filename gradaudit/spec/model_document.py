"""What specs of models have in common, whatever is asked of them: the model, its tape, its data and its loss."""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

from gradaudit.spec.document import GeneralModel
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.strict import Before, Field, FunctionName, Name, Strict, plain
from gradaudit.spec.tape import Clearing, TapeDescription, TapePreset, Targets

ALIKE: Mapping[str, TapeDescription] = {
    "gradaudit": TapeDescription(
        tensor="gradaudit.tape:Tensor",
        node="node",
        name="name",
        parents="inputs",
        zero_grad="zero_grad",
        parameters="named_parameters",
    )
}
"""Presets that are descriptions; the others are code, and nothing can be said of them beside their names."""


def _as_preset(value: Any) -> Any:
    return {"preset": value} if isinstance(value, str) else value


class TapeModel(Strict):
    """A preset, or a description of a framework by the names of its attributes and methods."""

    preset: Annotated[TapePreset | None, Field(description="a known tape; other keys override it")] = None
    tensor: Annotated[FunctionName | None, Field(description="the class of tensors, called with an array")] = None
    data: Annotated[Name | None, Field(description="a tensor's values; default: data")] = None
    grad: Annotated[Name | None, Field(description="a tensor's gradient: an array or a tensor; default: grad")] = None
    requires_grad: Annotated[
        Name | None,
        Field(description="whether a tensor is tracked, and the keyword for it; null: all are; default: requires_grad"),
    ] = None
    node: Annotated[
        Name | None, Field(description="the step that made a tensor; self: the tensor is it; default: _grad_fn")
    ] = None
    name: Annotated[Name | None, Field(description="a step's name; default: that of its class or function")] = None
    parents: Annotated[
        Name | None, Field(description="what a step was computed from: tensors or steps; default: parents")
    ] = None
    saved: Annotated[Name | None, Field(description="a step's saved inputs, where its parents lack leaves")] = None
    backward: Annotated[Name | None, Field(description="a loss's method; default: backward")] = None
    zero_grad: Annotated[Name | None, Field(description="a tensor's method that clears its gradient")] = None
    cleared: Annotated[
        Clearing | None, Field(description="what is put in place of a gradient that no method clears; default: none")
    ] = None
    parameters: Annotated[
        Name | None, Field(description="a model's method or attribute: a list or a dict; default: parameters")
    ] = None
    call: Annotated[Name | None, Field(description="a model's method; default: the model itself is called")] = None
    targets: Annotated[Targets | None, Field(description="what losses take beside the output; default: arrays")] = None
    setup: Annotated[FunctionName | None, Field(description="called once before the first use")] = None


class ModelSettings(GeneralModel):
    """What may stand in the document of a model and in each of its cases."""

    model: Annotated[FunctionName | None, Field(description="makes the model, called with params")] = None
    tape: Annotated[
        TapeModel,
        Before(_as_preset, TapePreset | TapeModel),
        Field(description="gradaudit (default), torch, tinygrad, or a description"),
    ] = TapeModel(preset="gradaudit")
    data: Annotated[
        FunctionName | None, Field(description="called with a seed: (inputs, targets), tuples of arrays")
    ] = None
    batch_size: Annotated[int | None, Field(ge=1, description="samples of the data in a batch")] = None
    loss: Annotated[FunctionName | None, Field(description="(output, *targets) -> a scalar tensor")] = None


def model_keys(merged: Mapping[str, Any], folder: Path, mistakes: Mistakes) -> dict[str, Any]:
    """Return what every ``ModelTarget`` is made of but its ``targets``, as keywords; mistakes are noted.

    Args:
        merged: a case as ``ModelSettings`` names its parts.
        folder: the spec's own.
        mistakes: where mistakes are collected.

    """
    for key in ("model", "loss"):
        if merged[key] is None:
            mistakes.append(InvalidCaseError((key,), f"expected '{key}: module:function', found none", key=True))
    tape = mistakes.noting(_tape, plain(merged["tape"]))
    return {
        "model": merged["model"],
        "loss": merged["loss"],
        "tape": tape,
        "data": merged["data"],
        "batch_size": merged["batch_size"],
        "folder": folder,
    }


def _tape(given: Mapping[str, Any]) -> TapePreset | TapeDescription:
    said = dict(given)
    preset = said.pop("preset", None if said else "gradaudit")
    if preset is not None and preset not in ALIKE:
        if said:
            message = f"found beside the preset '{preset}', which is no description and takes none"
            raise InvalidCaseError(("tape", next(iter(said))), message, key=True)
        return preset  # type: ignore[no-any-return]
    known: dict[str, Any] = {}
    if preset is not None:
        known = {entry.name: getattr(ALIKE[preset], entry.name) for entry in fields(TapeDescription)}
    defaulted = {name: value for name, value in said.items() if value is not None or name in _MAY_BE_NONE}
    if not (known | defaulted).get("tensor"):
        raise InvalidCaseError(("tape",), "expected 'tensor: module:Class' or a preset, found neither", key=True)
    return TapeDescription(**(known | defaulted))


_MAY_BE_NONE = frozenset({"requires_grad", "name", "saved", "zero_grad", "call", "setup"})
"""Names for which null says that there is no such thing."""
