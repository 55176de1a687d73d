"""From one input of a merged case to how it is made: defaults, and whether it can be made at all."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradaudit.spec.activations import UnreadableFileError, array_in
from gradaudit.spec.case import Avoid, Input
from gradaudit.spec.document import AvoidModel, InputModel
from gradaudit.spec.draw import room, rounded_gap
from gradaudit.spec.dtypes import (
    dtype_of,
    is_complex,
    is_floating,
    largest_value,
    smallest_value,
    spacing,
)
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.source import KeyPath
from gradaudit.spec.structured import DRAWERS, WITHOUT_RANGE, misfit

DRAWING_KEYS = ("shape", "range", "ranges", "below", "avoid", "gap")
"""What ``values`` replaces where a case overrides its document; in turn, ``shape`` replaces ``values``."""


def expanded_input(
    name: str, model: InputModel, case_dtype: str, mistakes: Mistakes, part: str = "inputs", folder: Path | None = None
) -> Input | None:
    """Return how an input is made that stands in this part of a case; None where it has mistakes, which are noted.

    Args:
        name: the input's.
        model: what the spec says of it.
        case_dtype: the case's.
        mistakes: where mistakes are collected.
        part: the part of the case that it stands in.
        folder: the spec's own, from which files of values are named; None for the current one.

    """
    path: KeyPath = (part, name)
    before = len(mistakes)
    loaded = mistakes.noting(_loaded, path, model, folder or Path())
    if loaded is None:
        return None
    model = loaded
    whole = model.distribution in ("integers", "permutation")
    dtype = model.dtype or ("int64" if whole else case_dtype)
    differentiable = is_floating(dtype) if model.differentiable is None else model.differentiable
    if re.fullmatch(r"(upstream|output)(\[\d+\])?", name):
        message = "this name is taken: backward's args use it for something else"
        mistakes.append(InvalidCaseError(path, message, key=True))
    if differentiable and not is_floating(dtype):
        message = f"found true, but {dtype} has no derivatives"
        mistakes.append(InvalidCaseError((*path, "differentiable"), message))
    shape = mistakes.noting(_shape, path, model, dtype)
    avoid = mistakes.noting(_avoid, (*path, "avoid"), model.avoid)
    limits = None
    columns = mistakes.noting(_columns, path, model, shape, dtype) or ()
    if columns:
        limits = (0.0, 1.0)
    elif model.values is None:
        limits = mistakes.noting(_range, path, model, dtype)
    elif shape is not None:
        mistakes.noting(_check_values, path, model, dtype)
    if len(mistakes) > before or shape is None:
        return None
    made = Input(
        name=name,
        shape=shape,
        dtype=dtype,
        differentiable=differentiable,
        range=limits,
        distribution=model.distribution,
        avoid=avoid,
        gap=model.gap or 0.0,
        values=model.values,
        layout=model.layout,
        probability=0.5 if model.p is None else model.p,
        columns=columns,
    )
    if made.values is None:
        mistakes.noting(_check_distribution, path, made)
        mistakes.noting(_check_room, path, made)
    return made if len(mistakes) == before else None


def _loaded(path: KeyPath, model: InputModel, folder: Path) -> InputModel:
    """Return a model with the array in the place of the file that it names."""
    if not isinstance(model.values, dict):
        return model
    try:
        array = array_in(folder / model.values["file"], model.values.get("name", ""))
    except UnreadableFileError as error:
        raise InvalidCaseError((*path, "values"), str(error)) from None
    if array.dtype.kind in "OUSMmV":
        raise InvalidCaseError((*path, "values"), f"found an array of {array.dtype}, expected numbers")
    dtype = model.dtype or (array.dtype.name if array.dtype.kind in "iub" else None)
    return model.but(values=array, dtype=dtype)


def _columns(
    path: KeyPath, model: InputModel, shape: tuple[int, ...] | None, dtype: str
) -> tuple[tuple[float, float], ...]:
    """Return a range for each element of the last axis, where the spec gives such."""
    if model.ranges is None:
        return ()
    path = (*path, "ranges")
    pairs = tuple((float(lo), float(hi)) for lo, hi in model.ranges)
    others = (model.range, model.avoid, model.gap, model.values)
    if model.distribution != "uniform" or not is_floating(dtype) or any(one is not None for one in others):
        raise InvalidCaseError(path, "found one for each column; that needs the distribution 'uniform', and no more")
    if shape is not None and (not shape or len(pairs) != shape[-1]):
        found = f"{len(pairs)} ranges for the last axis of {list(shape)}"
        raise InvalidCaseError(path, f"found {found}; expected one for each of its elements")
    _check_inside_dtype(path, [end for pair in pairs for end in pair], dtype)
    return pairs


def _avoid(path: KeyPath, model: AvoidModel | None) -> Avoid | None:
    if model is None:
        return None
    if not model.points or model.margin is None:
        raise InvalidCaseError(path, "expected both points and margin", key=True)
    return Avoid(tuple(model.points), model.margin)


def _shape(path: KeyPath, model: InputModel, dtype: str) -> tuple[int, ...]:
    if model.values is not None:
        shape = _nested_shape((*path, "values"), model.values)
        if model.shape is not None and tuple(model.shape) != shape:
            raise InvalidCaseError((*path, "shape"), f"found {model.shape}, but the values have shape {list(shape)}")
        return shape
    if model.shape is None:
        raise InvalidCaseError(path, "expected 'shape' or 'values', found neither")
    _refuse_what_memory_cannot_hold((*path, "shape"), model.shape, dtype)
    return tuple(model.shape)


def _nested_shape(path: KeyPath, values: Any) -> tuple[int, ...]:
    try:
        return np.shape(np.asarray(values, dtype=np.float64))
    except ValueError:
        raise InvalidCaseError(path, "the nested lists are ragged; every row needs the same length") from None
    except OverflowError:
        raise InvalidCaseError(path, "found a number that no dtype can hold") from None


def _check_values(path: KeyPath, model: InputModel, dtype: str) -> None:
    held = model.values
    values = [float(held.min()), float(held.max())] if isinstance(held, np.ndarray) and held.size else _flat(held)
    _check_whole((*path, "values"), values, dtype)
    _check_inside_dtype((*path, "values"), values if is_floating(dtype) else [int(v) for v in values], dtype)
    for key in DRAWING_KEYS[1:]:
        if getattr(model, key) is not None:
            raise InvalidCaseError((*path, key), "found beside 'values', which leave no values to draw", key=True)


def check_upstream(upstream: Any, dtype: str) -> None:
    """Refuse explicit values that cannot be an upstream gradient in this dtype."""
    if isinstance(upstream, Mapping):
        return
    if not isinstance(upstream, str):
        _nested_shape(("upstream",), upstream)
        _check_inside_dtype(("upstream",), _flat(upstream), dtype)


def _range(path: KeyPath, model: InputModel, dtype: str) -> tuple[float, float] | None:
    path, kind = (*path, "range"), model.distribution
    _check_companions(path[:-1], model)
    if kind in WITHOUT_RANGE:
        if model.range is not None:
            raise InvalidCaseError(path, f"the distribution '{kind}' takes no range")
        return None
    if model.range is None:
        if kind == "integers":
            return 0.0, _highest(path[:-1], model)
        unsigned = kind == "bernoulli" or not is_floating(dtype)
        return (0.0, 1.0) if unsigned else (-1.0, 1.0)
    lo, hi = model.range
    _check_inside_dtype(path, [lo, hi], dtype)
    if math.isinf(hi - lo):
        raise InvalidCaseError(path, f"found [{lo:g}, {hi:g}], whose width overflows every dtype")
    if kind == "integers":
        if not (lo.is_integer() and hi.is_integer()):
            raise InvalidCaseError(path, f"found [{lo:g}, {hi:g}]; integers need whole bounds")
        if is_floating(dtype):
            _check_counts(path, max(abs(lo), abs(hi)), dtype)
    _check_whole(path, [lo, hi], dtype)
    return float(lo), float(hi)


def _check_companions(path: KeyPath, model: InputModel) -> None:
    """Refuse keys that belong to another distribution."""
    if model.below is not None and (model.distribution != "integers" or model.range is not None):
        raise InvalidCaseError((*path, "below"), "expected it with integers that have no range", key=True)
    if model.p is not None and model.distribution != "bernoulli":
        raise InvalidCaseError((*path, "p"), "expected it with the distribution 'bernoulli'", key=True)


def _highest(path: KeyPath, model: InputModel) -> float:
    if model.below is None:
        message = "the distribution 'integers' needs a range: [lo, hi], both included, or below: N, for 0 to N - 1"
        raise InvalidCaseError(path, message)
    return model.below - 1.0


def _flat(values: Any) -> list[float]:
    return [number for row in values for number in _flat(row)] if isinstance(values, list) else [values]


def _check_inside_dtype(path: KeyPath, values: Sequence[float], dtype: str) -> None:
    least, most = smallest_value(dtype), largest_value(dtype)
    for value in values:
        if isinstance(value, float):
            least, most = float(least), float(most)
        if math.isfinite(value) and not least <= value <= most:
            raise InvalidCaseError(path, f"found {value:g}, outside {dtype}, which ends at {least:.5g} and {most:.5g}")


def _check_whole(path: KeyPath, values: Sequence[float], dtype: str) -> None:
    for value in values:
        if not is_floating(dtype) and not (math.isfinite(value) and value == math.floor(value)):
            raise InvalidCaseError(path, f"found {value:g}, but {dtype} holds whole numbers")


def _check_counts(path: KeyPath, most: float, dtype: str) -> None:
    """Refuse integers so large that the dtype would round some of them to others."""
    limit = 2 / spacing(dtype) if is_floating(dtype) else largest_value(dtype)
    if most > limit:
        raise InvalidCaseError(path, f"found integers up to {most:g}; {dtype} holds all of them up to {limit:g} only")


def _check_distribution(path: KeyPath, made: Input) -> None:
    kind, shape = made.distribution, made.shape
    if problem := misfit(made):
        raise InvalidCaseError((*path, "shape"), problem)
    if kind == "permutation":
        _check_counts((*path, "shape"), shape[-1] - 1, made.dtype)
    if kind in ("spd", *DRAWERS) and not is_floating(made.dtype):
        raise InvalidCaseError(
            (*path, "dtype"), f"the distribution '{kind}' needs a floating dtype, found {made.dtype}"
        )
    if kind in DRAWERS and is_complex(made.dtype):
        raise InvalidCaseError((*path, "dtype"), f"the distribution '{kind}' needs a real dtype, found {made.dtype}")
    if kind in ("uniform", "normal") and not is_floating(made.dtype):
        message = f"the distribution '{kind}' needs a floating dtype, found {made.dtype}; use 'integers'"
        raise InvalidCaseError(path, message)


def _check_room(path: KeyPath, made: Input) -> None:
    kind = made.distribution
    if made.avoid and kind not in ("uniform", "normal"):
        raise InvalidCaseError((*path, "avoid"), f"the distribution '{kind}' cannot avoid points")
    if made.gap and (kind != "uniform" or is_complex(made.dtype)):
        raise InvalidCaseError((*path, "gap"), "a gap needs the distribution 'uniform' and a real dtype")
    if kind not in ("uniform", "normal") or not is_floating(made.dtype):
        return
    available, count = room(made), math.prod(made.shape)
    lo, hi = made.range or (-1.0, 1.0)
    if available < 0:
        if made.avoid:
            raise InvalidCaseError((*path, "avoid"), "the avoided points exclude the whole range")
        raise InvalidCaseError((*path, "range"), f"found [{lo:g}, {hi:g}], which contains no {made.dtype} number")
    gap = rounded_gap(made)
    if gap * (count - 1) > available:
        needed = f"{count} elements of {made.dtype} {made.gap:g} apart need a width of {gap * (count - 1):.3g}"
        raise InvalidCaseError((*path, "gap"), f"{needed}, but [{lo:g}, {hi:g}] leaves {available:g}")


def _refuse_what_memory_cannot_hold(path: KeyPath, shape: Sequence[int], dtype: str) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**36
    elements, itemsize = math.prod(shape), dtype_of(dtype).itemsize
    # Even where another axis is empty, NumPy has no shape of more bytes than an address can count.
    if math.prod(size or 1 for size in shape) * itemsize > sys.maxsize:
        raise InvalidCaseError(path, f"an array of this shape would take more than {_gigabytes(sys.maxsize)}")
    if elements * itemsize > machine:
        needed = f"{elements:.3g} elements of {dtype} take {_gigabytes(elements * itemsize)}"
        raise InvalidCaseError(path, f"{needed}; this machine has {_gigabytes(machine)}")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.0f} GB"
