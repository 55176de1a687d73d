"""The tape of PyTorch: autograd's own nodes, read from ``grad_fn``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gradaudit.models.tapes.described import is_pair
from gradaudit.models.tapes.found import named, tensors_in
from gradaudit.models.tapes.place import model_line
from gradaudit.models.tapes.tape import Creation, Model, Node, Replay, Tape, TapeError, Tensor
from gradaudit.models.tapes.torch_calls import Call, exchanged, made_by, version, watching
from gradaudit.models.tapes.torch_casts import without_casts
from gradaudit.models.tapes.torch_replay import Replayer
from gradaudit.targets.generators import seed_torch

Array = NDArray[Any]

_from_array = torch.from_numpy
"""The function itself, which watching replaces by one that is seen."""


class TorchTape(Tape):
    """Modules, or functions with a bare list of parameters, on PyTorch's tensors.

    Parameters and buffers take the precision of what is assigned; frozen ones, whose ``requires_grad`` is false by
    intent, are no parameters.
    """

    adds_up = True

    def tensor(self, array: Array, *, tracked: bool) -> Tensor:
        """Return a tensor of a copy of the array."""
        return _tensor(array).requires_grad_(tracked)

    def is_tensor(self, value: Any) -> bool:
        """Whether this is a tensor."""
        return isinstance(value, torch.Tensor)

    def array(self, tensor: Tensor) -> Array:
        """Return the values: in full where the tensor is sparse, in float32 where NumPy lacks its dtype."""
        if not self.is_tensor(tensor):  # a number that was read off one
            return np.asarray(tensor)
        plain = tensor.detach()
        plain = plain if plain.layout is torch.strided else plain.to_dense()
        return np.asarray((plain.float() if plain.dtype is torch.bfloat16 else plain).numpy(force=True))

    def assign(self, tensor: Tensor, array: Array) -> None:
        """Put other values, of whatever dtype, behind the tensor."""
        with torch.no_grad():
            tensor.data = _tensor(array)

    def lend(self, tensor: Tensor, array: Array) -> None:
        """Put the array itself behind the tensor."""
        with torch.no_grad():
            tensor.data = _from_array(array)

    def tracked(self, tensor: Tensor) -> bool:
        """Whether it requires a gradient."""
        return self.is_tensor(tensor) and bool(tensor.requires_grad)

    def node(self, tensor: Tensor) -> Node | None:
        """Return its ``grad_fn``."""
        return None if not self.is_tensor(tensor) or tensor.grad_fn is None else _node(tensor.grad_fn)

    def gradient(self, tensor: Tensor) -> Array | None:
        """Return what ``grad`` holds."""
        return None if not self.is_tensor(tensor) or tensor.grad is None else self.array(tensor.grad)

    def taken(self, tensor: Tensor) -> Array | None:
        """Return what ``grad`` held, and leave None there."""
        found = self.gradient(tensor)
        tensor.grad = None
        return found

    def clear(self, tensors: Iterable[Tensor]) -> None:
        """Set each gradient to None, as ``zero_grad`` does."""
        for tensor in tensors:
            tensor.grad = None

    def backward(self, loss: Tensor) -> None:
        """Call ``backward``."""
        loss.backward()

    def call(self, model: Model, inputs: Iterable[Tensor]) -> Any:
        """Call the module, its constants in its parameters' precision and the same at every call, or a pair's function.

        Raises:
            TapeError: where it cannot be called.

        """
        given = list(inputs)
        if not isinstance(model, torch.nn.Module):
            return self.call_anew(model, given)
        with torch._C.DisableTorchFunction():  # it is no part of the model
            self._settle_constants(model, given)
        with torch.random.fork_rng(devices=[]):
            seed_torch(torch, 0)
            return model(*given)

    def call_anew(self, model: Model, inputs: Iterable[Tensor]) -> Any:
        """Call the module, or the function of a pair.

        Raises:
            TapeError: where it cannot be called.

        """
        function = model[0] if is_pair(model) else model
        if not callable(function):
            raise TapeError(f"{type(function).__name__} cannot be called; expected a module or (function, list)")
        return function(*inputs)

    def _settle_constants(self, model: Any, inputs: Sequence[Tensor]) -> None:
        """Put buffers back to what they were at the first call, and all that is no parameter in the parameters' dtype.

        That is buffers, frozen parameters, and what lies in the module unregistered.
        """
        if not hasattr(self, "_initial"):
            self._initial = [
                (module, name, tensor.detach().clone())
                for module in model.modules()
                for name, tensor in module.named_buffers(recurse=False)
            ]
            others = [*self.parameters(model).values(), *model.buffers()]
            self._constants = [
                tensor
                for tensor in self.tensors(model).values()
                if tensor.is_leaf and tensor.is_floating_point() and not _among(tensor, others)
            ]
        trained = [each for each in model.parameters() if each.requires_grad]
        dtypes = [each.dtype for each in (*trained, *inputs) if each.is_floating_point()]
        for module, name, value in self._initial:
            settled = value.to(dtypes[0], copy=True) if dtypes and value.is_floating_point() else value.clone()
            setattr(module, name, settled)
        for constant in self._constants if dtypes else ():
            constant.data = constant.data.to(dtypes[0])

    def parameters(self, model: Model) -> Mapping[str, Tensor]:
        """Return a module's named parameters that require gradients, or the second part of a pair."""
        if isinstance(model, torch.nn.Module):
            return {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
        given = model[1] if is_pair(model) else getattr(model, "parameters", list)()
        return named(given, self.tensors(model))

    def tensors(self, model: Model) -> Mapping[str, Tensor]:
        """Return what a module has registered, by its names, and every other tensor among its attributes."""
        own: dict[str, Tensor] = {}
        if isinstance(model, torch.nn.Module):
            own = dict([*model.named_parameters(), *model.named_buffers()])
        known = {id(tensor) for tensor in own.values()}
        others = tensors_in(model[0] if is_pair(model) else model, self.is_tensor)
        return own | {_without_registries(path): t for path, t in others.items() if id(t) not in known}

    def training(self, model: Model, *, on: bool) -> None:
        """Call the module's ``train``."""
        if isinstance(model, torch.nn.Module):
            model.train(on)

    @contextmanager
    def recording(self) -> Iterator[list[Creation]]:
        """Note what every function of torch makes, changes in place, or reads off, and what it was given."""
        noted: list[Creation] = []
        versions: list[int] = []

        def note(call: Call) -> Any:
            given = call.tensors
            before = {id(each): version(each) for each in given}
            returned = call()
            for each in made_by(call, before, returned):
                noted.append(self._noted(each, tuple(given), told=call.function is not _from_array))
                versions.append(version(each) if self.is_tensor(each) else 0)
            return returned

        with watching(note):
            yield noted
        for k, (made, seen) in enumerate(zip(noted, versions, strict=True)):
            if self.is_tensor(made.tensor) and version(made.tensor) != seen:  # by an operation that torch knows of
                noted[k] = replace(made, first=None)

    def _noted(self, made: Any, given: tuple[Tensor, ...], *, told: bool) -> Creation:
        place, within = model_line()
        value = self.array(made).copy()
        return Creation(made, place, within, given, told, value, value, self.node(made))

    @contextmanager
    def replaced(self, values: Mapping[int, Array]) -> Iterator[None]:
        """Put other values in what a function of torch makes."""
        made = itertools.count()

        def exchange(call: Call) -> Any:
            before = {id(each): version(each) for each in call.tensors}
            returned = call()
            others: dict[int, Any] = {}
            for each in made_by(call, before, returned):
                value = values.get(next(made))
                if value is None:
                    continue
                if not self.is_tensor(each):
                    others[id(each)] = float(value)
                elif id(each) in before:  # changed in place
                    with torch.no_grad():
                        each.copy_(_from_array(np.array(value)))
                else:
                    others[id(each)] = each - each.detach() + _from_array(np.array(value)).to(each.dtype)
            return exchanged(returned, others) if others else returned

        with watching(exchange):
            yield

    @contextmanager
    def replaying(self, look: Callable[[Replay], None]) -> Iterator[bool]:
        """Hand on each step."""

        def key(tensor: Tensor) -> int:
            node = self.node(tensor)
            return id(tensor) if node is None else node.identity

        with watching(Replayer(look, self.node, key, self.array)):
            yield True

    def uncast(self) -> AbstractContextManager[None]:
        """Let nothing be cast to a narrower dtype, by an autocast or by the model itself."""
        return without_casts()

    def hooked(self, tensor: Tensor) -> bool:
        """Whether a hook on it changes a gradient, or one that is many times as large; one that raises is said to."""
        if not self.is_tensor(tensor) or not tensor._backward_hooks:
            return False
        held = tensor.grad if tensor.is_leaf or tensor.retains_grad else None
        gradient = torch.ones_like(tensor) if held is None else held.detach()
        return any(_changes(hook, k * gradient) for hook in tensor._backward_hooks.values() for k in (1.0, 1024.0))

    def retain(self, tensors: Iterable[Tensor]) -> None:
        """Call ``retain_grad``."""
        for tensor in tensors:
            if self.is_tensor(tensor) and tensor.grad_fn is not None:
                tensor.retain_grad()


def _tensor(array: Array) -> Tensor:
    """Return a tensor of a copy of the array; bfloat16, which torch does not take from NumPy, by way of float32."""
    narrow = array.dtype.name == "bfloat16"
    made = _from_array(np.array(array, np.float32 if narrow else array.dtype, order="C"))
    return made.bfloat16() if narrow else made


def _changes(hook: Callable[[Tensor], Any], gradient: Tensor) -> bool:
    given = gradient.clone()
    try:
        made = hook(given)
    except Exception:  # whatever a user's function raises that is handed another gradient than its own
        return True
    return not torch.equal(given, gradient) or (made is not None and not torch.equal(made, gradient))


def _among(tensor: Tensor, others: Iterable[Tensor]) -> bool:
    return any(tensor is other for other in others)


def _node(made: Any) -> Node:
    def parents() -> tuple[Any, ...]:
        return tuple(_parent(next_) for next_, _ in made.next_functions)

    return Node(type(made).__name__, parents, id(made), _dtype(made))


def _dtype(made: Any) -> str:
    """Return the name of the dtype of what a node made."""
    told = getattr(made, "_input_metadata", None)
    return str(told[0].dtype).removeprefix("torch.") if told else ""


def _parent(made: Any) -> Any:
    if made is None:
        return None
    return made.variable if hasattr(made, "variable") else _node(made)


def _without_registries(path: str) -> str:
    """Return a path through a module's attributes without those that hold what it has registered."""
    for registry in ("_modules", "_parameters", "_buffers"):
        path = re.sub(rf"(^|\.){registry}\['([^']*)'\]", r"\1\2", path)
    return path.lstrip(".")
