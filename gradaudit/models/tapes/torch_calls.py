"""Calls of torch's functions and of users' own ``Function``s while a model runs, each seen as one.

torch tells its modes of its own functions only. ``Function.apply`` is seen where it hands over to torch, and what it
calls inside is not: it is one step, called at one line. A checkpoint is no step: what it wraps is called in its place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import _SingleLevelFunction
from torch.overrides import TorchFunctionMode

from gradaudit.models.tapes.tape import Tensor
from gradaudit.targets.structure import leaves

_from_array = torch.from_numpy
"""The function itself, which watching replaces by one that is seen."""


@dataclass(frozen=True)
class Call:
    """A function and what it is called with.

    Attributes:
        function: what is called: a function of torch's, or ``apply`` of a ``Function``.
        args, kwargs: what it is called with.
        kind: the class of the user's own ``Function``; None for torch's functions.

    """

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    kind: type | None = None

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors that it is called with, those in lists too."""
        found = [*leaves([*self.args, *self.kwargs.values()])]
        return [each for each in found if isinstance(each, torch.Tensor)]

    def __call__(self) -> Any:
        """Call the function."""
        return self.function(*self.args, **self.kwargs)

    def given(self, instead: Mapping[int, Any]) -> Call:
        """Return the call with other objects in place of some, by their ``id``."""
        args = [exchanged(each, instead) for each in self.args]
        kwargs = {name: exchanged(each, instead) for name, each in self.kwargs.items()}
        return Call(self.function, args, kwargs, self.kind)


def exchanged(value: Any, instead: Mapping[int, Any]) -> Any:
    """Return a value, with other objects in place of some in it, by their ``id``."""
    if id(value) in instead:
        return instead[id(value)]
    if type(value) in (list, tuple):
        return type(value)(exchanged(each, instead) for each in value)
    return value


class _Mode(TorchFunctionMode):  # type: ignore[misc] # Any where torch is not installed
    def __init__(self, watch: Callable[[Call], Any]) -> None:
        super().__init__()
        self.watch = watch

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.watch(Call(function, args, kwargs or {}))


@contextmanager
def watching(watch: Callable[[Call], Any]) -> Iterator[None]:
    """Let every call be made by a function, whose result takes the place of the call's.

    Compiled modules run as they are written.

    Args:
        watch: is handed a call, and makes it; what it calls itself is not watched.

    """
    checkpoint = _checkpoint()
    inside = False

    def once(call: Call) -> Any:
        nonlocal inside
        if inside or transforming():
            return call()
        inside = True
        try:
            with torch._C.DisableTorchFunction():
                return watch(call)
        finally:
            inside = False

    def apply(kind: Any, *args: Any, **kwargs: Any) -> Any:
        if kind is checkpoint and not inside:
            return args[0](*args[2:])
        return once(Call(lambda *a, **k: super(_SingleLevelFunction, kind).apply(*a, **k), args, kwargs, kind))

    def from_array(array: Any) -> Any:
        return once(Call(_from_array, (array,), {}))

    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.callback(setattr, torch, "from_numpy", _from_array)
        stack.callback(delattr, _SingleLevelFunction, "apply")
        torch.from_numpy = from_array  # which torch tells no mode of
        _SingleLevelFunction.apply = classmethod(apply)  # found before the one that torch is written in
        stack.enter_context(_Mode(once))
        yield


def transforming() -> bool:
    """Whether ``torch.func`` is at work, whose tensors stand for others and hold no values."""
    return bool(torch._C._are_functorch_transforms_active())


def made_by(call: Call, versions: Mapping[int, int], returned: Any) -> list[Any]:
    """Return what a call made: the tensors, or the number, that it returned, and the tensors that it changed in place.

    Args:
        call: the call.
        versions: how often torch had seen each tensor change before, by ``id``.
        returned: what it returned.

    """
    given = {id(each): each for each in call.tensors}
    changed = [each for key, each in given.items() if version(each) != versions[key]]
    if isinstance(returned, float):
        return [*changed, returned]
    return [*changed, *(each for each in leaves(returned) if isinstance(each, torch.Tensor) and id(each) not in given)]


def version(tensor: Tensor) -> int:
    """Return how often torch saw a tensor change; it does not count where nothing can be differentiated."""
    return -1 if tensor.is_inference() else int(tensor._version)


def _checkpoint() -> type | None:
    module: Any = sys.modules.get("torch.utils.checkpoint")
    return None if module is None else module.CheckpointFunction
