"""What functions return, taken apart: the members of a tuple, a dict, a dataclass, and what these hold in turn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any


def members_of(returned: Any) -> dict[Any, Any]:
    """Return what a function returned as its members: those of a tuple, list, dict or dataclass, or itself."""
    if hasattr(type(returned), "__array__"):
        return {0: returned}
    if dataclasses.is_dataclass(returned) and not isinstance(returned, type):
        return {field.name: getattr(returned, field.name) for field in dataclasses.fields(returned)}
    if isinstance(returned, Mapping):
        return dict(returned)
    if isinstance(returned, tuple) and hasattr(returned, "_fields"):
        return dict(zip(returned._fields, returned, strict=True))
    if isinstance(returned, (tuple, list)):
        return dict(enumerate(returned))
    return {0: returned}


def leaves(returned: Any) -> Iterator[Any]:
    """Yield what a function returned, members of members too, in order; None is no leaf."""
    if returned is None:
        return
    inside = members_of(returned)
    if len(inside) == 1 and inside.get(0) is returned:
        yield returned
    else:
        for member in inside.values():
            yield from leaves(member)
