"""A batch of a model's data as the inputs of a case."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.words import in_words
from gradaudit.spec.case import Case, Input
from gradaudit.spec.draw import draw_input, generator
from gradaudit.spec.dtypes import dtype_of, has_derivatives
from gradaudit.spec.model_targets import ModelTarget
from gradaudit.targets.op import OpError

Array = NDArray[Any]


def batch_of(target: ModelTarget, case: Case, data: Any) -> tuple[Input, ...]:
    """Return inputs that hold the first batch of the data: ``input[k]``, or ``input``, and ``target[k]`` likewise.

    Raises:
        OpError: where the data is not two tuples of arrays.

    """
    with in_words(f"the data {target.data}"):
        given = data(case.seed)
        if not (isinstance(given, tuple) and len(given) == 2 and all(isinstance(part, tuple) for part in given)):
            raise OpError(f"{target.data} returned {type(given).__name__}; expected (inputs, targets), two tuples")
        arrays = {name: np.asarray(array) for name, array in _named(given)}
    return tuple(
        _held(name, array[: target.batch_size] if array.ndim else array, case) for name, array in arrays.items()
    )


def _named(given: tuple[tuple[Any, ...], tuple[Any, ...]]) -> Iterator[tuple[str, Any]]:
    for word, arrays in zip(("input", "target"), given, strict=True):
        for k, array in enumerate(arrays):
            yield (word if len(arrays) == 1 else f"{word}[{k}]"), array


def targets_in(batch: tuple[Input, ...]) -> tuple[str, ...]:
    """Return the names of those of a batch of data that are targets."""
    return tuple(made.name for made in batch if made.name.partition("[")[0] == "target")


def _held(name: str, array: Array, case: Case) -> Input:
    floating = has_derivatives(array.dtype)
    dtype = case.dtype if floating else array.dtype.name
    return Input(name, array.shape, dtype, differentiable=False, values=array.astype(dtype_of(dtype)))


def second_batch(target: ModelTarget, case: Case, data: Any, batch: tuple[Input, ...]) -> dict[str, Array]:
    """Return the arrays of a batch drawn, or made, with the next seed; explicit values stay as they are."""
    other = replace(case, seed=case.seed + 1)
    made = batch if data is None else batch_of(target, other, data)
    return {one.name: draw_input(one, generator(other, one.name)) for one in made}
