"""Values of whatever framework as numbers in NumPy, and back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PLAIN = (bool, int, float, complex, np.ndarray, np.generic)


def as_numbers(value: Any) -> Array | None:
    """Return a number or an array of numbers as NumPy's; None for anything else."""
    if isinstance(value, PLAIN):
        array = np.asarray(value)
    elif hasattr(value, "detach") and hasattr(value, "resolve_conj"):
        array = np.asarray(value.detach().resolve_conj().numpy())
    elif hasattr(value, "__array__") and hasattr(value, "dtype"):
        array = np.asarray(value)
    else:
        return None
    return array if array.dtype.kind in "biufc" else None


def like(model: Any, array: Array) -> Any:
    """Return an array of NumPy's as what a value is: an array of its framework."""
    if isinstance(model, (bool, int, float, complex)) and array.ndim == 0:
        return array.item()
    if isinstance(model, PLAIN):
        return array
    module = type(model).__module__.partition(".")[0]
    if module == "torch":
        return sys.modules["torch"].as_tensor(np.array(array), dtype=None)
    if module in ("jax", "jaxlib"):
        return sys.modules["jax"].numpy.asarray(array)
    return array


def reals(array: Array) -> NDArray[np.float64]:
    """Return the numbers of an array as real ones, imaginary parts after the real ones."""
    flat = array.reshape(-1)
    if flat.dtype.kind == "c":
        return np.concatenate([flat.real, flat.imag]).astype(np.float64)
    return flat.astype(np.float64)


def is_of_jax(value: Any) -> bool:
    """Return whether a value is an array of JAX's."""
    return type(value).__module__.partition(".")[0] in ("jax", "jaxlib")


def without_jax(value: Any) -> Any:
    """Return a value, or what tuples, lists and dicts hold, with arrays of NumPy in the place of JAX's."""
    if isinstance(value, dict):
        return {name: without_jax(part) for name, part in value.items()}
    if type(value) in (tuple, list):
        return type(value)(map(without_jax, value))
    return np.array(value) if is_of_jax(value) else value


class _LikeJax(ModuleType):
    """A module of JAX whose functions give arrays of NumPy; those of ``jax.numpy`` are NumPy's where it has them."""

    def __init__(self, module: ModuleType) -> None:
        super().__init__(module.__name__)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        if self.__name__ == "jax.numpy" and hasattr(np, name):
            return getattr(np, name)
        value = getattr(self._module, name)
        if isinstance(value, ModuleType):
            return _LikeJax(value)
        return _giving_numpy(value) if callable(value) and not isinstance(value, type) else value


def _giving_numpy(function: Any) -> Any:
    return lambda *given, **named: without_jax(function(*given, **named))


@contextmanager
def in_numpy(namespace: dict[str, Any]) -> Iterator[None]:
    """Let a module find NumPy where it has ``jax.numpy``, which compiles each function for each shape."""
    modules = {name: value for name, value in namespace.items() if _is_module_of_jax(value)}
    namespace |= {name: _LikeJax(module) for name, module in modules.items()}
    try:
        yield
    finally:
        namespace |= modules


def _is_module_of_jax(value: Any) -> bool:
    return isinstance(value, ModuleType) and value.__name__.partition(".")[0] == "jax"
