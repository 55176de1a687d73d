"""A tape that is known by its description only: where a framework keeps what, in names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.tapes.attributes import is_mentioned, read, write
from gradaudit.models.tapes.constructor import after_making, unrounded
from gradaudit.models.tapes.found import named, tensors_in
from gradaudit.models.tapes.place import made_by_package_of, model_line
from gradaudit.models.tapes.tape import Creation, Model, Node, Tape, TapeError, Tensor
from gradaudit.spec.tape import SELF, TapeDescription

Array = NDArray[Any]


class DescribedTape(Tape):
    """The tape of a framework as a description of it says.

    Args:
        description: what is called what.
        kind: the class of tensors that it names.

    """

    def __init__(self, description: TapeDescription, kind: type) -> None:
        self.description = description
        self.kind = kind

    def tensor(self, array: Array, *, tracked: bool) -> Tensor:
        """Call the class with an array, and with the keyword that makes it tracked where there is one."""
        word = self.description.requires_grad
        try:
            made = self.kind(array, **{word: tracked} if word and tracked else {})
        except TypeError as error:
            raise TapeError(f"{self.kind.__name__} cannot be called with an array: {error}") from None
        self._attribute(made, self.description.data, "data")
        if word and tracked and not self._attribute(made, word, "requires_grad"):
            write(made, word, True)
        return made

    def target(self, array: Array) -> Any:
        """Return the array, or an untracked tensor of it where the description says that losses take those."""
        return self.tensor(array, tracked=False) if self.description.targets == "tensors" else array

    def is_tensor(self, value: Any) -> bool:
        """Whether this is an instance of the class."""
        return isinstance(value, self.kind)

    def array(self, tensor: Tensor) -> Array:
        """Return the values that the data's attribute holds."""
        return self._as_array(self._attribute(tensor, self.description.data, "data"), self.description.data)

    def assign(self, tensor: Tensor, array: Array) -> None:
        """Put an array, or a number where that is what it holds, in place of the values."""
        held = self._attribute(tensor, self.description.data, "data")
        if isinstance(held, (int, float)):
            write(tensor, self.description.data, float(array))
        elif isinstance(held, np.ndarray) or not hasattr(held, "__setitem__"):
            write(tensor, self.description.data, np.array(array))
        else:
            write(tensor, self.description.data, np.asarray(array).tolist())

    def tracked(self, tensor: Tensor) -> bool:
        """Whether its attribute says so; all are where there is none."""
        word = self.description.requires_grad
        return word is None or bool(self._attribute(tensor, word, "requires_grad"))

    def node(self, tensor: Tensor) -> Node | None:
        """Return the step that a tensor's attribute holds; where tensors are steps, one that has parents is."""
        if self.description.node == SELF:
            return self._step(tensor) if self._parents(tensor) else None
        made = self._optional(tensor, self.description.node, "node")
        return None if made is None else self._step(made)

    def gradient(self, tensor: Tensor) -> Array | None:
        """Return the array that its attribute holds, be it in a tensor or a list."""
        held = self._optional(tensor, self.description.grad, "grad")
        if held is None:
            return None
        return self.array(held) if self.is_tensor(held) else self._as_array(held, self.description.grad)

    def clear(self, tensors: Iterable[Tensor]) -> None:
        """Call each tensor's method, or put None or zeros in place of its gradient."""
        method = self.description.zero_grad
        for tensor in tensors:
            if method is not None:
                self._attribute(tensor, method, "zero_grad", call=False)()
            elif self.description.cleared == "none":
                self._optional(tensor, self.description.grad, "grad")  # lest a wrong name becomes one that is there
                write(tensor, self.description.grad, None)
            else:
                zeros = np.zeros_like(self.array(tensor))
                held = self._optional(tensor, self.description.grad, "grad")
                if held is None:
                    continue
                if isinstance(held, (int, float)):
                    write(tensor, self.description.grad, 0.0)
                else:
                    write(tensor, self.description.grad, self.kind(zeros) if self.is_tensor(held) else zeros)

    def backward(self, loss: Tensor) -> None:
        """Call the loss's method."""
        self._attribute(loss, self.description.backward, "backward", call=False)()

    def call(self, model: Model, inputs: Iterable[Tensor]) -> Any:
        """Call the model, its method where the description names one, or the function of a pair."""
        if self.description.call is not None:
            return self._attribute(model, self.description.call, "call", call=False)(*inputs)
        function = model[0] if is_pair(model) else model
        if not callable(function) and callable(getattr(function, "forward", None)):
            function = function.forward
        if not callable(function):
            known = [name for name in dir(function) if not name.startswith("_")]
            found = f"it has {', '.join(known)}" if known else "it has no methods"
            raise TapeError(f"call: {type(function).__name__} cannot be called; {found}")
        return function(*inputs)

    def parameters(self, model: Model) -> Mapping[str, Tensor]:
        """Return the parameters that the model's method or attribute gives, or the second part of a pair."""
        parameters = named(self._given_parameters(model), self.tensors(model))
        for name, value in parameters.items():
            if not self.is_tensor(value):
                found = type(value).__name__
                raise TapeError(
                    f"parameters: {self.description.parameters} gives {found} at {name}; expected {self.kind.__name__}"
                )
        for tensor in list(parameters.values())[:1]:
            self._look_at(tensor)
        return parameters

    def tensors(self, model: Model) -> Mapping[str, Tensor]:
        """Return every tensor in the model's attributes, lists and dicts, and in theirs."""
        return tensors_in(model[0] if is_pair(model) else model, self.is_tensor)

    def training(self, model: Model, *, on: bool) -> None:
        """Call the model's ``train`` or ``eval``, or set its ``training``, where it has these."""
        if callable(method := getattr(model, "train" if on else "eval", None)):
            method()
        elif isinstance(getattr(model, "training", None), bool):
            model.training = on

    @contextmanager
    def exact(self) -> Iterator[None]:
        """Put arrays back that the class has rounded: many teaching frameworks know float32 only."""

        def keep(tensor: Any, *args: Any, **kwargs: Any) -> None:
            held = getattr(tensor, self.description.data, None)
            exact = unrounded(held, (*args, *kwargs.values()))
            if exact is not held:
                setattr(tensor, self.description.data, np.array(exact))

        with after_making(self.kind, keep):
            yield

    @contextmanager
    def recording(self) -> Iterator[list[Creation]]:
        """Note what the class's constructor makes: whatever makes a tensor calls it."""
        noted: list[Creation] = []

        def note(tensor: Any, *args: Any, **kwargs: Any) -> None:
            place, within = model_line()
            held = getattr(tensor, self.description.data, None)
            first = held.copy() if isinstance(held, np.ndarray) else None
            noted.append(Creation(tensor, place, within, first=first, direct=not made_by_package_of(self.kind)))

        with after_making(self.kind, note):
            yield noted

    @contextmanager
    def replaced(self, values: Mapping[int, Array]) -> Iterator[None]:
        """Put other values in what the constructor makes."""
        made = itertools.count()

        def exchange(tensor: Any, *args: Any, **kwargs: Any) -> None:
            value = values.get(next(made))
            if value is not None:
                setattr(tensor, self.description.data, np.array(value))

        with after_making(self.kind, exchange):
            yield

    def _look_at(self, tensor: Tensor) -> None:
        """Read all that a tensor should have, so that a wrong name is told before anything is run."""
        self.array(tensor)
        self.gradient(tensor)
        self.tracked(tensor)
        self.node(tensor)

    def _given_parameters(self, model: Model) -> Any:
        if is_pair(model):
            return model[1]
        given = self._attribute(model, self.description.parameters, "parameters")
        if not isinstance(given, Iterable):
            found = type(given).__name__
            raise TapeError(f"parameters: {self.description.parameters} gives {found}; expected a list or a dict")
        return given

    def _step(self, made: Any) -> Node:
        return Node(self._name(made), lambda: tuple(self._parents(made)), id(made))

    def _name(self, made: Any) -> str:
        if self.description.name is not None:
            return str(self._attribute(made, self.description.name, "name"))
        return str(getattr(made, "__qualname__", type(made).__qualname__))

    def _parents(self, made: Any) -> list[Any]:
        """Return tensors that nothing made, and steps; whatever else a step keeps among its parents says nothing."""
        held = self._held(made, self.description.parents, "parents")
        known = {id(each) for each in held}
        if self.description.saved is not None:
            saved = self._held(made, self.description.saved, "saved")
            held += [each for each in saved if id(each) not in known and self.is_tensor(each) and not self.node(each)]
        return [self._parent(each) for each in held if each is not made]

    def _parent(self, held: Any) -> Any:
        if self.is_tensor(held):
            return (
                (self._step(held) if self._held(held, self.description.parents, "parents") else held)
                if (self.description.node == SELF)
                else self.node(held) or held
            )
        plain = type(held).__module__ in ("builtins", "numpy") and not callable(held)  # a shape, an axis, a slice
        return None if plain else self._step(held)

    def _held(self, made: Any, name: str, key: str) -> list[Any]:
        """Return what a list of a step holds; of pairs, such as a tensor with its rule, the tensors in them."""
        held = self._attribute(made, name, key)
        if held is None:
            return []
        listed = list(held) if isinstance(held, (list, tuple, set, frozenset)) else [held]
        pairs = [each if isinstance(each, tuple) else (each,) for each in listed]
        return [one for pair in pairs for one in ([each for each in pair if self.is_tensor(each)] or pair)]

    def _attribute(self, owner: Any, name: str, key: str, *, call: bool = True) -> Any:
        return read(owner, name, f"tape.{key}", call=call)

    def _optional(self, owner: Any, name: str, key: str) -> Any:
        """Return what a name leads to, None where a tensor lacks what the framework gives to others later."""
        if not hasattr(owner, name.partition(".")[0]) and is_mentioned(name.partition(".")[0], self.kind):
            return None
        return self._attribute(owner, name, key)

    def _as_array(self, held: Any, name: str) -> Array:
        if self.is_tensor(held):
            return self.array(held)
        try:
            array = np.asarray(held)
        except Exception as error:
            raise TapeError(f"tape: {name} holds {type(held).__name__}, which is no array: {error}") from None
        if array.dtype.kind not in "biufc" and array.dtype.name != "bfloat16":
            raise TapeError(f"tape: {name} holds {type(held).__name__}; expected an array of numbers")
        return array


def is_pair(model: Any) -> bool:
    """Whether a model is a function with its bare parameters."""
    return isinstance(model, tuple) and len(model) == 2 and callable(model[0])


@cache
def _set_up(function: Callable[[], Any]) -> None:
    """Call a function once in the life of a process."""
    function()


def described(description: TapeDescription, find: Callable[[str], Any]) -> DescribedTape:
    """Return the tape of a description.

    Args:
        description: what is called what.
        find: returns what ``module:name`` names.

    Raises:
        TapeError: where what it names is no class.

    """
    kind = find(description.tensor)
    if not isinstance(kind, type):
        raise TapeError(f"tape.tensor: '{description.tensor}' is no class: found {type(kind).__name__}")
    if description.setup is not None:
        _set_up(find(description.setup))
    return DescribedTape(description, kind)
