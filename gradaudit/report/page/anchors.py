"""Names of places in a page that a link can lead to: the same in every run, whatever an op is called."""

from __future__ import annotations

import re
from itertools import count

_OTHER = re.compile(r"[^A-Za-z0-9]+")


class Anchors:
    """Gives names that are unique within a page."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, ...], str] = {}
        self._used: set[str] = set()

    def of(self, *words: str) -> str:
        """Return the anchor of these words, the same whenever they are given."""
        if words not in self._given:
            name = "-".join(_OTHER.sub("_", word).strip("_") or "x" for word in words)
            candidates = (name if k == 1 else f"{name}--{k}" for k in count(1))
            self._given[words] = next(each for each in candidates if each not in self._used)
            self._used.add(self._given[words])
        return self._given[words]
