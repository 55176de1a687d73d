"""Watching functions of shared libraries that a script calls by ctypes or cffi.

Pointers have no sizes. What an address belongs to is found among the arrays that the call, and those who called it,
have at hand.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.record.calls import MOST, CArgument, CCall, CFunction
from gradaudit.record.watch import Clock

Array = NDArray[Any]

SAMPLED = (1, 2, 10)
"""Which calls of a function are kept: the first, in which outputs change, and the last of the others."""

FRAMES = 6
"""How many callers are asked for the arrays that they hold."""

Resolve = Callable[[Any], "Array | int | float | None"]
"""From an argument to its array, its address, or its number; None for a null pointer."""


class Libraries:
    """Keeps a few calls of each function of the libraries that are loaded from now on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._patched: set[str] = set()
        self._calls: dict[tuple[Path, str], list[CCall]] = {}
        self._counts: dict[tuple[Path, str], int] = {}
        self._declared: dict[Path, Callable[[], str]] = {}

    @property
    def functions(self) -> tuple[CFunction, ...]:
        """What was kept."""
        return tuple(
            CFunction(path, name, self._declared[path](), tuple(calls)) for (path, name), calls in self._calls.items()
        )

    def watch(self, source: bytes) -> None:
        """Watch what a module loads, if its text names ctypes or cffi."""
        if b"ctypes" in source and "ctypes" not in self._patched:
            self._patched.add("ctypes")
            self._patch_ctypes()
        if b"cffi" in source and "cffi" not in self._patched:
            self._patched.add("cffi")
            self._patch_cffi()

    def _patch_ctypes(self) -> None:
        begin = ctypes.CDLL.__init__

        @functools.wraps(begin)
        def init(library: Any, *args: Any, **kwargs: Any) -> None:
            begin(library, *args, **kwargs)
            path = _own_file(library._name)
            if path is None:
                return
            self._declared[path] = str
            kind = library._FuncPtr

            def called(function: Any, *given: Any) -> Any:
                call = functools.partial(kind.__call__, function)
                return self._called(path, function.__name__, call, given, _of_ctypes)

            own = {"_flags_": kind._flags_, "_restype_": kind._restype_, "__call__": called}
            library._FuncPtr = type("_FuncPtr", (kind,), own)

        setattr(ctypes.CDLL, "__init__", init)  # noqa: B010

    def _patch_cffi(self) -> None:
        try:
            import cffi
        except ImportError:
            return
        load = cffi.FFI.dlopen

        @functools.wraps(load)
        def dlopen(ffi: Any, name: Any, *args: Any) -> Any:
            library = load(ffi, name, *args)
            path = _own_file(name)
            if path is None:
                return library
            self._declared[path] = lambda: "\n".join(str(text) for text in getattr(ffi, "_cdefsources", []))
            return _Library(library, lambda name, call: self._watched(path, name, call, _of_cffi(ffi)))

        cffi.FFI.dlopen = dlopen

    def _watched(self, path: Path, name: str, call: Any, resolve: Resolve) -> Callable[..., Any]:
        return lambda *given: self._called(path, name, call, given, resolve)

    def _called(self, path: Path, name: str, call: Any, given: tuple[Any, ...], resolve: Resolve) -> Any:
        key = path, name
        self._counts[key] = count = self._counts.get(key, 0) + 1
        if count not in SAMPLED or (count > 1 and not self._clock.affords):
            return call(*given)
        since = perf_counter()
        resolved = [_resolved(one, resolve) for one in given]
        before = [one.copy() if isinstance(one, np.ndarray) else None for one in resolved]
        self._clock.add(since)
        returned = call(*given)
        since = perf_counter()
        arguments = tuple(map(_argument, resolved, before))
        kept = self._calls.setdefault(key, [])
        kept[1:] = [CCall(arguments, float(returned) if isinstance(returned, (int, float)) else None)]
        self._clock.add(since)
        return returned


