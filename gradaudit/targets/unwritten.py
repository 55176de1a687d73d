"""Memory that is allocated and not written holds a known number: what a kernel forgot to write is seen by it.

Two calls with different numbers tell what was forgotten from what was computed. glibc's ``M_PERTURB`` (mallopt(3))
reaches blocks of more than 1,032 bytes of whatever library of this process; smaller ones come from caches, of glibc and
of NumPy, so that arrays are also filled where Python code makes them: by ``numpy.empty`` and ``torch.empty``.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Fill:
    """What unwritten memory holds.

    Attributes:
        number: of arrays, whose sign those without one leave out.
        byte: of all other memory. It makes a plain number of every floating dtype: none that is zero or not finite.

    """

    number: float
    byte: int


FIRST, SECOND = Fill(3.0, 0x40), Fill(-6.0, 0xC0)
"""Of the calls that are made first, and of those that repeat them."""

M_PERTURB = -6
"""The parameter of glibc's allocator; see mallopt(3). Memory holds the complement of its lowest byte."""

MAKERS = ("empty", "empty_like")
"""Functions of NumPy that return arrays whose contents nobody has written."""


class _Filling:
    """How this process fills memory now; contexts of several threads share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._depth = 0
        self._replaced: list[tuple[dict[str, Any], str, Any]] = []
        self._newest: tuple[int, Any] = (0, None)
        self._places: list[tuple[dict[str, Any], str, Any]] = []
        self._made: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.fill: Fill | None = None

    def begin(self, fill: Fill) -> Fill | None:
        """Fill with this from now on; return what was filled with before."""
        with self._lock:
            before, self.fill = self.fill, fill
            self._depth += 1
            if self._depth == 1:
                self._replace()
            _perturb(fill)
            return before

    def end(self, before: Fill | None) -> None:
        """Fill with what was filled with before, or with nothing."""
        with self._lock:
            self._depth -= 1
            self.fill = before if self._depth else None
            if not self._depth:
                for names, name, original in self._replaced:
                    names[name] = original
            _perturb(self.fill)

    def _replace(self) -> None:
        """Put functions that fill into the place of NumPy's, wherever modules have them by their own names."""
        self._replaced = [place for place in self._makers() if place[0].get(place[1]) is place[2]]
        for names, name, original in self._replaced:
            if original not in self._made:
                self._made[original] = self._filled(original)
            names[name] = self._made[original]

    def _makers(self) -> list[tuple[dict[str, Any], str, Any]]:
        """Return where NumPy's functions are found: the names of a module, one of them, and the function."""
        number, newest = self._newest
        if len(sys.modules) != number or next(reversed(sys.modules.values())) is not newest:
            self._newest = len(sys.modules), next(reversed(sys.modules.values()))
            modules = [vars(module) for module in list(sys.modules.values()) if isinstance(module, ModuleType)]
            originals = {name: getattr(np, name) for name in MAKERS}
            self._places = [
                (names, name, original)
                for names in modules
                for name, original in originals.items()
                if names.get(name) is original
            ]
        return self._places

    def _filled(self, make: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(make)
        def filling(*args: Any, **keywords: Any) -> Any:
            made = make(*args, **keywords)
            fill = self.fill
            if fill is not None and made.dtype.kind in "fcuib":
                np.ndarray.fill(made, abs(fill.number) if made.dtype.kind == "u" else fill.number)
            return made

        return filling


_filling = _Filling()


@contextmanager
def unwritten(fill: Fill) -> Iterator[None]:
    """Let memory hold this as long as nobody writes to it, as far as can be seen to."""
    before = _filling.begin(fill)
    try:
        with _of_torch(fill):
            yield
    finally:
        _filling.end(before)


def unwritten_number(otherwise: float) -> float:
    """Return what unwritten memory holds now, or another number where nothing fills it."""
    return otherwise if _filling.fill is None else _filling.fill.number


@functools.cache
def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's function, None where another allocator is used."""
    with suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        if libc.gnu_get_libc_version is not None:
            mallopt: Callable[[int, int], int] = libc.mallopt
            return mallopt
    return None


def _perturb(fill: Fill | None) -> None:
    mallopt = _mallopt()
    if mallopt is not None:
        mallopt(M_PERTURB, _of_user() if fill is None else fill.byte ^ 0xFF)


@functools.cache
def _of_user() -> int:
    """Return the perturbation that the user has asked glibc for, 0 for none."""
    with suppress(ValueError):
        return int(os.environ.get("MALLOC_PERTURB_", "0"))
    return 0


def _of_torch(fill: Fill) -> Any:
    """Return a context in which torch's tensors are filled; torch's own switch changes which algorithms it takes."""
    torch = sys.modules.get("torch")
    modes = getattr(getattr(torch, "overrides", None), "TorchFunctionMode", None)
    return nullcontext() if torch is None or modes is None else _torch_mode(torch, modes)(fill)


@functools.cache
def _torch_mode(torch: Any, modes: type[Any]) -> type[Any]:
    makers = {torch.empty, torch.empty_like, torch.empty_strided}
    makers |= {torch.Tensor.new_empty, torch.Tensor.new_empty_strided}

    class Filling(modes):  # type: ignore[misc]
        def __init__(self, fill: Fill) -> None:
            super().__init__()
            self._fill = fill

        def __torch_function__(self, function: Any, types: Any, args: Any = (), keywords: Any = None) -> Any:
            made = function(*args, **(keywords or {}))
            if function in makers:
                number = self._fill.number if made.dtype.is_signed else abs(self._fill.number)
                with suppress(Exception), torch.no_grad():  # some have no elements yet, or none that can be written
                    made.fill_(number)
            return made

    return Filling
