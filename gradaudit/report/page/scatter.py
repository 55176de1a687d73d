"""Analytical over numerical gradient with the line where they are equal, in pixels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from gradaudit.report import numbers
from gradaudit.report.page.axis import Axis, Tick, widened
from gradaudit.results import Mismatch, Result, Verdict

SIZE, LEFT, TOP, BOTTOM = 320, 72, 10, 44
"""Pixels of each side, and of the margins for the numbers of the axes."""

MAX_POINTS = 200
"""Most indices that are drawn: the worst."""


@dataclass(frozen=True)
class Scatter:
    """A picture.

    Attributes:
        title: what it shows.
        size: its width and height.
        frame: x, y, width and height of the square that points lie in.
        points: centres of circles, for complex gradients of the real parts.
        imaginary: centres of squares, for the imaginary parts.
        across, up: ticks of the two axes, which have one range.
        note: what is not drawn, in words; empty where all is.

    """

    title: str
    size: int
    frame: tuple[int, int, int, int]
    points: tuple[tuple[float, float], ...]
    imaginary: tuple[tuple[float, float], ...]
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    note: str


def scatter(result: Result) -> Scatter | None:
    """Return the picture of a result's mismatches; None where no pair of finite numbers is among them."""
    shown = result.mismatches[:MAX_POINTS]
    real = [pair for pair in _pairs(shown, "real") if _is_finite(pair)]
    imaginary = [pair for pair in _pairs(shown, "imag") if _is_finite(pair)] if _is_complex(shown) else []
    values = [value for pair in (*real, *imaginary) for value in pair]
    if not values or not math.isfinite(max(values) - min(values)):
        return None
    low, high = widened(min(values), max(values))
    across = Axis(low, high, LEFT, SIZE - TOP)
    up = Axis(low, high, SIZE - BOTTOM, TOP)
    faults = "undecided" if result.verdict is Verdict.INCONCLUSIVE else "wrong"
    return Scatter(
        title=f"Analytical over numerical at {numbers.counted(len(shown), f'{faults} index', f'{faults} indices')}",
        size=SIZE,
        frame=(LEFT, TOP, SIZE - TOP - LEFT, SIZE - BOTTOM - TOP),
        points=tuple(dict.fromkeys((across.at(x), up.at(y)) for x, y in real)),
        imaginary=tuple(dict.fromkeys((across.at(x), up.at(y)) for x, y in imaginary)),
        across=across.ticks(),
        up=up.ticks(),
        note="; ".join(_notes(result, len(shown), sum(not _is_finite(pair) for pair in _pairs(shown, "real")))),
    )


def _pairs(mismatches: tuple[Mismatch, ...], part: str) -> list[tuple[float, float]]:
    return [(float(getattr(each.numerical, part)), float(getattr(each.analytical, part))) for each in mismatches]


def _is_finite(pair: tuple[float, float]) -> bool:
    return all(map(math.isfinite, pair))


def _is_complex(mismatches: tuple[Mismatch, ...]) -> bool:
    return any(isinstance(value, complex) for each in mismatches for value in (each.analytical, each.numerical))


def _notes(result: Result, shown: int, infinite: int) -> Iterator[str]:
    if (total := max(len(result.mismatches), result.wrong)) > shown:
        yield f"the worst {shown:,} of {total:,}"
    if infinite:
        yield f"{numbers.counted(infinite, 'index', 'indices')} with values that are not finite left out"
