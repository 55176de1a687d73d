"""From a learning case to what is trained: a model made afresh, and all of its data."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.batch import batch_of
from gradaudit.models.learning.train import Lesson
from gradaudit.models.op import open_model
from gradaudit.models.words import in_words
from gradaudit.spec.case import Case, Input
from gradaudit.spec.dtypes import dtype_of, has_derivatives
from gradaudit.spec.model_targets import LearningTarget
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError

Array = NDArray[Any]


def lesson_of(case: Case, target: LearningTarget) -> Lesson:
    """Make the model of a case, and read its data; it is trained in the dtype that it is made in.

    Raises:
        OpError: where a function cannot be imported or raises, or the data is no examples along a first axis.

    """
    op = open_model(target, case)
    data = import_function(target.data or "", target.folder)
    given = batch_of(replace(target, batch_size=None), case, data)
    dtype = next((array.dtype for array in op.initial.values() if has_derivatives(array.dtype)), dtype_of(case.dtype))
    inputs = {made.name: _array(made, dtype) for made in given if made.name not in op.targets}
    targets = {made.name: _array(made, dtype) for made in given if made.name in op.targets}
    _refuse_uneven({**inputs, **targets}, target.data or "")
    tape = op.tape

    def run(arrays: Sequence[Array]) -> Any:
        with in_words("forward"):
            return tape.call_anew(op.model, [tape.tensor(array.copy(), tracked=False) for array in arrays])

    def loss(output: Any, arrays: Sequence[Array]) -> Any:
        with in_words("the loss"):
            return op.loss(output, *arrays)

    return Lesson(
        tape=tape,
        model=op.model,
        run=run,
        loss=loss,
        accuracy=_accuracy(target) if target.accuracy else None,
        inputs=tuple(inputs.values()),
        targets=tuple(targets.values()),
    )


def _array(made: Input, dtype: np.dtype[Any]) -> Array:
    """Return the values of an input, floating ones in the dtype that the model was made in."""
    array = np.asarray(made.values)
    return array.astype(dtype) if has_derivatives(array.dtype) else array


def _refuse_uneven(arrays: dict[str, Array], data: str) -> None:
    if not any(name.partition("[")[0] == "input" for name in arrays):
        raise OpError(f"{data} returned no inputs; expected at least one array")
    counts = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} {array.shape}" for name, array in zip(counts, arrays.values(), strict=True))
        raise OpError(f"{data} returned arrays of different lengths: {found}; expected one example per row in each")
    if not any(counts.values()):
        raise OpError(f"{data} returned no examples")


def _accuracy(target: LearningTarget) -> Callable[[Array, Sequence[Array]], float]:
    function = import_function(target.accuracy or "", target.folder)

    def accuracy(output: Array, targets: Sequence[Array]) -> float:
        with in_words(f"the accuracy {target.accuracy}"):
            found = float(function(output, *targets))
        if not (math.isnan(found) or 0.0 <= found <= 1.0):
            raise OpError(f"the accuracy {target.accuracy} returned {found:g}; expected a number from 0 to 1")
        return found

    return accuracy