class _Library:
    """A library of cffi's, whose functions are watched."""

    def __init__(self, library: Any, watched: Callable[[str, Any], Any]) -> None:
        self._library = library
        self._watched = watched

    def __getattr__(self, name: str) -> Any:
        held = getattr(self._library, name)
        if callable(held):
            held = self._watched(name, held)
            self.__dict__[name] = held
        return held


def _own_file(name: Any) -> Path | None:
    """Return the file of a library that was not installed; None for others."""
    try:
        path = Path(name).resolve()
    except TypeError:
        return None
    theirs = path.is_relative_to("/usr") or path.is_relative_to("/lib") or "site-packages" in path.parts
    return path if path.is_file() and not theirs else None


def _argument(resolved: Any, before: Array | None) -> CArgument:
    if isinstance(resolved, np.ndarray):
        return CArgument(None, before, resolved.copy(), int(resolved.ctypes.data))
    return CArgument(number=resolved) if isinstance(resolved, (int, float)) else CArgument()


def _resolved(value: Any, resolve: Resolve) -> Any:
    found: Any = _array_of(value)
    if found is None:
        found = resolve(value)
        if isinstance(found, _Address):
            found = next((array for array in _at_hand() if array.ctypes.data == found), None)
    if isinstance(found, np.ndarray) and (found.size > MOST or not found.flags.c_contiguous):
        return None
    return found


class _Address(int):
    """The address that a pointer holds."""


def _array_of(value: Any) -> Array | None:
    if isinstance(value, np.ndarray):
        return value
    held = getattr(value, "_arr", None)  # of what numpy's data_as gives
    if isinstance(held, np.ndarray):
        return held
    return np.ctypeslib.as_array(value) if isinstance(value, ctypes.Array) else None


def _of_ctypes(value: Any) -> Any:
    if isinstance(value, ctypes.c_void_p):
        return _Address(value.value) if value.value else None
    if isinstance(value, ctypes._SimpleCData):
        return value.value
    if isinstance(value, ctypes._Pointer):
        return _Address(ctypes.cast(value, ctypes.c_void_p).value or 0)
    if isinstance(value, int) and value > 2**32:
        return _Address(value)
    return value if isinstance(value, (int, float)) else None


def _of_cffi(ffi: Any) -> Resolve:
    def resolve(value: Any) -> Any:
        if not isinstance(value, ffi.CData):
            return value if isinstance(value, (int, float)) else None
        kind = ffi.typeof(value)
        if kind.kind == "array":
            names = {"float": "float32", "double": "float64", "int": "int32", "long": "int64", "int32_t": "int32"}
            dtype = names.get(kind.item.cname, kind.item.cname)
            return np.frombuffer(ffi.buffer(value), dtype)
        if kind.kind == "pointer":
            address = int(ffi.cast("uintptr_t", value))
            return _Address(address) if address else None
        return float(value) if "float" in kind.cname or "double" in kind.cname else int(value)

    return resolve


def _at_hand() -> Iterator[Array]:
    """Yield the arrays among the variables of callers, in their lists, dicts and attributes."""
    frame = sys._getframe(1)
    count = 0
    while frame.f_back is not None and count < FRAMES:
        frame = frame.f_back
        if frame.f_globals.get("__name__") == __name__:
            continue
        count += 1
        for value in [*frame.f_locals.values(), *(frame.f_globals.values() if count == 1 else ())]:
            yield from _arrays_in(value, 0)


def _arrays_in(value: Any, depth: int) -> Iterator[Array]:
    if isinstance(value, np.ndarray):
        yield value
    elif depth < 2 and isinstance(value, (list, tuple)):
        for one in value[:64]:
            yield from _arrays_in(one, depth + 1)
    elif depth < 2 and isinstance(value, dict):
        for one in list(value.values())[:64]:
            yield from _arrays_in(one, depth + 1)
    elif depth == 0 and hasattr(value, "__dict__") and not isinstance(value, type):
        yield from _arrays_in(dict(vars(value)), depth + 1)
