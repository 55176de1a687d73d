"""The same array in every framework that audits know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Make = Callable[[Any], Any]
"""Makes an array of a framework of a NumPy array that is its own."""

WRITABLE = ("numpy", "torch")
"""Those whose arrays can be written to; JAX compiles each operation on each shape, so that it takes a test long."""

ALL = (*WRITABLE, "jax")


@contextmanager
def making(framework: str) -> Iterator[Make]:
    """Give what makes a framework's arrays, with all that has to be on for float64."""
    if framework == "numpy":
        yield lambda array: array.copy(order="K")
    elif framework == "torch":
        torch = pytest.importorskip("torch")
        yield lambda array: torch.from_numpy(array.copy(order="K"))
    else:
        jax = pytest.importorskip("jax")
        with jax.enable_x64(True):
            yield lambda array: jax.numpy.array(array)
