"""Several seeds in a few characters, as ``0-99`` or ``3,5,8-12``."""

from __future__ import annotations

import re

from gradaudit.spec.document import MAX_SEED

MOST_SEEDS = 10_000
"""Seeds that one run takes at most: each is an audit of every case."""


class NoSeedsError(ValueError):
    """A text names no seeds; says what was found and what was expected."""


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that a text names, each once, in ascending order.

    Args:
        text: numbers and ranges of them, both ends included, with commas between: ``3,5,8-12``.

    Raises:
        NoSeedsError: where a part is neither, a range runs backwards, or there are too many or too large ones.

    """
    seeds: dict[int, None] = {}
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", part, re.ASCII)
        if found is None:
            raise NoSeedsError(f"found '{part.strip()}', expected a seed or a range of seeds, as in 0-99 or 3,5,8-12")
        first, last = int(found[1]), int(found[2] or found[1])
        if first > last:
            raise NoSeedsError(f"found '{part.strip()}', a range that runs backwards; expected {last}-{first}")
        if last > MAX_SEED:
            raise NoSeedsError(f"found {last}, expected seeds up to {MAX_SEED}")
        if last - first >= MOST_SEEDS:
            raise NoSeedsError(f"found {last - first + 1:,} seeds, expected at most {MOST_SEEDS:,}")
        seeds |= dict.fromkeys(range(first, last + 1))
        if len(seeds) > MOST_SEEDS:
            raise NoSeedsError(f"found {len(seeds):,} seeds, expected at most {MOST_SEEDS:,}")
    return tuple(sorted(seeds))
