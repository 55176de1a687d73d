"""Arrays of frameworks that somebody has at hand, as NumPy's: an audit copies what it is given, and leaves it alone."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from gradaudit.spec.dtypes import dtype_of


def as_numpy(array: Any) -> Any:
    """Return a tensor as a NumPy array of its dtype and, where it is in the CPU's memory, in its memory.

    A tensor that requires a gradient is looked at without it. What is no tensor, or NumPy can read by itself as it can
    JAX's arrays, is returned as it is. No framework is imported: who holds a tensor has done that.

    Raises:
        TypeError: where NumPy has nothing like it, as for sparse tensors.

    """
    torch, tinygrad = sys.modules.get("torch"), sys.modules.get("tinygrad")
    if torch is not None and isinstance(array, torch.Tensor):
        return _of_torch(torch, array)
    if tinygrad is not None and isinstance(array, tinygrad.Tensor):
        return _of_tinygrad(tinygrad, array)
    return array


def _of_torch(torch: Any, tensor: Any) -> Any:
    if tensor.dtype is torch.bfloat16:  # which NumPy has from elsewhere, and torch does not know by name
        return tensor.detach().view(torch.int16).numpy(force=True).view(dtype_of("bfloat16"))
    return tensor.numpy(force=True)


def _of_tinygrad(tinygrad: Any, tensor: Any) -> Any:
    if tensor.dtype == tinygrad.dtypes.bfloat16:
        return tensor.cast(tinygrad.dtypes.float32).numpy().astype(dtype_of("bfloat16"))
    return np.asarray(tensor.numpy())
