"""How the parameters are changed after each batch: by an optimiser of our own, or by one that the spec names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradaudit.models.learning.optimisers import SGD, Adam
from gradaudit.models.learning.train import Step
from gradaudit.models.tapes.tape import Tape, Tensor
from gradaudit.spec.model_targets import Optimiser
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError, raised


def opened_optimiser(optimiser: Optimiser, tape: Tape, parameters: Mapping[str, Tensor], folder: Path) -> Step:
    """Return what changes a model's parameters.

    Args:
        optimiser: what the spec says of it.
        tape: how tensors are read and changed.
        parameters: the model's; an optimiser that the spec names is called with a list of them.
        folder: the spec's own.

    Raises:
        OpError: where the spec's optimiser cannot be imported, raises, or has no ``step``.

    """
    if optimiser.call:
        return _of_its_own(optimiser, parameters, folder)
    rule = Adam(optimiser.lr) if optimiser.name == "adam" else SGD(optimiser.lr, optimiser.momentum)

    def step(tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            value, gradient = tape.array(tensor), tape.gradient(tensor)
            if gradient is None:
                continue
            if gradient.shape != value.shape:
                raise OpError(f"{name} has shape {value.shape}, its gradient has shape {gradient.shape}")
            tape.assign(tensor, rule.update(name, value, gradient))

    return step


def _of_its_own(optimiser: Optimiser, parameters: Mapping[str, Tensor], folder: Path) -> Step:
    factory = import_function(optimiser.call, folder)
    try:
        made: Any = factory(list(parameters.values()), **optimiser.params)
    except Exception as error:
        raise raised(f"the optimiser {optimiser.call}", error) from None
    if not callable(getattr(made, "step", None)):
        raise OpError(
            f"the optimiser {optimiser.call} returned {type(made).__name__}, which has no method 'step'; expected an "
            "object whose step() changes the parameters"
        )

    def step(tensors: Mapping[str, Tensor]) -> None:
        try:
            made.step()
        except Exception as error:
            raise raised(f"a step of the optimiser {optimiser.call}", error) from None

    return step
