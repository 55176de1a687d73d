"""Which of ever wider walks shows noise, and not the shape of a function."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from statistics import median

from gradaudit.numerics.margins import HALFWAY, HEADROOM, MAX_ATTEMPTS, SMALL_SAMPLE
from gradaudit.numerics.noise import GROWTH, SAME_NOISE, Walk


def widest_plateau(walk_at: Callable[[int], Walk | None], may_be_rounding: Callable[[Walk], bool]) -> int:
    """Return which of ever wider walks is the widest in which what is taken for noise is that.

    Noise is what stays the same as the spacing grows. It may set in, flat, where the stairs of a staircase come into
    view; where it goes on growing, or is not flat, it is the shape of the function.
    """
    best, level = 0, 0.0
    widest: Walk | None = None
    k = 0
    while (walk := walk_at(k)) is not None:
        if widest is None and k > 0 and not may_be_rounding(walk):
            break
        if widest is None or (walk.level <= SAME_NOISE * level and (walk.clear or not walk.repeats(widest))):
            if widest is not None and widest.clear and walk.shape < GROWTH * widest.shape:
                break
            level = max(level, walk.level)
        elif walk.flat and (_steady(walk_at, k) or _steady(walk_at, k + 1)):
            level = walk.level
        elif (later := _onset(walk_at, k)) is not None:
            k, walk = later
            level = walk.level
        else:
            break
        best, widest = k, None if walk.constant else walk
        k += 1
    return best


def _steady(walk_at: Callable[[int], Walk | None], k: int) -> bool:
    """Whether the noise is the same in three walks in a row, not just between neighbours: shape grows slowly too."""
    walks = [walk for walk in map(walk_at, range(k, k + 3)) if walk is not None]
    levels = [walk.level for walk in walks]
    alike = any(wide.repeats(narrow) for narrow, wide in pairwise(walks))
    return len(levels) == 3 and max(levels) <= SAME_NOISE * min(levels) and not alike


def _onset(walk_at: Callable[[int], Walk | None], k: int) -> tuple[int, Walk] | None:
    """Return the walk, from one on, at which noise sets in; None where it does not.

    That of a single output scatters, and two walks of it look alike now and then; but it leaps, which shape cannot, and
    stays. Without this a sawtooth, which cancellation makes of any function, would have the slope of its teeth.
    """
    before = walk_at(k - 1)
    while before is not None and (walk := walk_at(k)) is not None:
        if walk.level > SAME_NOISE * before.level and not walk.flat:  # shape came into view
            return None
        if walk.level > HEADROOM * before.level and _goes_on(walk_at, k):
            return k, walk
        before, k = walk, k + 1
    return None


def _goes_on(walk_at: Callable[[int], Walk | None], k: int) -> bool:
    """Whether most of the next walks show about the same noise."""
    walks = [walk for walk in map(walk_at, range(k, k + MAX_ATTEMPTS)) if walk is not None]
    typical = median(walk.level for walk in walks)
    same = sum(typical <= SAME_NOISE * walk.level <= SAME_NOISE**2 * typical for walk in walks)
    if len(walks) < SMALL_SAMPLE or HALFWAY * same < len(walks):
        return False
    return any(
        wide.level <= narrow.level for narrow, wide in pairwise(walks)
    )  # the shape of a function goes on growing
