"""What was meant by a value that YAML reads as another: ``3``, ``3x4`` or ``(3, 4)`` where a list stands, and more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SEPARATED = re.compile(r"\(?\s*(-?[\d.e+-]+(?:\s*[,x ]\s*-?[\d.e+-]+)*)\s*,?\s*\)?")
"""Numbers as people write a shape or a range outside YAML."""


def meant_list(found: Any) -> str:
    """Return ``"; did you mean [3, 4]?"`` for what can be read as a list of numbers, or an empty string."""
    if isinstance(found, bool) or not isinstance(found, (int, float, str)):
        return ""
    match = SEPARATED.fullmatch(str(found))
    return f"; did you mean [{', '.join(re.split(r'[,x ]+', match[1].replace(' ,', ',')))}]?" if match else ""


def meant_function(found: Any) -> str:
    """Return ``"; did you mean 'ops:relu'?"`` for the dotted path ``ops.relu``, or an empty string."""
    dotted = isinstance(found, str) and re.fullmatch(r"[A-Za-z_][\w.]*\.[A-Za-z_]\w*", found)
    return f"; did you mean '{':'.join(found.rsplit('.', 1))}'?" if dotted else ""


def meant_shape(found: Any) -> str:
    """Return ``"; did you mean {shape: [3, 4]}?"`` for a list of whole numbers, or an empty string."""
    numbers = isinstance(found, list) and all(isinstance(one, int) and not isinstance(one, bool) for one in found)
    return f"; did you mean {{shape: {found}}}?" if numbers else ""


def torn(mapping: Any) -> dict[str, str]:
    """Return the values in parentheses that a mapping in one line was torn at, by key, and its rests by their own.

    ``{shape: (3, 4)}`` is read as the key ``shape`` of ``(3`` and the key ``4)`` of nothing: both give ``(3, 4)``.
    """
    found: dict[str, str] = {}
    opened: list[str] = []
    for key, value in mapping.items() if isinstance(mapping, Mapping) else ():
        if isinstance(value, str) and value.startswith("(") and not value.endswith(")"):
            opened = [str(key), value]
        elif opened and value is None:
            opened = [*opened, str(key)]
            if str(key).endswith(")"):
                name, *parts = opened
                found |= dict.fromkeys((name, *parts[1:]), ", ".join(parts))
                opened = []
        else:
            opened = []
    return found
