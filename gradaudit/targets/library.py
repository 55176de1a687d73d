"""Ops in a shared library: C functions, or what has their calling convention, reached by their declarations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Case
from gradaudit.spec.declarations import Declaration, Parameter, declarations
from gradaudit.spec.errors import nearest
from gradaudit.spec.op_targets import LibraryTarget
from gradaudit.targets.op import OpError
from gradaudit.targets.python import added
from gradaudit.targets.unwritten import unwritten_number

Array = NDArray[Any]

GUARD = 64
"""Elements behind each buffer that nobody may write to."""

SENTINEL = 77
"""What they hold."""


@dataclass(frozen=True)
class Buffer:
    """Memory that a function is given: an array, with a guard behind it."""

    whole: Array
    size: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: Array, dtype: str) -> Buffer:
        """Return a copy of an array in a dtype."""
        whole = np.full(array.size + GUARD, SENTINEL, dtype)
        whole[: array.size] = array.reshape(-1)
        return cls(whole, array.size, array.shape)

    @property
    def array(self) -> Array:
        """What it holds."""
        return self.whole[: self.size].reshape(self.shape)

    @property
    def overrun(self) -> bool:
        """Whether something was written behind its end."""
        return bool((self.whole[self.size :] != SENTINEL).any())


@dataclass(frozen=True)
class LibraryOp:
    """A pair of C functions.

    Attributes:
        target: the library, and what its functions' arguments mean.
        forward_function: the declaration of forward.
        backward_function: the declaration of backward.
        params: values of the arguments that are numbers.
        dtype: the case's.

    """

    target: LibraryTarget
    forward_function: Declaration
    backward_function: Declaration
    params: Mapping[str, Any]
    dtype: str

    reentrant: ClassVar[bool] = True
    """Calls share nothing but what their functions do."""

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return what forward writes into the buffers that are outputs, or the number that it returns."""
        wide = self._wide(inputs)
        outputs = {name: np.full(shape, unwritten_number(0.0)) for name, shape in self._shapes(inputs).items()}
        first = next(iter(outputs), "")
        if first:
            outputs[first] = np.full(outputs[first].shape, unwritten_number(np.nan))
        buffers, returned = self._called(self.forward_function, {**inputs, **outputs}, wide=wide)
        if not outputs:
            return (np.asarray(returned, dtype="float64" if wide else self._narrow(self.forward_function)),)
        return tuple(buffers[name].array.copy() for name in outputs)

    def differentiable_outputs(self, outputs: tuple[Array, ...]) -> tuple[int, ...]:
        """Return the positions of the outputs that backward takes an upstream for, else the first."""
        return self.target.differentiable_outputs or (0,)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Array, ...]
    ) -> dict[str, Array | None]:
        """Return what backward writes into, or adds to, the buffers of gradients."""
        if self.target.accumulates is False:
            return self._gradients(upstream, inputs, outputs, unwritten_number(1.0))
        clear = self._gradients(upstream, inputs, outputs, 0.0)
        if self.target.accumulates is None:
            return clear
        noisy = self._gradients(upstream, inputs, outputs, 1.0)
        return {name: added(clear[name], np.ones_like(clear[name]), noisy[name]) for name in clear}

    def _gradients(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Array, ...], noise: float
    ) -> dict[str, Any]:
        wide = self._wide(inputs)
        names = list(self.target.outputs)
        given: dict[str, Array] = {**inputs, **dict(zip(names, outputs, strict=False))}
        counted = [names[k] for k in self.differentiable_outputs(outputs)] if names else [""]
        gradients = {}
        for argument, name in self.target.gradients.items():
            if name in counted:
                given[argument] = upstream[counted.index(name)]
            elif name in inputs:
                given[argument] = np.full(inputs[name].shape, noise)
                gradients[name] = argument
            else:
                given[argument] = np.zeros(self._shapes(inputs)[name])
        buffers, _ = self._called(self.backward_function, given, wide=wide)
        return {name: buffers[argument].array.copy() for name, argument in gradients.items()}

    def _shapes(self, inputs: Mapping[str, Array]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the outputs: numbers, params, or names of inputs that have the same."""
        shapes = {}
        for name, shape in self.target.outputs.items():
            if isinstance(shape, str):
                shapes[name] = inputs[shape].shape
            else:
                shapes[name] = tuple(size if isinstance(size, int) else int(self.params[size]) for size in shape)
        return shapes

    def _wide(self, inputs: Mapping[str, Array]) -> bool:
        floats = [one for one in inputs.values() if one.dtype.kind == "f"]
        return all(one.dtype.itemsize == 8 for one in floats) and (
            bool(self.target.float64) or self._narrow(self.forward_function) == "float64"
        )

    def _narrow(self, function: Declaration) -> str:
        kinds = [one.dtype for one in function.parameters if one.floating and one.pointer]
        return kinds[0] if kinds else "float64"

    def _called(
        self, function: Declaration, given: Mapping[str, Array], *, wide: bool
    ) -> tuple[dict[str, Buffer], Any]:
        double = wide and bool(self.target.float64)
        path = Path(self.target.float64 if double else self.target.path)
        return call_function(path, function, given, self.params, double=double)


def call_function(
    path: Path, function: Declaration, given: Mapping[str, Array], params: Mapping[str, Any], *, double: bool
) -> tuple[dict[str, Buffer], Any]:
    """Call a function of a library with copies of arrays; return those, and what it returned.

    Args:
        path: the library.
        function: what is called.
        given: the arrays that its pointers point to, by name; the others are null.
        params: its numbers, by name.
        double: whether the library was built with ``double`` for ``float``.

    Raises:
        OpError: where the function cannot be called, or writes behind the end of an array.

    """
    ffi, call = _function(path, function, double=double)
    buffers: dict[str, Buffer] = {}
    arguments = []
    for one in function.parameters:
        if not one.pointer:
            arguments.append(_number(one, function, params))
        elif one.name not in given:
            arguments.append(ffi.NULL)
        else:
            dtype = "float64" if double and one.kind == "float" else one.dtype
            buffers[one.name] = Buffer.of(np.asarray(given[one.name]), dtype)
            arguments.append(ffi.cast(f"{_cdef(one, double=double)} *", buffers[one.name].whole.ctypes.data))
    returned = call(*arguments)
    for name, buffer in buffers.items():
        if buffer.overrun:
            raise OpError(f"{function.name} writes behind the end of {name}, which has shape {buffer.shape}")
    return buffers, returned


def _number(one: Parameter, function: Declaration, params: Mapping[str, Any]) -> Any:
    if one.name not in params:
        raise OpError(f"{function.name} takes {one.name}, which is no param{nearest(one.name, params)}")
    value = params[one.name]
    return float(value) if one.floating else int(value)


def _cdef(one: Parameter, *, double: bool) -> str:
    return "double" if double and one.kind == "float" else one.kind


@cache
def _function(path: Path, function: Declaration, *, double: bool) -> tuple[Any, Any]:
    """Return cffi, and a function of a library; raises OpError where it cannot be had."""
    try:
        from cffi import FFI
    except ImportError:
        raise OpError("libraries need cffi, which is not installed: pip install 'gradaudit[c]'") from None
    ffi = FFI()
    try:
        ffi.cdef(function.text(double=double))
    except Exception as error:
        raise OpError(f"the declaration of {function.name} cannot be used: {function.text()}: {error}") from None
    try:
        library = ffi.dlopen(str(path))
    except OSError as error:
        raise OpError(f"the library cannot be loaded: {error}") from None
    try:
        return ffi, getattr(library, function.name)
    except AttributeError:
        raise OpError(f"{path.name} has no function '{function.name}', which its header declares") from None


def open_library(target: LibraryTarget, case: Case) -> LibraryOp:
    """Read the declarations of a target's functions.

    Raises:
        OpError: where a file cannot be read, or does not declare them.

    """
    header = Path(target.header)
    try:
        known = declarations(header.read_text(errors="replace"))
    except OSError as error:
        raise OpError(f"the header {header} cannot be read: {error.strerror or error}") from None
    found = []
    for name in (target.forward, target.backward):
        if name not in known:
            has = f"; it has {', '.join(list(known)[:8])}" if known else "; nothing in it is a declaration"
            raise OpError(f"{header.name} declares no function '{name}'{nearest(name, list(known)) or has}")
        found.append(known[name])
    for function in found:
        _check(function)
    return LibraryOp(target, found[0], found[1], case.params, case.dtype)


def _check(function: Declaration) -> None:
    for one in function.parameters:
        if not one.dtype:
            raise OpError(
                f"{function.name} takes {one.name} of type '{one.kind}'; expected numbers, or pointers to them"
            )
