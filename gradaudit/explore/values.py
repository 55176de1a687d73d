"""Values of a drawn input: few digits, and now and then those at which code takes another way.

They are said by the keys of a spec where these can say them, and listed for small arrays only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from numpy.typing import NDArray

from gradaudit.explore.allowed import Allowed
from gradaudit.spec.case import Case, Input
from gradaudit.spec.draw import UndrawableError, draw_input, generator, has_room, real_dtype
from gradaudit.spec.dtypes import dtype_of, floating_info, is_complex, is_floating

Array = NDArray[Any]

MOST_LISTED = 64
"""Elements of an array whose values a spec lists."""

MOST_DIGITS = 3
"""Decimals that drawn values are rounded to, if fewer do not keep them apart."""

MOST_MORE = 2
"""Elements of an array that are given special values beside the first."""

DISCRETE = ("integers", "bernoulli", "one_hot", "permutation")
"""Distributions of values that are no different when they are listed."""

ROOM_BELOW = 2.0**-20
"""How small a subnormal number is, in units of a dtype's spacing, that still has digits to lose."""

WIDER = (8.0, 64.0)
"""How much wider a range is tried that nobody wrote down."""


def drawn_values(draw: Any, made: Input, case: Case, within: Allowed) -> Input:
    """Return an input with drawn values."""
    if not math.prod(made.shape):
        return replace(made, values=None)
    if made.values is not None or made.columns:
        return made
    if made.distribution == "bernoulli":
        return _one_end(draw, made)
    if not is_floating(made.dtype):
        return _whole(draw, made)
    if made.distribution not in ("uniform", "normal") or made.range is None:
        return made
    if is_complex(made.dtype):
        return _equal_or_not(draw, made, _specials(made, within))
    if made.gap and not has_room(made):
        reject()
    if made.gap:
        return _listed(made, case, {})
    if made.name in within.unbounded:
        times = draw(st.sampled_from((1.0,) * 6 + WIDER))
        made = replace(made, range=(made.range[0] * times, made.range[1] * times))
    return _real(draw, made, case, _specials(made, within))


def _real(draw: Any, made: Input, case: Case, specials: Sequence[float]) -> Input:
    """Return an input with values out of its range: a few special ones, all equal, many equal, small, or as drawn.

    The first special value and its place are drawn for all alike: shrinking may then take one for the other.
    """
    value = draw(st.sampled_from(specials or (0.0,)))
    places = st.integers(0, math.prod(made.shape) - 1)
    place = draw(places)
    kinds = ["plain"] * 6 + ["some"] * 4 * bool(specials) + ["equal"] * 2 * bool(specials) + ["whole", "small", "full"]
    match draw(st.sampled_from(kinds)):
        case "some":
            more = draw(st.dictionaries(places, st.sampled_from(specials), max_size=MOST_MORE))
            return _listed(made, case, {**more, place: value})
        case "equal":
            return replace(made, range=(value, value), distribution="uniform", avoid=None)
        case "whole":
            return _ties(made)
        case "small":
            return _small(draw, made)
        case "full":
            return made
    return _listed(made, case, {})


def _equal_or_not(draw: Any, made: Input, specials: Sequence[float]) -> Input:
    """Return a complex input as it is drawn, or with all real and imaginary parts equal: no spec lists its values."""
    value = draw(st.sampled_from(specials or (0.0,)))
    equal = specials and draw(st.sampled_from((False, False, False, True)))
    return replace(made, range=(value, value), distribution="uniform", avoid=None) if equal else made


def _whole(draw: Any, made: Input) -> Input:
    """Return an input of whole numbers: as they are drawn, or all equal."""
    if made.distribution not in ("integers", "uniform") or made.range is None:
        return made
    lo, hi = made.range
    made = replace(made, distribution="integers")
    return replace(made, range=draw(st.sampled_from(((lo, hi), (lo, hi), (lo, hi), (lo, lo), (hi, hi)))))


def _one_end(draw: Any, made: Input) -> Input:
    """Return a mask as it is drawn, or one that hides nothing, or everything."""
    lo, hi = made.range or (0.0, 1.0)
    value = draw(st.sampled_from((None, None, None, lo, hi)))
    return made if value is None else replace(made, range=(value, value))


