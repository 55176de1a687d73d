"""Forward along a path and the integral of the gradient, in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gradaudit.explain.path_curve import PathCurve
from gradaudit.report.page.axis import Axis, Tick, widened
from gradaudit.report.page.curve_picture import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH


@dataclass(frozen=True)
class PathPicture:
    """A picture.

    Attributes:
        title: what it shows.
        width, height: of the whole.
        frame: x, y, width and height of what lies between the axes.
        changes: points of forward's change.
        integral: the path of the gradient's integral.
        across, up: ticks of the axes.

    """

    title: str
    width: int
    height: int
    frame: tuple[int, int, int, int]
    changes: tuple[tuple[float, float], ...]
    integral: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def path_picture(path: PathCurve) -> PathPicture:
    """Return a path in pixels."""
    low, high = widened(min(*path.changes, *path.integrals), max(*path.changes, *path.integrals))
    across = Axis(0.0, 1.0, LEFT, WIDTH - RIGHT)
    up = Axis(low, high, HEIGHT - BOTTOM, TOP)

    def places(values: Sequence[float]) -> tuple[tuple[float, float], ...]:
        return tuple((across.at(time), up.at(value)) for time, value in zip(path.times, values, strict=True))

    return PathPicture(
        title=f"Change of forward along a path, and integral of the analytical gradient of {path.input}",
        width=WIDTH,
        height=HEIGHT,
        frame=(LEFT, TOP, WIDTH - RIGHT - LEFT, HEIGHT - BOTTOM - TOP),
        changes=places(path.changes),
        integral="M" + "L".join(f"{x} {y}" for x, y in places(path.integrals)),
        across=across.ticks(),
        up=up.ticks(),
    )
