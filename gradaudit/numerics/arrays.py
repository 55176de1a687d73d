"""What audits ask of arrays, whatever framework they are of and wherever they lie.

Arrays are NumPy's, or another framework's on whatever device: PyTorch's, which can be written to, or JAX's, which
cannot. What the array API has is called in the array's own namespace; the rest, and what NumPy is faster at in its own
way, is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
"""Elements that are worked on at a time: some arrays of so many fit into a processor's cache, and calls cost little
beside them. PyTorch shares work on more among threads.
"""

LARGE = 2 * IN_CACHE
"""Bytes from which on an array is copied as an array, compared in place, and worth keeping in its framework.

Of so many elements the quantiles are those of all: their largest hundredth is one of all, give or take a 25th of it.
"""

OF_PRODUCTS = LARGE // np.dtype(np.float64).itemsize
"""Products that are added up at once: OpenBLAS shares those of 10,000 and more among threads, which wait for each other
a thousand times as long as that takes where the processor is busy.
"""


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


def in_cache(vector: Array) -> Sequence[slice]:
    """Return the ranges of a vector to work on one after the other, so that they stay in the processor's cache.

    All of it at once where it lies on a device, or where its framework compiles what is done to arrays of one size.
    """
    size = count(vector)
    if 0 < size <= IN_CACHE:
        return (slice(0, size),)
    near = isinstance(vector, NUMPY) or (is_writable(vector) and str(array_api_compat.device(vector)) == "cpu")
    most = IN_CACHE if near else max(1, size)
    return [slice(first, min(first + most, size)) for first in range(0, size, most)]


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


class Rows:
    """Vectors of one length that come one by one, kept as the rows of one array.

    Memory for all is taken once, where arrays can be written to: memory that is taken anew is cleared first, which
    takes longer than what is written there.
    """

    def __init__(self, many: int) -> None:
        self._many = many
        self._all: Array | None = None
        self._rows: list[Array] = []

    def add(self, row: Array) -> None:
        """Keep the next one."""
        shape = self._many, *row.shape
        if self._all is None and isinstance(row, NUMPY):
            self._all = np.empty(shape, row.dtype)
        elif self._all is None and is_writable(row):
            self._all = namespace(row).empty(shape, dtype=row.dtype, device=array_api_compat.device(row))
        if self._all is not None:
            self._all[len(self._rows)] = row
        self._rows.append(row if self._all is None else ())

    def all(self) -> Array:
        """Return the rows, of shape (rows, elements)."""
        return namespace(self._rows[0]).stack(self._rows) if self._all is None else self._all[: len(self._rows)]


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a module as JAX compiles it, once for each shape of the arrays that it is called with."""
    import jax

    made: Callable[..., Any] = jax.jit(function)
    return made


def elementwise(function: Callable[..., Array], name: str, vectors: tuple[Array, ...], *numbers: float) -> Array:
    """Return what a module's function of ranges of vectors, and of numbers, gives for the whole, in a dtype."""
    if not is_writable(vectors[0]):
        return cast(compiled(function)(*vectors, *numbers), name)
    if len(in_cache(vectors[0])) == 1:
        return cast(function(*vectors, *numbers), name)
    xp = namespace(vectors[0])
    made = xp.empty_like(vectors[0], dtype=getattr(xp, name))
    for part in in_cache(made):
        made[part] = function(*(vector[part] for vector in vectors), *numbers)
    return made


def cast(array: Array, name: str) -> Array:
    """Return an array in the dtype of a name, itself where it has that already; an array of a scalar of NumPy's too."""
    if isinstance(array, NUMPY):
        return np.asarray(array).astype(dtype_of(name), copy=False)
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
    if len(outputs) == 1 and isinstance(outputs[0], NUMPY):
        wide = np.complex128 if outputs[0].dtype.kind == "c" else np.float64
        return np.array(outputs[0], wide, order="C").reshape(-1).view(np.float64)
    return joined(outputs) if len(outputs) > 1 else copied(joined(outputs))


def inner(first: Array, second: Array) -> float:
    """Return the sum of the products of two vectors; no overflow is warned of.

    That of tensors is added up without BLAS, whose threads wait for each other in MKL at any length.
    """
    if not isinstance(first, np.ndarray):
        return sum(float((first[part] * second[part]).sum()) for part in in_cache(first))
    if (size := count(first)) <= OF_PRODUCTS:
        return float(np.vdot(first, second))
    whole = size // OF_PRODUCTS * OF_PRODUCTS
    one, other = first[:whole].reshape(-1, OF_PRODUCTS), second[:whole].reshape(-1, OF_PRODUCTS)
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(np.vecdot(one, other).sum())
    return total if whole == size else total + float(np.vdot(first[whole:], second[whole:]))


def all_finite(array: Array) -> bool:
    """Whether no element is NaN or infinite."""
    if isinstance(array, NUMPY) and array.size <= IN_CACHE:
        return bool(np.isfinite(array).all())
    xp, flat = namespace(array), _flat(array)
    return all(bool(xp.isfinite(flat[part]).all()) for part in in_cache(flat))


def is_zero(array: Array) -> bool:
    """Whether every element is zero; what is not shows in its first part, as a rule."""
    flat = _flat(array)
    return not any(bool((flat[part] != 0).any()) for part in in_cache(flat))


def largest(values: Array) -> float:
    """Return the largest magnitude; 0 for no values, and NaN where there is a NaN."""
    if not count(values):
        return 0.0
    if has_complex_dtype(values):
        return float(abs(values).max())
    return max(float(values.max()), -float(values.min()))  # without an array of magnitudes


def places(mask: Array) -> NDArray[np.intp]:
    """Return the indices at which a mask is true, one a row."""
    return np.argwhere(on_host(mask))


def bits_of(array: Array) -> Any:
    """Return the contents of an array: as bytes, which are fastest where it is small, or as another array."""
    return array.tobytes() if isinstance(array, np.ndarray) and array.nbytes < LARGE else copied(array)


def has_bits(array: Array, bits: Any) -> bool:
    """Whether the contents of an array are what ``bits_of`` returned."""
    return array.tobytes() == bits if isinstance(bits, bytes) else same_bits(array, bits)


def same_bits(first: Array, second: Array) -> bool:
    """Whether two arrays of one shape and dtype are the same, bit by bit."""
    if first is second:
        return True
    if isinstance(first, np.ndarray) and first.nbytes < LARGE:
        return bool(first.tobytes() == second.tobytes())
    one, other = _words(first), _words(second)
    return all(bool((one[part] == other[part]).all()) for part in in_cache(one))


def _flat(array: Array) -> Array:
    """Return an array's elements in C order, one after the other in memory."""
    flat = array.reshape(-1)
    return flat if is_contiguous(flat) else copied(flat)


def _words(array: Array) -> Array:
    """Return the bits of an array in C order, as integers of the elements' width or of half of it."""
    flat = _flat(array)
    return flat.view(getattr(namespace(array), f"int{8 * min(flat.itemsize, 8)}"))
