"""Strategies of Hypothesis for cases: everything is drawn from a list whose plainest entry comes first.

Hypothesis shrinks towards the beginning of lists: what is left of a failing case is as small and as plain as it can be.
An entry that stands in a list several times is drawn as often.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from gradaudit.explore.allowed import Allowed, resized
from gradaudit.explore.params import ABSENT
from gradaudit.explore.shapes import drawn_anew
from gradaudit.explore.values import drawn_values, listed
from gradaudit.spec.case import Case, Input, Layout, RandomUpstream
from gradaudit.spec.dtypes import largest_value

Draw = Any
"""What Hypothesis hands to a composite strategy."""

MOST_ELEMENTS = (1024,) * 4 + (4096,) * 2 + (16_385,)
"""Elements of a drawn input: now and then more than 64 KiB, beyond which code may take another way."""

SMALL, LARGEST = 5, 130
"""Sizes up to the one are drawn most often, and up to the other at all, but for those that the source names."""

MOST_OFTEN = 24
"""How often those, and none, are drawn for each that is unlikely."""

LARGE = (255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 8193, 16_385)
"""Sizes beyond those, around which larger blocks end."""

FAVOURED = (7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)
"""Sizes around which blocks end."""

OWN = 6
"""How often a param keeps the value that the case gives it, for each other value."""

SHOWN = 12
"""How often inputs have the axes that the spec shows, for each other shape."""

LAYOUTS: tuple[Layout, ...] = ("contiguous",) * 5 + ("transposed", "strided", "reversed", "channels_last")

UPSTREAMS: tuple[Any, ...] = (
    ("random",) * 6
    + ("ones",)
    + tuple(RandomUpstream(layout=layout) for layout in ("expanded", "narrow", "transposed", "strided", "reversed"))
    + (RandomUpstream(layout="channels_last"), 2.0**10, 2.0**-20)
)
"""Upstream gradients; a number is what a random one is multiplied by."""


@dataclass(frozen=True)
class Drawn:
    """A drawn case, and whether the spec shows inputs of such axes; where not, forward takes them nonetheless."""

    case: Case
    shown: bool = True


def cases(everything: Sequence[Allowed], most: int | None = None) -> st.SearchStrategy[Drawn]:
    """Return the strategy for cases from what a spec allows in the place of each of its own.

    No axis is longer than the most, where that is given.
    """

    @st.composite
    def drawn(draw: Draw) -> Drawn:
        return _drawn(draw, draw(st.sampled_from(everything)), most)

    return drawn()


def _drawn(draw: Draw, within: Allowed, longest: int | None) -> Drawn:
    case = _of_drawn_sizes(draw, within, longest)
    case = replace(case, inputs=tuple(_of_places(made, case, within) for made in case.inputs))
    shape = draw(st.sampled_from((None,) * SHOWN + within.shapes))
    case = shape.of(case) if shape else case
    inputs = tuple(_drawn_input(draw, made, case, within) for made in case.inputs)
    upstream = _drawn_upstream(draw, case)
    case = replace(case, inputs=inputs, upstream=upstream, seed=draw(st.integers(0, 99)))
    return Drawn(replace(case, inputs=tuple(listed(made, case) for made in case.inputs)), shape is None)


def _of_drawn_sizes(draw: Draw, within: Allowed, longest: int | None) -> Case:
    case = replace(within.case, inputs=tuple(map(drawn_anew, within.case.inputs)))
    most = draw(st.sampled_from(MOST_ELEMENTS))
    for k, (group, params) in enumerate(zip(within.axes, within.params, strict=True)):
        sizes = _sizes(within, empty=k == 0)
        size = draw(st.sampled_from([size for size in sizes if longest is None or size <= longest]))
        size = min(size, _room(case, group, most))
        case = resized(case, {group: size}, dict.fromkeys(params, size))
    return replace(case, params=dict(_drawn_params(draw, case, within)))


def _drawn_params(draw: Draw, case: Case, within: Allowed) -> Iterator[tuple[str, Any]]:
    """Yield the params of a case, in the order in which a spec names them: its own, or others now and then."""
    for name in dict.fromkeys([*case.params, *within.choices]):
        own = case.params.get(name, ABSENT)
        value = draw(st.sampled_from((own,) * OWN + within.choices.get(name, ())))
        if value is not ABSENT:
            yield name, value


def _sizes(within: Allowed, *, empty: bool) -> list[int]:
    """Return sizes in their order, the likely ones several times; that of an empty axis is the last."""
    written = {size for made in within.case.inputs for size in made.shape}
    blocks = {size + k for size in within.constants.sizes for k in (-1, 0, 1)}
    often = {*FAVOURED, *written, *blocks}
    sizes = [size for size in sorted({*range(1, LARGEST), *often, *LARGE}) if size]
    drawn = [size for size in sizes for _ in range(MOST_OFTEN if size <= SMALL else 6 if size in often else 1)]
    return drawn + [0] * MOST_OFTEN * empty


def _room(case: Case, group: tuple[tuple[str, int], ...], most: int) -> int:
    """Return the largest size that some axes may have beside those that the others have, for so many elements."""
    room = most
    for made in case.inputs:
        own = [axis for name, axis in group if name == made.name]
        if own:
            others = math.prod(size for axis, size in enumerate(made.shape) if axis not in own) or 1
            room = min(room, int((most / others) ** (1 / len(own)) + 1e-9))
    return max(room, 1)


def _of_places(made: Input, case: Case, within: Allowed) -> Input:
    """Return an input whose numbers stand for places along an axis with as large ones as that has."""
    if made.name not in within.below or made.values is not None:
        return made
    group = within.axes[within.below[made.name]]
    size = next(other.shape[group[0][1]] for other in case.inputs if other.name == group[0][0])
    first = made.range[0] if made.range else 0.0
    if any(written.name == made.name and written.values is not None for written in within.case.inputs):
        first = min(first, 0.0)  # those that are listed say nothing of the others
    return replace(made, range=(first, max(size - 1.0, first)))


def _drawn_input(draw: Draw, made: Input, case: Case, within: Allowed) -> Input:
    made = drawn_values(draw, made, case, within)
    if made.layout != "contiguous":
        return replace(made, layout=draw(st.sampled_from((made.layout, "contiguous"))))
    layout: Layout = draw(st.sampled_from(LAYOUTS)) if made.shape else "contiguous"
    return made if layout == "channels_last" and len(made.shape) < 3 else replace(made, layout=layout)


def _drawn_upstream(draw: Draw, case: Case) -> Any:
    if not case.takes_upstream or case.upstream != "random":
        return case.upstream
    drawn = draw(st.sampled_from(UPSTREAMS))
    if not isinstance(drawn, float):
        return drawn
    # As far as the dtype has room for it beside what the op multiplies it by.
    room = 2.0 ** math.floor(math.log2(float(largest_value(case.dtype))) / 4)
    return RandomUpstream(scale=max(min(drawn, room), 1 / room))
