"""The spec format of learning: a model, its data, an optimiser, and what training them should reach."""

from pathlib import Path
from typing import Annotated, Any, Literal

from gradaudit.spec.case import Input
from gradaudit.spec.document import Module, OpName, ToleranceModel
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.model_document import ModelSettings, model_keys
from gradaudit.spec.model_targets import Attainment, LearningTarget, Optimiser
from gradaudit.spec.reading import validated
from gradaudit.spec.strict import Before, CaseName, Field, FunctionName, NonNegative, Positive, Size, Strict

RATES = {"sgd": 0.1, "adam": 0.01}
"""The rate of each optimiser of our own where the spec names none: small models learn in seconds with these."""


def _as_call(value: Any) -> Any:
    return {"call" if ":" in value else "name": value} if isinstance(value, str) else value


class OptimiserModel(Strict):
    """One of two optimisers of our own, by its name, or any other, by what makes it."""

    name: Annotated[Literal["sgd", "adam"] | None, Field(description="gradient descent, or Adam")] = None
    lr: Annotated[Positive | None, Field(description="the rate; default: 0.1 for sgd, 0.01 for adam")] = None
    momentum: Annotated[NonNegative | None, Field(lt=1, description="of sgd; default: 0")] = None
    call: Annotated[
        FunctionName | None,
        Field(description="called with a list of the parameters' tensors; what it returns has a method step()"),
    ] = None
    params: Annotated[dict[str, Any], Field(description="keyword arguments of call")] = {}


class ExpectedModel(Strict):
    """What training should reach."""

    parameters: Annotated[Size | None, Field(description="how many parameter tensors the model has")] = None
    loss_falls_by: Annotated[
        NonNegative | None, Field(description="required fall of the loss, as a share of the first; default: any fall")
    ] = None
    accuracy: Annotated[NonNegative | None, Field(le=1, description="required accuracy at the end")] = None
    seconds: Annotated[Positive | None, Field(description="limit of processor time")] = None


class LearningSettings(ModelSettings):
    """What may stand both in a learning document and in each of its cases, where it overrides the document's."""

    optimiser: Annotated[
        OptimiserModel,
        Before(_as_call, FunctionName | Literal["sgd", "adam"] | OptimiserModel),
        Field(description="sgd (default), adam, or module:function"),
    ] = OptimiserModel()
    epochs: Annotated[int, Field(ge=1, description="how many passes over the data")] = 10
    accuracy: Annotated[
        FunctionName | None, Field(description="(output, *targets), as arrays -> a number from 0 to 1")
    ] = None
    expected: ExpectedModel = ExpectedModel()
    tolerance: ToleranceModel = ToleranceModel()


class LearningCase(LearningSettings):
    """One case: a name, and what differs from the rest of the document."""

    name: CaseName


class LearningDocument(LearningSettings):
    """A model's spec: whether it learns, with every gradient right and every parameter moving."""

    kind: Literal["learning"]
    op: OpName
    module: Module = None
    cases: Annotated[list[LearningCase], Field(description="default: one, named default")] = []


def learning_parts(
    merged: dict[str, Any], dtype: str, mode: str, folder: Path, mistakes: Mistakes
) -> tuple[LearningTarget | None, tuple[Input, ...]]:
    """Return the target of a merged case, and no inputs; None where a mistake prevents it."""
    if merged["data"] is None:
        mistakes.append(InvalidCaseError(("data",), "expected 'data: module:function', found none", key=True))
    expected = validated(ExpectedModel, merged["expected"])
    if expected.accuracy is not None and merged["accuracy"] is None:
        message = "expected 'accuracy: module:function' to measure it with, found none"
        mistakes.append(InvalidCaseError(("expected", "accuracy"), message, key=True))
    optimiser = mistakes.noting(_optimiser, validated(OptimiserModel, merged["optimiser"]))
    keys = model_keys(merged, folder, mistakes)
    if mistakes or optimiser is None:
        return None, ()
    return (
        LearningTarget(
            **keys,
            targets=(),
            optimiser=optimiser,
            epochs=merged["epochs"],
            accuracy=merged["accuracy"],
            expected=Attainment(**expected.given()),
        ),
        (),
    )


def _optimiser(given: OptimiserModel) -> Optimiser:
    beside = [key for key in ("lr", "momentum", "name") if getattr(given, key) is not None]
    if given.call is not None and beside:
        message = f"found '{beside[0]}' beside 'call', whose own arguments go below 'params'"
        raise InvalidCaseError(("optimiser", beside[0]), message, key=True)
    if given.call is not None:
        return Optimiser(call=given.call, params=given.params)
    name = given.name or "sgd"
    if given.params:
        raise InvalidCaseError(("optimiser", "params"), "found without 'call'; expected 'lr' and 'momentum'", key=True)
    if given.momentum is not None and name != "sgd":
        raise InvalidCaseError(("optimiser", "momentum"), f"{name} has none; expected it of sgd only", key=True)
    return Optimiser(name, RATES[name] if given.lr is None else given.lr, given.momentum or 0.0)
