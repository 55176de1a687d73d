"""What an input is likely to be, by its name: shapes in which no size equals another, and the values that it takes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradaudit.drafts.said_shapes import said_shapes
from gradaudit.spec.case import Input

Array = NDArray[Any]
Shape = tuple[int, ...]
Values = Literal["floats", "labels", "mask", "one_hot"]

ROWS, COLUMNS, OUT = 3, 4, 5
"""Of a matrix of samples, and of what weights make of its columns."""

IMAGES: tuple[Shape, ...] = ((2, 4, 7, 5), (2, 4, 6, 8), (2, 7, 5, 4))
SEQUENCES: tuple[Shape, ...] = ((2, 3, 4),)
DATA: tuple[Shape, ...] = ((3, 4), (2, 3, 4), (2, 4, 7), *IMAGES, (4,), (), (4, 1), (4, 6), (1, 4), (4, 4), (4, 7, 5))
WEIGHTS: tuple[Shape, ...] = (
    (4, 5),
    (5, 4),
    (4,),
    (5, 4, 3, 3),
    (5, 3),
    (5, 5),
    (4, 4),
    (4, 1),
    (1, 4),
    (7, 4),
    (4, 20),
    (5, 20),
    (3, 3, 4, 5),
    (5, 4, 3),
    (3, 3),
    (3,),
)
BIASES: tuple[Shape, ...] = (
    (5,),
    (4,),
    (1, 5),
    (5, 1),
    (1, 4),
    (4, 1),
    (),
    (1,),
    (3,),
    (20,),
    (1, 1, 1, 5),
    (1, 4, 1, 1),
    (5, 1, 1),
)
SCALES: tuple[Shape, ...] = ((4,), (5,), (1, 4), (4, 1), (3, 1), (1, 4, 1, 1), (3,), ())
STATES: tuple[Shape, ...] = ((3, 5), (5,), (5, 1), (3, 4), (4,), (5, 3))

WEIGHT_NAMES = re.compile(
    r"w\d*|w_?[a-z]{1,3}\d?|w(eigh)?ts?\d*|.*weights?\d*|kernels?|filters?|theta|table|embeddings?|u|v|proj|matrix"
)
BIAS_NAMES = re.compile(r"b\d*|b_?[a-z]\d?|bias(es)?\d*|.*_bias")
SCALE_NAMES = re.compile(r"gamma|beta|gain|shift|scales?|ln_?[wb]|alpha")
STATE_NAMES = re.compile(r"h|h_?prev|prev_?h|h_?0|hidden\w*|c_?prev|prev_?c|c|state|s_?prev")
LABEL_NAMES = re.compile(r"y|t|ys|labels?|targets?|y_?true|truth|classes|gold|y_?batch|tgt")
INDEX_NAMES = re.compile(r"(idx|ids?|index|indices|indexes|tokens?|positions?|.*_(ids?|idx|indices))")
MASK_NAMES = re.compile(r"masks?|.*_mask|keep|dropout_mask")
PREDICTIONS = re.compile(
    r"y_?(hat|pred)|preds?|predictions?|p|probs?|probabilit(y|ies)|a_?l|a|logits?|outputs?|o|scores"
)


@dataclass(frozen=True)
class Candidate:
    """A shape, and what stands in it; labels are below ``classes``."""

    shape: Shape
    values: Values = "floats"
    classes: int = COLUMNS


PROBABILITIES = (0.05, 0.95)
RANGES: tuple[tuple[float, float], ...] = ((-2.0, 2.0), (0.25, 2.0), PROBABILITIES, (1.25, 3.0))
"""Where floats are drawn from, those of the first that forward is finite for: some ops want positive ones."""


def ranges(names: Sequence[str], *, logarithm: bool) -> tuple[tuple[float, float], ...]:
    """Return where floats may be drawn from: probabilities from between 0 and 1, where their logarithm is taken."""
    of_probabilities = logarithm and any(PREDICTIONS.fullmatch(name.lower().strip("_")) for name in names)
    return (PROBABILITIES, *RANGES) if of_probabilities else RANGES


def candidates(names: Sequence[str], function: Callable[..., Any] | None = None) -> dict[str, tuple[Candidate, ...]]:
    """Return what each of an op's inputs may be, the likeliest first: what the function says of its shape."""
    said = said_shapes(function)
    made = _by_name(names)
    return {
        name: tuple(dict.fromkeys([*(replace(one, shape=said[name]) for one in _of_each_kind(options)), *options]))
        if name in said
        else options
        for name, options in made.items()
    }


