"""Drawing a case's inputs and upstream gradient.

A draw depends on the seed, the op, the case and the input's name, and on nothing else: not on the machine, the order
of the cases or the other inputs. Values are exactly representable in the input's dtype, so that lifting them to
float64 changes nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Avoid, Case, Input, Layout, RandomUpstream
from gradaudit.spec.dtypes import dtype_of, floating_info, is_complex, spacing
from gradaudit.spec.structured import DRAWERS, misfit

Array = NDArray[Any]
Floats = NDArray[np.float64]

AT_A_TIME = 2**13
"""Numbers that are drawn at a time where others are there already: they need not be in memory all at once."""

MAX_ROUNDS = 1_000
"""Rounds of redrawing values that a truncated normal or an avoided point excludes."""


class UndrawableError(ValueError):
    """An input cannot be drawn as its spec asks, and only drawing could tell."""


def draw_inputs(case: Case) -> dict[str, Array]:
    """Return the case's inputs by name, in forward's order, each in its dtype and memory layout.

    Raises:
        UndrawableError: where the dtype is too coarse for what the spec asks.

    """
    return {made.name: draw_input(made, generator(case, made.name)) for made in case.inputs}


def generator(case: Case, name: str, seed: int | None = None) -> np.random.Generator:
    """Return the random stream that belongs to this name within this case, or with another seed than the case has."""
    key = "\0".join((str(case.seed if seed is None else seed), case.op, case.name, name))
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.Generator(np.random.PCG64(np.frombuffer(digest, "<u4", 4)))


def draw_input(made: Input, rng: np.random.Generator) -> Array:
    """Return one input's array: drawn, or built from its explicit values.

    Raises:
        UndrawableError: where the shape is none for what the values are to be.

    """
    dtype = dtype_of(made.dtype)
    if made.values is not None:
        array = _given(made.values, dtype)
    elif problem := misfit(made) or _crowded(made):
        raise UndrawableError(f"input {made.name}: {problem}")
    elif made.distribution not in ("uniform", "normal"):
        array = _DRAWERS[made.distribution](made, rng).astype(dtype)
    elif is_complex(made.dtype):
        parts = [_representable(made, _DRAWERS[made.distribution](made, rng)) for _ in range(2)]
        array = (parts[0] + 1j * parts[1]).astype(dtype)
    else:
        array = _representable(made, _DRAWERS[made.distribution](made, rng))
    if made.columns:
        array = _in_columns(made, array.reshape(made.shape))
    array = array.reshape(made.shape)
    if made.layout == "contiguous" and made.values is None:  # else it belongs to whoever gave it
        return np.require(array, requirements=("C", "W"))
    return laid_out(array, made.layout)


def _in_columns(made: Input, array: Array) -> Array:
    """Return numbers between 0 and 1 moved to the range of their place along the last axis."""
    lows, highs = (np.array(ends) for ends in zip(*made.columns, strict=True))
    moved = np.clip(lows + array.astype(np.float64) * (highs - lows), lows, highs)
    return np.asarray(moved.astype(array.dtype))


def draw_upstream(case: Case, index: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return an upstream gradient for the output at this position.

    Random ones have magnitudes uniform on [1/2, 3/2] and fair signs: none is so small that it hides an output. It is
    one where a scalar's backward takes none.

    Raises:
        UndrawableError: where explicit values do not have the output's shape.

    """
    if not case.takes_upstream and math.prod(shape) == 1:
        return np.ones(shape, dtype)
    if isinstance(case.upstream, str):
        if case.upstream in ("ones", "none"):
            return np.ones(shape, dtype)
        return _random_upstream(case, index, shape, dtype)
    if isinstance(case.upstream, RandomUpstream):
        drawn = np.asarray(_random_upstream(case, index, shape, dtype) * dtype.type(case.upstream.scale))
        if case.upstream.layout == "expanded":
            return np.broadcast_to(drawn[:1], shape) if shape else drawn
        if case.upstream.layout == "narrow":
            return _narrow(drawn)
        return laid_out(np.asarray(drawn, dtype), case.upstream.layout)
    if dtype.kind != "c" and np.iscomplexobj(case.upstream):
        raise UndrawableError("the upstream given is complex, the output is real")
    given = _given(case.upstream, dtype)
    if given.shape != shape:
        raise UndrawableError(f"the given upstream has shape {given.shape}, the output has shape {shape}")
    return given.copy()


