"""Inputs from files: activations that a real model gave, which trigger what random numbers do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.errors import nearest

SUFFIXES = (".safetensors", ".npz", ".npy")


class UnreadableFileError(ValueError):
    """A file of arrays cannot be used; says why."""


def array_in(file: Path, name: str) -> NDArray[Any]:
    """Return an array of a file.

    Args:
        file: a ``.safetensors``, ``.npz`` or ``.npy`` file.
        name: which of its arrays; empty where it holds one.

    Raises:
        UnreadableFileError: where there is none, or it cannot be read.

    """
    if file.suffix not in SUFFIXES:
        raise UnreadableFileError(f"found '{file.name}', expected a file ending in {', '.join(SUFFIXES)}")
    if not file.is_file():
        raise UnreadableFileError(f"there is no file '{file}'")
    try:
        arrays = _arrays(file)
    except UnreadableFileError:
        raise
    except Exception as error:  # whatever a reader raises for a file that is not what it says
        raise UnreadableFileError(f"'{file.name}' cannot be read: {error}") from None
    if not name and len(arrays) == 1:
        return next(iter(arrays.values()))
    if name not in arrays:
        said = f"no array '{name}'" if name else f"{len(arrays)} arrays: name one of them"
        hint = nearest(name, list(arrays)) or f"; it has {', '.join(list(arrays)[:8])}"
        raise UnreadableFileError(f"'{file.name}' has {said}{hint}")
    return arrays[name]


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    if file.suffix == ".npy":
        return {"": np.load(file, allow_pickle=False)}
    if file.suffix == ".npz":
        with np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    try:
        from safetensors.numpy import load_file
    except ImportError:
        said = "safetensors files need safetensors, which is not installed: pip install safetensors"
        raise UnreadableFileError(said) from None
    return dict(load_file(file))
