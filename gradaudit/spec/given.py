"""Inputs that are given as arrays, where a spec would say how they are drawn."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradaudit.spec.case import Input, Layout
from gradaudit.spec.dtypes import InputDtypeName, is_floating
from gradaudit.spec.errors import nearest

KNOWN_DTYPES: tuple[str, ...] = tuple(
    name for names in get_args(InputDtypeName) for name in get_args(names) or (names,)
)


TAKEN_NAME = r"(upstream|output)(\[\d+\])?"
"""The names that inputs cannot have: backward's args use them for something else."""


def given_inputs(
    arrays: Mapping[str, ArrayLike], differentiable: Collection[str] | None = None, *, needed: bool = True
) -> tuple[Input, ...]:
    """Return how inputs are made of copies of these arrays, in their memory layouts.

    Args:
        arrays: by name, in the order in which forward takes them.
        differentiable: names of those that gradients are expected for; None for all floating ones.
        needed: whether one of them must be differentiable; not where the op brings inputs along that are.

    Raises:
        TypeError: where one is no array of numbers.
        ValueError: where a name cannot be one, or there is nothing to differentiate.

    """
    for name in differentiable or ():
        if name not in arrays:
            raise ValueError(f"differentiable: there is no input '{name}'{nearest(name, arrays)}")
    made = tuple(_input(name, array, differentiable) for name, array in arrays.items())
    if needed and not any(one.differentiable for one in made):
        found = ", ".join(f"{one.name}: {one.dtype}" for one in made) or "none"
        raise ValueError(f"inputs: expected at least one that is differentiable, found {found}")
    return made


def _input(name: str, given: ArrayLike, differentiable: Collection[str] | None) -> Input:
    if re.fullmatch(TAKEN_NAME, name):
        raise ValueError(f"inputs: the name '{name}' is taken: backward's args use it for something else")
    array = given_array(name, given)
    dtype = array.dtype.name
    wanted = is_floating(dtype) if differentiable is None else name in differentiable
    if wanted and not is_floating(dtype):
        raise ValueError(f"differentiable: {name} is {dtype}, which has no derivatives")
    return Input(name, array.shape, dtype, wanted, values=array.copy(), layout=_layout(array))


def given_array(name: str, given: ArrayLike) -> NDArray[Any]:
    """Return what is given as an array, which may be the same.

    Raises:
        TypeError: where it is no array of numbers of a dtype that can be audited.

    """
    try:
        array = np.asarray(given)
    except Exception as error:  # whatever another framework raises for what is not on the CPU, or needs a gradient
        raise TypeError(f"{name}: expected an array, found {type(given).__name__}: {error}") from None
    if array.dtype.name not in KNOWN_DTYPES:
        raise TypeError(f"{name}: expected an array of numbers, found {array.dtype} from {type(given).__name__}")
    return array


def _layout(array: NDArray[Any]) -> Layout:
    return "contiguous" if array.flags.c_contiguous else "transposed" if array.flags.f_contiguous else "strided"
