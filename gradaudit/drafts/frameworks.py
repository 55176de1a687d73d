"""Guesses for what is written in a framework: its own reverse mode calls the backward, only inputs are to be found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.drafts.arguments import split_arguments
from gradaudit.drafts.functions import Places
from gradaudit.drafts.guess import Guess, Subject, bare_case
from gradaudit.drafts.inputs import candidates
from gradaudit.spec.case import Input
from gradaudit.spec.op_targets import Framework, FrameworkTarget
from gradaudit.targets import open_op

Array = NDArray[Any]


def framework_subjects(
    places: Places, name: str, framework: Framework, function: Callable[..., Any], skip: int = 0
) -> Iterator[Subject]:
    """Yield the ways to call a function of a framework, without its first arguments (``ctx``)."""
    for inputs, params in split_arguments(function, skip):
        if inputs:
            call = FrameworkCall(framework_target(framework, places, name), params)
            yield Subject(candidates(inputs, function), params, call.outputs, call.guesses)


def framework_target(framework: Framework, places: Places, name: str) -> FrameworkTarget:
    """Return the target of a framework's function, by its name in its module."""
    definitions = places.definitions_only
    return FrameworkTarget(framework, places.named(name), None, places.folder, definitions_only=definitions)


@dataclass(frozen=True)
class FrameworkCall:
    """A function of a framework with its settings."""

    target: FrameworkTarget
    params: Mapping[str, Any]

    def outputs(self, arrays: Mapping[str, Array]) -> list[Array]:
        """Return its outputs at these inputs."""
        inputs = tuple(Input(name, one.shape, one.dtype.name, one.dtype.kind == "f") for name, one in arrays.items())
        op = open_op(replace(bare_case(self.target, self.params), inputs=inputs))
        return [np.asarray(out) for out in op.forward(dict(arrays)) if out is not None]

    def guesses(self, arrays: Mapping[str, Array]) -> Iterator[Guess]:
        """Yield the only way to call it."""
        names = tuple(name for name, one in arrays.items() if one.dtype.kind == "f")
        said = f"{self.target.function}({', '.join(arrays)}), differentiated by {self.target.framework}"
        yield Guess(self.target, names, said)
