"""What happens when a class makes a tensor, for as long as it matters: whatever makes one calls its constructor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def after_making(kind: type, also: Callable[..., None]) -> Iterator[None]:
    """Have the constructor of a class do something else afterwards.

    Args:
        kind: the class.
        also: called with the new tensor and with what the constructor was called with.

    """
    original = kind.__init__  # type: ignore[misc]

    def make(tensor: Any, *args: Any, **kwargs: Any) -> None:
        original(tensor, *args, **kwargs)
        also(tensor, *args, **kwargs)

    kind.__init__ = make  # type: ignore[misc]
    try:
        yield
    finally:
        kind.__init__ = original  # type: ignore[misc]


def unrounded(held: Any, given: Iterable[Any]) -> Any:
    """Return what a tensor holds, or the array that it was given where it holds that in a narrower dtype."""
    arrays = (each for each in given if isinstance(each, (np.ndarray, np.generic)))
    for array in arrays if isinstance(held, np.ndarray) else ():
        narrower = held.dtype.kind == array.dtype.kind == "f" and held.itemsize < array.itemsize
        return array if narrower and held.shape == array.shape else held
    return held