def _random_upstream(case: Case, index: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    rng = generator(case, f"upstream[{index}]")
    drawn = _signed_magnitudes(rng, shape)
    drawn = np.asarray(drawn + 1j * _signed_magnitudes(rng, shape)) if dtype.kind == "c" else drawn
    return np.asarray(drawn.astype(dtype, copy=False))


def _signed_magnitudes(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    magnitudes: Floats = np.asarray(rng.random(math.prod(shape)))
    magnitudes += 0.5
    for first in range(0, len(magnitudes), AT_A_TIME):
        some = magnitudes[first : first + AT_A_TIME]
        signs = rng.random(len(some))
        signs -= 0.5
        np.copysign(some, signs, out=some)
    return magnitudes.reshape(shape)


def _narrow(array: Array) -> Array:
    """Return the same values as the middle of an array that is longer along its last axis, with others around."""
    if not array.ndim or not array.size:
        return array
    around = array[..., :1] + array.dtype.type(1)
    return np.concatenate([around, array, around], axis=-1, dtype=array.dtype)[..., 1:-1]


def _given(values: Any, dtype: np.dtype[Any]) -> Array:
    """Return explicit values, which are nested lists or an array already, in a dtype; the array itself if it can be."""
    if not isinstance(values, np.ndarray):
        values = np.asarray(values, dtype=np.float64 if dtype.kind not in "iu" else dtype)
    return np.asarray(values).astype(dtype, copy=False)


def real_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the real part."""
    return np.dtype(f"f{dtype.itemsize // 2}") if dtype.kind == "c" else dtype


def laid_out(array: Array, layout: Layout) -> Array:
    """Return the same values in another memory layout.

    ``transposed`` reverses the order of the axes in memory. ``strided`` takes every second element of a buffer whose
    other elements are NaN, or the dtype's largest value where it has no NaN, so that code that ignores strides shows.
    ``reversed`` goes backwards through memory along the last axis; ``channels_last`` has the second axis innermost.
    """
    if layout == "transposed":
        return np.array(array.T, order="C").T
    if layout == "reversed" and array.ndim:
        return np.array(array[..., ::-1], order="C")[..., ::-1]
    if layout == "channels_last" and array.ndim > 2:
        return np.moveaxis(np.array(np.moveaxis(array, 1, -1), order="C"), -1, 1)
    if layout == "strided" and array.ndim:
        filler = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else array.dtype.type(float("nan"))
        buffer = np.full((*array.shape[:-1], 2 * array.shape[-1]), filler, dtype=array.dtype)
        buffer[..., ::2] = array
        return buffer[..., ::2]
    return np.array(array, order="C")


def room(made: Input) -> float:
    """Return how much of the range is left outside the avoided points; negative where nothing is."""
    return _length(_segments(made))


def _length(segments: list[tuple[float, float]]) -> float:
    return sum([hi - lo for lo, hi in segments]) if segments else -1.0


def has_room(made: Input) -> bool:
    """Whether the elements of an input fit into its range as far apart as they have to be."""
    return rounded_gap(made) * (math.prod(made.shape) - 1) <= room(made)


def _crowded(made: Input) -> str:
    return "its elements do not fit into its range so far apart" if made.gap and not has_room(made) else ""


def rounded_gap(made: Input) -> float:
    """Return the gap to draw with, so that rounding leaves at least the gap asked for; 0 for none.

    Two neighbours round towards each other by half a spacing of the dtype each, after a few roundings in float64.
    """
    if not made.gap:
        return 0.0
    lo, hi = made.range or (-1.0, 1.0)
    largest = max(abs(lo), abs(hi), float(floating_info(made.dtype).smallest_normal))
    return made.gap + (spacing(made.dtype) + 4 * spacing("float64")) * largest


def _segments(made: Input) -> list[tuple[float, float]]:
    """Return the parts of the range outside the avoided points in which the dtype has any number, in order."""
    held = _outside(made.dtype, made.range or (-1.0, 1.0), made.avoid or Avoid((), 0.0))
    # With a gap, elements must not move at the ends of a segment: they are drawn between numbers of the dtype.
    return [inner if made.gap else outer for outer, inner in held]


@lru_cache(maxsize=256)
def _outside(
    dtype: str, limits: tuple[float, float], avoid: Avoid
) -> tuple[tuple[tuple[float, float], tuple[float, float]], ...]:
    """Return each part of a range outside avoided points that has numbers of a dtype, and between which of them."""
    lo, hi = limits
    segments = []
    for point in sorted(avoid.points):
        if lo <= (end := min(hi, point - avoid.margin)):
            segments.append((lo, end))
        lo = max(lo, point + avoid.margin)
    if lo <= hi:
        segments.append((lo, hi))
    held = ((segment, _held(dtype, *segment)) for segment in sorted(set(segments)))
    return tuple((outer, inner) for outer, inner in held if inner[0] <= inner[1])


@cache
def _held(name: str, lo: float, hi: float) -> tuple[float, float]:
    """Return the least number of the dtype that is not below lo, and the largest that is not above hi."""
    dtype = real_dtype(dtype_of(name))
    least, most = np.array([lo, hi]).astype(dtype)
    if float(least) < lo:
        least = np.nextafter(least, dtype.type(np.inf))
    if float(most) > hi:
        most = np.nextafter(most, dtype.type(-np.inf))
    return float(least), float(most)


def _uniform(made: Input, rng: np.random.Generator) -> Floats:
    """Uniform over the range without the avoided parts; with a gap, sorted draws are pushed apart and shuffled."""
    count = math.prod(made.shape)
    segments = _segments(made)
    gap = rounded_gap(made)
    slack = _length(segments) - gap * max(count - 1, 0)
    position = rng.random(count)
    position *= slack
    if made.gap:
        position = (np.sort(position) + gap * np.arange(count))[_shuffled(count, rng)]
    if len(segments) == 1:
        position += segments[0][0]
        return np.asarray(np.minimum(position, segments[0][1], out=position))
    starts, ends = np.array(segments).T
    before = np.concatenate(([0.0], np.cumsum(ends - starts)[:-1]))
    segment = np.searchsorted(before, position, side="right") - 1
    return np.asarray(np.minimum(starts[segment] + (position - before[segment]), ends[segment]))


def _normal(made: Input, rng: np.random.Generator) -> Floats:
    """Normal, centred in the range with a standard deviation of a quarter of its width, truncated to it."""
    lo, hi = made.range or (-1.0, 1.0)
    segments = _segments(made)
    drawn = np.empty(math.prod(made.shape))
    open_places = np.ones(drawn.shape, bool)
    for _ in range(MAX_ROUNDS):
        drawn[open_places] = (lo + hi) / 2 + (hi - lo) / 4 * rng.standard_normal(int(open_places.sum()))
        open_places = ~_inside(segments, drawn)[1]
        if not open_places.any():
            return drawn
    raise UndrawableError(f"input {made.name}: the avoided points exclude almost all of the normal distribution")


def _integers(made: Input, rng: np.random.Generator) -> Floats:
    lo, hi = made.range or (0.0, 1.0)
    return np.asarray(lo + np.floor(rng.random(made.shape) * (hi - lo + 1)))


def _bernoulli(made: Input, rng: np.random.Generator) -> Floats:
    lo, hi = made.range or (0.0, 1.0)
    return np.asarray(np.where(rng.random(made.shape) < 1 - made.probability, lo, hi))


def _one_hot(made: Input, rng: np.random.Generator) -> Floats:
    classes = made.shape[-1]
    chosen = np.floor(rng.random(made.shape[:-1]) * classes)
    return np.asarray(np.arange(classes) == chosen[..., None], dtype=np.float64)


def _permutation(made: Input, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.argsort(rng.random(made.shape), axis=-1, kind="stable")


def _spd(made: Input, rng: np.random.Generator) -> Array:
    """``A A^H / n + I/2``, with A on a grid so coarse that no product is rounded: the same on every machine."""
    n = made.shape[-1]
    parts = [np.floor(rng.random(made.shape) * 16 - 8) / 8 for _ in range(1 + is_complex(made.dtype))]
    factor = parts[0] + 1j * parts[1] if len(parts) > 1 else parts[0]
    return np.asarray(factor @ np.swapaxes(factor, -1, -2).conj() / max(n, 1) + np.eye(n) / 2)


def _shuffled(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.argsort(rng.random(count), kind="stable")


_DRAWERS: dict[str, Callable[[Input, np.random.Generator], Array]] = {
    "uniform": _uniform,
    "normal": _normal,
    "integers": _integers,
    "bernoulli": _bernoulli,
    "one_hot": _one_hot,
    "permutation": _permutation,
    "spd": _spd,
    **DRAWERS,
}


def _representable(made: Input, drawn: Floats) -> Array:
    """Round to the dtype without leaving the range or entering the margins around avoided points."""
    rounded = drawn.astype(real_dtype(dtype_of(made.dtype)), copy=False)
    if rounded is drawn:  # nothing was rounded
        return drawn
    if not (segments := _segments(made)):
        return rounded
    segment, inside = _inside(segments, drawn)
    least, most = np.array([_held(made.dtype, lo, hi) for lo, hi in segments]).astype(rounded.dtype).T[:, segment]
    return np.asarray(np.where(inside, np.maximum(least, np.minimum(rounded, most)), rounded))


def _inside(segments: list[tuple[float, float]], drawn: Floats) -> tuple[Array, Array]:
    """Return the segment, out of several in order, that each number would lie in, and whether it does."""
    starts, ends = np.array(segments).reshape(-1, 2).T
    segment = np.maximum(np.searchsorted(starts, drawn, side="right") - 1, 0)
    return segment, (starts[segment] <= drawn) & (drawn <= ends[segment])