def _of_each_kind(options: Sequence[Candidate]) -> Iterator[Candidate]:
    """Yield the first candidate of each kind of values."""
    found: dict[str, Candidate] = {}
    for one in options:
        found.setdefault(one.values, one)
    yield from found.values()


def _by_name(names: Sequence[str]) -> dict[str, tuple[Candidate, ...]]:
    plain = [plain_name(name) for name in names]
    pair = set(plain) <= {"a", "b", "c"} or (len(names) == 1 and not INDEX_NAMES.fullmatch(plain[0]))
    made = {name: tuple(_of(word, k == 0, pair=pair)) for k, (name, word) in enumerate(zip(names, plain, strict=True))}
    if any(STATE_NAMES.fullmatch(word) for word in plain[1:]):
        made |= {
            name: tuple(map(Candidate, RECURRENT[kind]))
            for name, word in zip(names, plain, strict=True)
            if (kind := _recurrent(word))
        }
    return made


RECURRENT: dict[str, tuple[Shape, ...]] = {
    "into": ((4, 5), (4, 20), (5, 4), (20, 4)),
    "within": ((5, 5), (5, 20), (20, 5)),
    "bias": ((5,), (20,), (5, 1), (1, 5), (20, 1), (1, 20)),
    "state": ((3, 5), (2, 5), (5,), (5, 3), (5, 1)),
}
"""Shapes in recurrent cells, of 5 units with up to four gates."""


def _recurrent(word: str) -> str:
    """Return what an input of a recurrent cell is, by its name; empty for others."""
    if STATE_NAMES.fullmatch(word):
        return "state"
    if BIAS_NAMES.fullmatch(word):
        return "bias"
    if re.fullmatch(r"u\w?|v|w_?(h\w*|aa|rec\w*|s)|.*(hh|recurrent|hidden).*", word):
        return "within"
    return "into" if WEIGHT_NAMES.fullmatch(word) else ""


def is_parameter(name: str) -> bool:
    """Whether something of this name is likely to be an array of parameters."""
    word = name.lower().strip("_")
    return any(pattern.fullmatch(word) for pattern in (WEIGHT_NAMES, BIAS_NAMES, SCALE_NAMES))


def plain_name(name: str) -> str:
    """Return a name in small letters, without what marks it as an earlier one or an input."""
    return re.sub(r"_?(prev|in|input|np|arr|array|data)$", "", name.lower().strip("_")) or name.lower()


def _of(word: str, first: bool, *, pair: bool) -> Iterator[Candidate]:
    if pair:
        yield from _alone() if first else _beside()
        return
    for pattern, likely, may_be_first in NAMED:
        if pattern.fullmatch(word) and (may_be_first or not first):
            yield from likely
            return
    if first:
        yield from map(Candidate, DATA)
        yield from (Candidate(shape, "labels") for shape in ((ROWS,), (2, 3)))
    else:
        yield from _beside()