def _specials(made: Input, within: Allowed) -> list[float]:
    """Return the values within an input's range at which code takes another way, the plainest first."""
    lo, hi = made.range or (-1.0, 1.0)
    info = floating_info(made.dtype)
    tiny = float(info.smallest_normal)
    candidates = [0.0, 1.0, -1.0, lo, hi, *within.constants.values, -0.0, tiny, -tiny]
    if tiny < ROOM_BELOW * float(info.eps):
        candidates += [tiny / 2, -tiny / 2]
    dtype = real_dtype(dtype_of(made.dtype))
    held = [float(dtype.type(value)) for value in candidates]
    allowed = [value for value in held if lo <= value <= hi and _is_apart(made, value)]
    return list({(value, math.copysign(1.0, value)): value for value in allowed}.values())


def _is_apart(made: Input, value: float) -> bool:
    return made.avoid is None or all(abs(value - point) >= made.avoid.margin for point in made.avoid.points)


def _ties(made: Input) -> Input:
    """Return an input of whole numbers in a floating dtype, of which many are equal."""
    lo, hi = (math.ceil(made.range[0]), math.floor(made.range[1])) if made.range else (-1, 1)
    if lo > hi or not all(_is_apart(made, value) for value in range(max(lo, -9), min(hi, 9) + 1)):
        return made
    return replace(made, distribution="integers", range=(float(max(lo, -9)), float(min(hi, 9))), avoid=None)


def _small(draw: Any, made: Input) -> Input:
    """Return an input with values close to zero, where its range holds them."""
    lo, hi = made.range or (-1.0, 1.0)
    if not lo <= 0.0 <= hi or made.avoid is not None:
        return made
    scale = draw(st.sampled_from((2.0**-10, 2.0**-20)))
    if max(abs(lo), abs(hi)) * scale < 2**10 * float(floating_info(made.dtype).smallest_normal):
        return made
    return replace(made, range=(lo * scale, hi * scale))


def _listed(made: Input, case: Case, places: dict[int, float]) -> Input:
    """Return an input with its values listed, some of them at will; one with too many as it is drawn."""
    if math.prod(made.shape) > MOST_LISTED:
        return made
    try:
        drawn = draw_input(replace(made, layout="contiguous"), generator(case, made.name))
    except UndrawableError:
        return made
    values = _rounded(made, drawn).reshape(-1)
    for place, value in places.items():
        values[place] = value
    return replace(made, values=values.reshape(made.shape), distribution="uniform", range=None, avoid=None, gap=0.0)


def listed(made: Input, case: Case) -> Input:
    """Return a small input with the values listed that the case draws for it."""
    drawn = made.values is None and made.distribution in ("uniform", "normal", *DISCRETE) and not made.columns
    if not drawn or is_complex(made.dtype) or not 0 < math.prod(made.shape) <= MOST_LISTED:
        return made
    try:
        values = draw_input(replace(made, layout="contiguous"), generator(case, made.name))
    except UndrawableError:
        return made
    return replace(made, values=values, distribution="uniform", range=None, avoid=None, gap=0.0)


def _rounded(made: Input, drawn: Array) -> Array:
    """Return values with as few decimals as keep them apart, and within what the spec asks of them."""
    wide = drawn.astype(np.float64)
    for digits in range(1, MOST_DIGITS + 1):
        rounded = np.round(wide, digits).astype(drawn.dtype)
        if _is_kept(made, np.round(wide, digits), rounded):
            return rounded
    return drawn.copy()


def _is_kept(made: Input, decimal: Array, rounded: Array) -> bool:
    lo, hi = made.range or (-1.0, 1.0)
    ordered = np.sort(decimal, axis=None)
    apart = np.diff(ordered).min(initial=np.inf)
    inside = bool(((rounded >= lo) & (rounded <= hi)).all()) and not (decimal == 0.0).any()
    clear = all(_is_apart(made, value) for value in decimal.reshape(-1).tolist())
    return inside and clear and apart > 0 and apart >= made.gap - 1e-9


def listed_of(values: Sequence[Any] | Array, dtype: str) -> Any:
    """Return an array as nested lists of the shortest decimals that its dtype holds it by."""
    array = np.asarray(values)
    if not is_floating(dtype):
        return array.astype(np.int64).tolist()
    return _nested(array.astype(dtype_of(dtype)))


def _nested(array: Array) -> Any:
    if array.ndim:
        return [_nested(row) for row in array]
    return float(str(array[()]))
