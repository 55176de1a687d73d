"""Whole models that are audited, as frozen data: whether gradients flow in them, and whether they learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gradaudit.spec.tape import TapeDescription, TapePreset


@dataclass(frozen=True)
class ModelTarget:
    """A model, its loss and a batch, written on a tape; functions are named ``module:function``.

    Attributes:
        model: makes the model, called with the case's params by keyword.
        loss: called with the model's output and the targets; returns a scalar tensor.
        tape: the preset or the description of the tape.
        data: called with a seed; returns a tuple of the inputs' arrays and one of the targets'. None where the case's
            own inputs are the batch.
        batch_size: how many samples of the data make a batch; None where the spec does not say.
        targets: names of those of the case's inputs that the loss takes, and the model does not.
        folder: the spec's own.

    """

    model: str
    loss: str
    tape: TapePreset | TapeDescription
    data: str | None
    batch_size: int | None
    targets: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class FlowTarget(ModelTarget):
    """A model of which is asked whether gradients flow to all that they should reach, and are right.

    Attributes:
        backward: the name that the step has which made the model's output; empty where none is expected.
        stopped: patterns of parameters and inputs whose gradients are stopped on some way on purpose.
        unused: patterns of parameters that a batch may not use.

    """

    backward: str = ""
    stopped: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Optimiser:
    """What changes the parameters: one of our own by its name, with its rate and momentum, or one that a spec names.

    ``call`` is ``module:function``, called with a list of the parameters' tensors and ``params`` by keyword; empty for
    one of our own.
    """

    name: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.0
    momentum: float = 0.0
    call: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attainment:
    """What training a model is expected to reach; None for what nothing is asked of.

    Attributes:
        parameters: how many tensors of parameters the model has.
        loss_falls_by: share of the first loss that the last is below it; None where any fall will do.
        accuracy: required accuracy at the end.
        seconds: limit of processor time.

    """

    parameters: int | None = None
    loss_falls_by: float | None = None
    accuracy: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class LearningTarget(ModelTarget):
    """A model that is trained, after its gradients were audited on a batch.

    Attributes:
        optimiser: changes the parameters after each batch.
        epochs: how many passes over the data.
        accuracy: from the output and the targets, as arrays, to a number from 0 to 1; None where none is measured.
        expected: what training should reach.

    """

    optimiser: Optimiser = Optimiser()
    epochs: int = 10
    accuracy: str | None = None
    expected: Attainment = Attainment()
