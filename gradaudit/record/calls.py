"""What is kept of a call: copies of its arrays and plain values, and of all else no more than its type."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.coverage.passes import BackwardPass
from gradaudit.drafts.held import GRADIENTS, VALUES

Array = NDArray[Any]

MOST = 2**24
"""Elements of the largest array that is copied."""

STRIDES = re.compile(r"strides?|\w+_stride", re.IGNORECASE)
"""What arguments are called that hide mistakes where they are one."""

PLAIN = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True)
class Opaque:
    """Something that a spec cannot express: an object of this type."""

    kind: str


@dataclass(frozen=True)
class Tensor:
    """A tensor of somebody's own making: the name of its class, and its values.

    ``number`` says whether these are a single Python number.
    """

    kind: str
    value: Array
    number: bool


@dataclass(frozen=True)
class Call:
    """A forward, and how its backward was called afterwards.

    Attributes:
        arguments: what forward was given, by the names of its arguments; ``self`` of layers is not among them.
        output: its first output; None where that is no array.
        made: what the layer's constructor was given, by name.
        held: the arrays that a layer held before forward, by their places.
        modes: its attributes that were set by others since it was made, and are words or truth values.
        words: what each argument of backward was, by name: ``upstream``, ``output``, ``output[k]``, ``cache``, or the
            input that it was the same object as; empty for what is not known. None where no backward followed.

    """

    arguments: Mapping[str, Any]
    output: Array | None
    made: Mapping[str, Any]
    held: Mapping[str, Array]
    modes: Mapping[str, Any] = field(default_factory=dict)
    words: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Watched:
    """What was seen of a backward pass.

    Attributes:
        found: the pass.
        calls: a few of its calls, no two of which are alike.
        seen: how often its forward was called while somebody looked.

    """

    found: BackwardPass
    calls: tuple[Call, ...]
    seen: int


@dataclass(frozen=True)
class CArgument:
    """What a C function was given: a number, or an array before and after the call with the address that it was at."""

    number: float | int | None = None
    before: Array | None = None
    after: Array | None = None
    address: int = 0


@dataclass(frozen=True)
class CCall:
    """A call of a function in a shared library; what its arguments are called is known where it was declared."""

    arguments: tuple[CArgument, ...]
    returned: float | None


@dataclass(frozen=True)
class CFunction:
    """A function of a library, with a few of its calls; ``declared`` is the text it was declared in, if any."""

    library: Path
    name: str
    declared: str
    calls: tuple[CCall, ...]


@dataclass(frozen=True)
class Recording:
    """What was seen of a script.

    Attributes:
        passes: of its own backward passes, by file and line.
        functions: of C functions that may be forwards or backwards.
        troubles: what could not be watched, and why.
        seconds: how long the script took.
        spent: how much of that went into recording.

    """

    passes: tuple[Watched, ...]
    functions: tuple[CFunction, ...]
    troubles: tuple[str, ...]
    seconds: float
    spent: float

    def save(self, file: Path) -> None:
        """Write it to a file that ``load`` reads."""
        with file.open("wb") as out:
            pickle.dump(self, out, protocol=pickle.HIGHEST_PROTOCOL)

    @classmethod
    def load(cls, file: Path) -> Recording:
        """Read what ``save`` wrote, a moment ago and in a folder of our own."""
        with file.open("rb") as held:
            loaded = pickle.load(held)
        assert isinstance(loaded, cls)
        return loaded


def copied(value: Any, depth: int = 0) -> Any:
    """Return a copy of an argument: arrays, plain values, tensors, and tuples, lists and dicts of those."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, (tuple, list)) and depth < 3:
        plain = [copied(one, depth + 1) for one in value]
        return {tuple: tuple, list: list}[type(value)](plain) if type(value) in (tuple, list) else Opaque(_kind(value))
    if isinstance(value, dict) and depth < 3 and all(isinstance(key, str) for key in value):
        return {key: copied(one, depth + 1) for key, one in value.items()}
    array = numbers_of(value)
    if array is not None:
        return array
    return _tensor(value) or Opaque(_kind(value))


def _kind(value: Any) -> str:
    return type(value).__name__


def numbers_of(value: Any) -> Array | None:
    """Return a copy of an array of numbers, NumPy's or a framework's; None for anything else, and for huge ones."""
    if isinstance(value, (np.ndarray, np.generic)):
        array: Array | None = np.array(value)
    elif type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "detach"):
        array = _of_torch(value)
    elif type(value).__module__.partition(".")[0] in ("jax", "jaxlib") and hasattr(value, "__array__"):
        try:
            array = np.array(value)
        except Exception:  # a tracer, which has no values
            array = None
    else:
        array = None
    usable = array is not None and (array.dtype.kind in "fciub" or array.dtype.name == "bfloat16")
    return array if array is not None and usable and array.size <= MOST else None


def _of_torch(tensor: Any) -> Array | None:
    try:
        plain = tensor.detach().cpu()
        if str(plain.dtype) == "torch.bfloat16":
            import ml_dtypes

            return np.array(plain.float().numpy()).astype(ml_dtypes.bfloat16)
        return np.array(plain.numpy())
    except Exception:  # sparse, on a device that cannot be read, or inside of a transformation
        return None


def _tensor(value: Any) -> Tensor | None:
    """Return a tensor of somebody's own making: it has values, and a gradient."""
    if inspect.isroutine(value) or isinstance(value, type) or not any(_has(value, name) for name in GRADIENTS):
        return None
    for name in VALUES:
        held = getattr(value, name, None) if _has(value, name) else None
        if isinstance(held, (int, float)) and not isinstance(held, bool):
            return Tensor(type(value).__name__, np.array(float(held)), number=True)
        array = numbers_of(held)
        if array is not None:
            return Tensor(type(value).__name__, array, number=False)
    return None


def _has(value: Any, name: str) -> bool:
    try:
        return hasattr(value, name)
    except Exception:  # whatever a property of somebody else's raises
        return False


def manner(value: Any) -> Any:
    """Return what makes two calls alike: shapes and dtypes of arrays, and plain values; to be compared only."""
    if isinstance(value, (bool, str, type(None))):
        return value
    if isinstance(value, (int, float)):
        return value if isinstance(value, int) else "number"
    if isinstance(value, (tuple, list)):
        return tuple(manner(one) for one in value[:8])
    if isinstance(value, dict):  # of settings, an op may keep arrays there as well
        plain = {key: one for key, one in value.items() if isinstance(one, PLAIN)}
        return tuple((key, manner(one)) for key, one in list((plain or value).items())[:16])
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return tuple(value.shape), str(value.dtype)
    held = next((getattr(value, name) for name in VALUES if name in getattr(value, "__dict__", {})), None)
    return (_kind(value), np.shape(held)) if isinstance(held, (np.ndarray, int, float)) else _kind(value)


def bound(signature: inspect.Signature | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments by name; those without one by their number. Empty where they do not fit.

    Of those that are not given, strides of one are among them: they are what a case may have another of.
    """
    if signature is None:
        return {f"_{k}": one for k, one in enumerate(args)} | dict(kwargs)
    try:
        by_name = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return {}
    flat: dict[str, Any] = {}
    for name, value in by_name.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            flat |= {f"{name}_{k}": one for k, one in enumerate(value)}
        elif kind is inspect.Parameter.VAR_KEYWORD:
            flat |= value
        else:
            flat[name] = value
    hiding = {name: 1 for name, one in signature.parameters.items() if one.default == 1 and STRIDES.fullmatch(name)}
    return flat | {name: value for name, value in hiding.items() if name not in flat}


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a function; None where it has none."""
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None
