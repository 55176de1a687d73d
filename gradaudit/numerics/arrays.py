"""What audits ask of arrays, whatever framework they are of and wherever they lie.

Arrays are NumPy's, or another framework's on whatever device: PyTorch's, which can be written to, or JAX's, which
cannot. What the array API has is called in the array's own namespace; the rest, and what NumPy is faster at in its own
way, is here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import array_api_compat
import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.dtypes import dtype_of, is_complex

Array = Any
"""An array of any framework; all arrays of one audit are of the same."""

NUMPY = (np.ndarray, np.generic)
"""NumPy's arrays, and the scalars that its arithmetic makes of arrays without axes."""

IN_CACHE = 2**15
"""Elements of which some arrays fit into a processor's second cache."""


def namespace(array: Array) -> Any:
    """Return the functions that the array API has, for an array's framework."""
    return np if isinstance(array, NUMPY) else array_api_compat.array_namespace(array)


@cache
def dtype_name(dtype: Any) -> str:
    """Return what a spec calls a dtype of any framework."""
    return str(dtype.name) if isinstance(dtype, np.dtype) else str(dtype).rpartition(".")[2]


def count(array: Array) -> int:
    """Return the number of elements."""
    made: int = array.size if isinstance(array, NUMPY) else array_api_compat.size(array)
    return made


def has_complex_dtype(array: Array) -> bool:
    """Whether an array's elements are complex."""
    return array.dtype.kind == "c" if isinstance(array, NUMPY) else is_complex(dtype_name(array.dtype))


def at_a_time(array: Array) -> int:
    """Return how many elements of an array to work on at a time, so that they stay in the processor's cache.

    All, where they lie elsewhere, or where their framework fuses what is done to them.
    """
    near = isinstance(array, NUMPY) or (is_writable(array) and str(array_api_compat.device(array)) == "cpu")
    return IN_CACHE if near else max(1, count(array))


def is_contiguous(array: Array) -> bool:
    """Whether an array's elements lie in memory one after the other in C order."""
    if isinstance(array, NUMPY):
        return bool(array.flags.c_contiguous)
    return not is_writable(array) or bool(array.is_contiguous())


def is_writable(array: Array) -> bool:
    """Whether elements of arrays of this framework can be written to; JAX's stay what they were made."""
    return isinstance(array, NUMPY) or not array_api_compat.is_jax_array(array)


def written(array: Array, place: Any, values: Any) -> Array:
    """Return an array with other values at an index, in a range or where a mask is true.

    The array itself, written to, where that can be; else another.
    """
    if is_writable(array):
        array[place] = values
        return array
    return array.at[place].set(values)


def fused(function: Callable[..., Any], array: Array) -> Callable[..., Any]:
    """Return a function of arrays as the framework of one runs it fastest: JAX compiles it, once for their shapes.

    Args:
        function: of a module, without effects but on arrays that it is given and that can be written to.
        array: of the framework.

    """
    return function if is_writable(array) else _compiled(function)


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    import jax

    compiled: Callable[..., Any] = jax.jit(function)
    return compiled


def cast(array: Array, name: str) -> Array:
    """Return an array in the dtype of a name; itself where it has that already."""
    if isinstance(array, NUMPY):
        return array.astype(dtype_of(name), copy=False)
    xp = namespace(array)
    return xp.astype(array, getattr(xp, name), copy=False)


def copied(array: Array) -> Array:
    """Return an array of its own with the same contents; itself where nobody can write to it."""
    if isinstance(array, NUMPY):
        return array.copy()
    return namespace(array).asarray(array, copy=True) if is_writable(array) else array


def like(host: NDArray[Any], array: Array) -> Array:
    """Return the contents of a NumPy array as one of another's framework, on its device."""
    if isinstance(array, NUMPY):
        return host
    return namespace(array).asarray(host, device=array_api_compat.device(array))


def on_host(array: Array) -> NDArray[Any]:
    """Return the contents of an array as NumPy's, in the same memory where that can be."""
    if isinstance(array, NUMPY) or not is_writable(array):
        return np.asarray(array)
    there = array_api_compat.to_device(array, "cpu")
    if dtype_name(array.dtype) != "bfloat16":
        return np.asarray(there)
    return np.asarray(there.view(namespace(there).int16)).view(dtype_of("bfloat16"))  # which NumPy knows by ml_dtypes


def as_reals(array: Array) -> Array:
    """Return the numbers of an array in C order as float64; a complex one becomes its real and imaginary parts.

    A view where the array is in double precision and contiguous already.
    """
    if isinstance(array, NUMPY):
        if array.dtype.kind == "c":
            return np.ascontiguousarray(array, dtype=np.complex128).reshape(-1).view(np.float64)
        return np.ascontiguousarray(array, dtype=np.float64).reshape(-1)
    wide = "complex128" if has_complex_dtype(array) else "float64"
    return _flat(cast(array, wide)).view(namespace(array).float64)


def joined(arrays: tuple[Array, ...]) -> Array:
    """Return the numbers of several arrays as one vector of float64, which may be a view of a single one."""
    if len(arrays) == 1:
        return as_reals(arrays[0])
    parts = [as_reals(array) for array in arrays]
    return namespace(parts[0]).concat(parts)


def lifted(outputs: tuple[Array, ...]) -> Array:
    """Return all outputs as one fresh float64 vector; a complex number becomes its real and imaginary parts.

    The copy matters: an op may return a view of its input, or the same buffer at every call.
    """
    flat = joined(outputs)
    own = isinstance(flat, NUMPY) and not any(np.may_share_memory(flat, out) for out in outputs)
    return flat if own and flat.flags.writeable else copied(flat)  # JAX's without elements share nothing


def all_finite(array: Array) -> bool:
    """Whether no element is NaN or infinite."""
    return bool(fused(_all_finite, array)(array))


def largest(values: Array) -> float:
    """Return the largest magnitude; 0 for no values."""
    return float(fused(_largest, values)(values)) if count(values) else 0.0


def places(mask: Array) -> NDArray[np.intp]:
    """Return the indices at which a mask is true, one a row."""
    return np.argwhere(on_host(mask))


def same_bits(first: Array, second: Array) -> bool:
    """Whether two arrays of one shape and dtype are the same, bit by bit."""
    return first is second or bool(fused(_same_bits, first)(first, second))


def _all_finite(array: Array) -> Array:
    return namespace(array).isfinite(array).all()


def _largest(values: Array) -> Array:
    return abs(values).max()


def _same_bits(first: Array, second: Array) -> Array:
    return (_words(first) == _words(second)).all()


def _flat(array: Array) -> Array:
    """Return an array's elements in C order, one after the other in memory."""
    flat = array.reshape(-1)
    return flat if is_contiguous(flat) else copied(flat)


def _words(array: Array) -> Array:
    """Return the bits of an array in C order, as integers of the elements' width or of half of it."""
    flat = _flat(array)
    return flat.view(getattr(namespace(array), f"int{8 * min(flat.itemsize, 8)}"))
