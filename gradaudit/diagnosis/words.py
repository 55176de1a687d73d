"""Axes in words."""

from __future__ import annotations

from collections.abc import Sequence


def axes_in_words(axes: Sequence[int]) -> str:
    """Write axes as messages do: ``axis 1``, ``axes 0, 2``."""
    return f"{'axis' if len(axes) == 1 else 'axes'} {', '.join(map(str, axes))}"