NAMED: tuple[tuple[re.Pattern[str], tuple[Candidate, ...], bool], ...] = (
    (MASK_NAMES, tuple(Candidate(shape, "mask") for shape in (DATA[0], (2, 3), *DATA[1:])), True),
    (
        INDEX_NAMES,
        (
            *(Candidate(shape, "labels") for shape in ((6,), (2, 3), (3,), ())),
            *(Candidate(shape, "labels", 7) for shape in ((6,), (2, 3))),
        ),
        True,
    ),
    (
        LABEL_NAMES,
        (
            *(Candidate(shape, "labels") for shape in ((ROWS,), (2, 3))),
            *map(Candidate, (*DATA, (ROWS,), (ROWS, 1), (ROWS, OUT), (1, ROWS))),
            *(Candidate(shape, "one_hot") for shape in ((ROWS, COLUMNS), (ROWS, OUT))),
        ),
        False,
    ),
    (BIAS_NAMES, tuple(map(Candidate, BIASES)), True),
    (SCALE_NAMES, tuple(map(Candidate, SCALES)), True),
    (WEIGHT_NAMES, tuple(map(Candidate, WEIGHTS)), True),
    (STATE_NAMES, tuple(map(Candidate, STATES)), False),
)
"""What inputs of some names are, the likeliest first, and whether the first input of an op may be one of those."""


def _alone() -> Iterator[Candidate]:
    """Yield what the only input of an op may be, or the first of two that are alike."""
    yield from map(Candidate, dict.fromkeys((*DATA, *WEIGHTS)))
    yield Candidate((ROWS,), "labels")


def _beside() -> Iterator[Candidate]:
    """Yield what an input may be that stands beside another, and has no name that tells."""
    likely: tuple[Shape, ...] = ((3, 4), (4,), (3,), (2, 3, 4), (4, 5))
    yield from map(Candidate, dict.fromkeys((*likely, *DATA, *WEIGHTS)))
    yield Candidate((ROWS,), "labels")


def combinations(possible: dict[str, tuple[Candidate, ...]], most: int) -> Iterator[dict[str, Candidate]]:
    """Yield combinations of candidates, the likeliest first: those whose places in their lists add up to the least.

    A scale and its shift have one shape.
    """
    names = [name for name in possible if _scale_of(name, possible) == name]
    sizes = [len(possible[name]) for name in names]
    made = 0
    for height in range(sum(size - 1 for size in sizes) + 1):
        for ranks in _adding_up(sizes, height):
            made += 1
            if made > most:
                return
            rank = dict(zip(names, ranks, strict=True))
            yield {name: options[rank[_scale_of(name, possible)]] for name, options in possible.items()}


SHIFTS = {"beta": "gamma", "shift": "scale"}
"""What stands beside a scale, and is of its shape."""


def _scale_of(name: str, possible: dict[str, tuple[Candidate, ...]]) -> str:
    """Return the input that one has the shape of: itself, or its scale where it has the same candidates."""
    scale = SHIFTS.get(name, name)
    return scale if possible.get(scale) == possible[name] else name


def _adding_up(sizes: Sequence[int], height: int) -> Iterator[tuple[int, ...]]:
    if not sizes:
        if height == 0:
            yield ()
        return
    for first in range(min(sizes[0] - 1, height) + 1):
        for rest in _adding_up(sizes[1:], height - first):
            yield (first, *rest)


def planned(name: str, chosen: Candidate, limits: tuple[float, float], *, differentiable: bool = True) -> Input:
    """Return how an input is made that was found to be of this kind."""
    if chosen.values == "labels":
        return Input(name, chosen.shape, "int64", False, (0.0, chosen.classes - 1.0), "integers")
    if chosen.values == "mask":
        return Input(name, chosen.shape, "float64", False, (0.0, 1.0), "bernoulli")
    if chosen.values == "one_hot":
        return Input(name, chosen.shape, "float64", differentiable, None, "one_hot")
    return Input(name, chosen.shape, "float64", differentiable, limits)


def drawn(name: str, chosen: Candidate, limits: tuple[float, float]) -> Array:
    """Return numbers like those that the input will have, always the same."""
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little"))
    if chosen.values == "labels":
        return np.asarray(rng.integers(0, chosen.classes, chosen.shape))
    if chosen.values == "mask":
        return (rng.random(chosen.shape) < 0.5).astype(np.float64)
    if chosen.values == "one_hot":
        return np.asarray(np.eye(chosen.shape[-1])[rng.integers(0, chosen.shape[-1], chosen.shape[:-1])])
    return np.asarray(rng.uniform(*limits, chosen.shape))
