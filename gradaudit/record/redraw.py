"""The same call at other sizes, of which no two are equal, and with values drawn anew.

In a script a batch may be as large as a layer is wide, and weights begin at zero: a transposed product, or a mean over
the wrong axis, does not show there. Which sizes belong together is found by trying: sizes that are equal in the script
are told apart as far as the op still runs. The first axes of data stay together: that a function runs for fewer labels
than rows does not mean that it is for that.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.drafts.inputs import is_parameter
from gradaudit.record.calls import STRIDES
from gradaudit.record.form import Form

Array = NDArray[Any]
Place = tuple[Any, ...]
"""A size: ``("arrays", name, axis)``, ``("params", name, ...)`` or ``("made", name, ...)``."""

SIZES = (
    (3, 4, 5, 6, 7, 9, 11, 13, 15, 17),
    (2, 3, 4, 5, 6, 7, 9, 11, 13, 15),
    (3, 5, 7, 9, 11, 13, 15, 17, 19),
    (4, 6, 8, 10, 12, 14, 16, 18),
    (4, 8, 12, 16),
)
"""Sizes that stand for those of a script, in their order: some ops want multiples of two or four."""

SECONDS = 10.0
"""How long sizes are told apart, in time of the processor."""

FEW = {1: (24,), 2: (5, 7)}
"""Sizes where there are so few that they may be larger."""

LARGEST = 6
"""Sizes that are equal in the script, up to which all ways to tell them apart are tried."""

MULTIPLES = (2, 3, 4)
"""Of a setting, what axes may be as long as: values and gates, three heads, four gates."""

NO_SIZE = re.compile(
    r"strides?|.*_stride|pad|padding|.*_pad|ax[ei]s|dims?|dilation|seed|groups?|n_?heads?|num_heads|momentum|step|t|epochs?"
)
"""What settings are called that are whole numbers and no sizes."""

Runs = Callable[[Form], bool]


def redrawn(form: Form, held: Sequence[tuple[int, ...]], runs: Runs) -> Form | None:
    """Return a form with sizes of which no two are equal, as far as it runs; None where it runs at none.

    Args:
        form: the script's.
        held: the shapes of what a layer holds, whose sizes its settings may be.
        runs: whether forward and backward run in a form, and give gradients of the right shapes.

    """
    until = time.process_time() + SECONDS
    strided = _with_strides(form)
    for one in (strided, form) if strided != form else (form,):
        made = _told_apart(one, held, runs, until)
        if made is not None:
            return made
    return None


def _told_apart(form: Form, held: Sequence[tuple[int, ...]], runs: Runs, until: float) -> Form | None:
    """Return a form in which sizes are as different as they may be; None where none runs."""
    classes = _equal_sizes(form, held)
    state = {size: [tuple(chain.from_iterable(atoms))] for size, atoms in classes.items()}
    best = _tried(form, state, runs)
    for size, atoms in classes.items() if best is not None else ():
        for parts in _partitions(atoms):
            if time.process_time() > until or len(parts) == 1:
                break
            if not all(_is_size(part, size, form, held) for part in parts):
                continue
            made = _tried(form, {**state, size: parts}, runs)
            if made is not None:
                state, best = {**state, size: parts}, made
                break
    return best


def _is_size(part: Sequence[Place], size: int, form: Form, held: Sequence[tuple[int, ...]]) -> bool:
    """Whether a group is the size of something: a setting alone may be a count that is used for that of an array."""
    if any(place[0] == "arrays" for place in part):
        return True
    if any(size * times in array.shape for array in form.arrays.values() for times in MULTIPLES):
        return True
    return all(place[0] == "made" for place in part) and any(size in shape for shape in held)


def _with_strides(form: Form) -> Form:
    """Return a form with strides of two in the place of one."""
    return replace(form, params=_strided(form.params, ""), made=_strided(form.made, ""))


def _strided(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _strided(one, str(key)) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_strided(one, name) for one in value)
    return 2 if type(value) is int and value == 1 and STRIDES.fullmatch(name) else value


def _equal_sizes(form: Form, held: Sequence[tuple[int, ...]]) -> dict[int, list[tuple[Place, ...]]]:
    """Return the places of each size, those together that stay together, the smallest sizes first."""
    found: dict[int, list[tuple[Place, ...]]] = {}
    first: dict[int, tuple[Place, ...]] = {}
    for name, array in form.arrays.items():
        for axis, size in enumerate(array.shape):
            place: Place = ("arrays", name, axis)
            if axis == 0 and not is_parameter(name) and name not in form.given:
                first[size] = (*first.get(size, ()), place)
            else:
                found.setdefault(size, []).append((place,))
    for size, together in first.items():
        found.setdefault(size, []).insert(0, together)
    known = {size for shape in [*(one.shape for one in form.arrays.values()), *held] for size in shape}
    for part in ("params", "made"):
        for path, value in _whole_numbers(getattr(form, part), ()):
            if value in known and not NO_SIZE.fullmatch(str(path[0]).lower()):
                found.setdefault(value, []).append(((part, *path),))
    return {size: found[size] for size in sorted(found) if size > 1}


def _whole_numbers(value: Any, path: Place) -> Iterator[tuple[Place, int]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _whole_numbers(one, (*path, key))
    elif isinstance(value, (tuple, list)):
        for k, one in enumerate(value):
            yield from _whole_numbers(one, (*path, k))
    elif isinstance(value, int) and not isinstance(value, bool):
        yield path, value


def _partitions(atoms: Sequence[tuple[Place, ...]]) -> Iterator[list[tuple[Place, ...]]]:
    """Yield the ways to divide places into groups, those with the most groups first; only the extremes of many."""
    if len(atoms) > LARGEST:
        yield list(atoms)
        return
    ways = sorted(_divided(list(range(len(atoms)))), key=lambda groups: -len(groups))
    for groups in ways:
        yield [tuple(chain.from_iterable(atoms[k] for k in group)) for group in groups]


def _divided(items: list[int]) -> Iterator[list[list[int]]]:
    if not items:
        yield []
        return
    for rest in _divided(items[1:]):
        yield [[items[0]], *rest]
        for k in range(len(rest)):
            yield [*rest[:k], [items[0], *rest[k]], *rest[k + 1 :]]


def _tried(form: Form, state: Mapping[int, Sequence[tuple[Place, ...]]], runs: Runs) -> Form | None:
    """Return the form with sizes of its own for each group, the first that runs."""
    groups = [group for parts in state.values() for group in parts]
    few = [FEW[len(groups)]] if len(groups) in FEW else []
    for sizes in (*few, *SIZES):
        if len(groups) > len(sizes):
            continue
        chosen = {place: size for group, size in zip(groups, sizes, strict=False) for place in group}
        for made in _completed(form, chosen):
            resized = _resized(form, made)
            if runs(resized):
                return resized
    return None


def _completed(form: Form, chosen: Mapping[Place, int]) -> Iterator[Mapping[Place, int]]:
    """Yield sizes in which what was a product or a multiple of others is so again, and the sizes as they are."""
    seen = []
    for made in (*_with_multiples(form, chosen), dict(_with_products(form, chosen)), chosen):
        if made not in seen:
            seen.append(made)
            yield made


def _with_multiples(form: Form, chosen: Mapping[Place, int]) -> Iterator[Mapping[Place, int]]:
    """Yield sizes in which an axis that was a multiple of a setting is one of it again: three heads, four gates."""
    settings = {place: _size_at(form, place) for place in chosen if place[0] != "arrays"}
    equal = set(settings.values())
    for setting, value in settings.items():
        multiples = {
            place: chosen[setting] * (size // value)
            for place in chosen
            if place[0] == "arrays" and (size := _size_at(form, place)) not in equal and size in _multiples(value)
        }
        if multiples:
            yield {**chosen, **multiples}


def _multiples(size: int) -> list[int]:
    return [size * times for times in MULTIPLES]


def _with_products(form: Form, chosen: Mapping[Place, int]) -> tuple[tuple[Place, int], ...]:
    """Return sizes in which what was the product of an array's axes but the first is so again: what was flattened."""
    products = {}
    for name, array in form.arrays.items():
        if array.ndim > 2:
            rest = [chosen.get(("arrays", name, axis), array.shape[axis]) for axis in range(1, array.ndim)]
            products[math.prod(array.shape[1:])] = math.prod(rest)
    return tuple((place, products.get(_size_at(form, place), size)) for place, size in chosen.items())


def _size_at(form: Form, place: Place) -> int:
    part, name, *path = place
    held = getattr(form, part)[name]
    if part == "arrays":
        return int(held.shape[path[0]])
    for step in path:
        held = held[step]
    return int(held)


def _resized(form: Form, sizes: Mapping[Place, int]) -> Form:
    arrays = {
        name: _like(array, tuple(sizes.get(("arrays", name, axis), size) for axis, size in enumerate(array.shape)))
        for name, array in form.arrays.items()
    }
    parts = {part: _replaced(getattr(form, part), (part,), sizes) for part in ("params", "made")}
    return replace(form, arrays=arrays, params=parts["params"], made=parts["made"])


def _replaced(value: Any, path: Place, sizes: Mapping[Place, int]) -> Any:
    if path in sizes:
        return sizes[path]
    if isinstance(value, Mapping):
        return {key: _replaced(one, (*path, key), sizes) for key, one in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_replaced(one, (*path, k), sizes) for k, one in enumerate(value))
    return value


def _like(array: Array, shape: tuple[int, ...]) -> Array:
    """Return numbers of an array in another shape, over and over."""
    return np.resize(array, shape)
