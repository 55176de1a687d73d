"""Guesses for ops on a tape: where tensors keep values and gradients, and outputs the closure that hands them on."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.drafts.arguments import split_arguments
from gradaudit.drafts.functions import Places
from gradaudit.drafts.guess import Guess, Subject
from gradaudit.drafts.held import GRADIENTS, VALUES, attributes_of
from gradaudit.drafts.inputs import Candidate, candidates
from gradaudit.drafts.settings import tree_of
from gradaudit.spec.op_targets import ClosureTarget
from gradaudit.targets.python import as_array

Array = NDArray[Any]

CLOSURES = (
    "_backward",
    "backward_fn",
    "_backward_fn",
    "grad_fn",
    "_grad_fn",
    "backward_function",
    "_vjp",
    "vjp",
    "_backprop",
    "bwd",
    "_bwd",
    "_back",
    "back",
    "pullback",
    "_pullback",
    "_prop",
    "backward_hook",
    "backprop",
    "backward",
)


def closure_subjects(places: Places, name: str, module: ModuleType, function: Callable[..., Any]) -> Iterator[Subject]:
    """Yield the ways to call a function that makes a tensor with a closure."""
    kinds = tensors_for(module, name)
    method = "." in name
    for kind in kinds:
        for elementwise in (False, True):
            for inputs, params in _ways(function, method=method):
                call = TensorCall(places, name, kind, function, tuple(inputs), params, elementwise)
                shapes: Mapping[str, tuple[Candidate, ...]] = {
                    name: tuple(one for one in options if one.shape) for name, options in candidates(inputs).items()
                }
                if elementwise:
                    shapes = {one: (Candidate((9,)),) for one in inputs}
                yield Subject(shapes, params, call.outputs, call.guesses)


def _ways(function: Callable[..., Any], *, method: bool) -> Iterator[tuple[list[str], dict[str, Any]]]:
    ways = split_arguments(function)
    for inputs, params in ways:
        if method and "self" not in inputs:
            continue
        if inputs:
            yield inputs, params


def tensors_for(module: ModuleType, name: str) -> list[type]:
    """Return the classes that tensors may be instances of: the function's own, else those with values and gradients."""
    if "." in name:
        return [getattr(module, name.partition(".")[0])]
    kinds = [value for value in vars(module).values() if inspect.isclass(value)]
    return [kind for kind in kinds if _mentions_gradient(kind)]


def _mentions_gradient(kind: type) -> bool:
    tree = tree_of(vars(kind).get("__init__"))
    words = {below.attr for below in ast.walk(tree) if isinstance(below, ast.Attribute)} if tree else set()
    words |= set(getattr(kind, "__dataclass_fields__", {})) | set(getattr(kind, "__slots__", ()))
    return bool(words & set(GRADIENTS)) and bool(words & set(VALUES))


@dataclass(frozen=True)
class TensorCall:
    """A function of tensors, whose output carries a closure.

    Attributes:
        places: where it is imported from.
        name: dotted, in its module.
        kind: the class of tensors.
        function: takes tensors.
        inputs: names of its tensors, in order.
        params: settings, passed by keyword.
        elementwise: whether tensors are numbers.

    """

    places: Places
    name: str
    kind: type
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    params: Mapping[str, Any]
    elementwise: bool

    def _out(self, arrays: Mapping[str, Array]) -> tuple[list[Any], Any]:
        values = [arrays[name] for name in self.inputs]
        made = [self._given(value) for value in values]
        return made, self.function(*made, **deepcopy(dict(self.params)))

    def _given(self, value: Array) -> Any:
        if value.dtype.kind == "i":
            return value
        return self.kind(float(value.reshape(-1)[0]) if self.elementwise else value.copy())

    def outputs(self, arrays: Mapping[str, Array]) -> list[Array]:
        """Return the values of the tensor that it makes."""
        _, out = self._out(arrays)
        if not isinstance(out, self.kind):
            return []
        for k in range(1, arrays[self.inputs[0]].size if self.elementwise else 1):
            self._out({name: array[k:] for name, array in arrays.items()})  # which raises where it cannot
        array = as_array(getattr(out, _attribute(out, VALUES)))
        return [] if array is None else [array.astype(np.float64)]

    def guesses(self, arrays: Mapping[str, Array]) -> Iterator[Guess]:
        """Yield where its closure lies, and what it hands on."""
        tensors, out = self._out(arrays)
        named = (one for one in CLOSURES if callable(getattr(out, one, None)))
        closure = next(named, next((one for one, held in attributes_of(out).items() if inspect.isfunction(held)), ""))
        if not closure:
            return
        target = ClosureTarget(
            tensor=self.places.named(self.kind.__name__),
            call=self.places.named(self.name),
            data=_attribute(out, VALUES),
            grad=_attribute(tensors[0], GRADIENTS),
            backward=closure,
            elementwise=self.elementwise,
            accumulates=adds(self.kind) or adds(self.function),
            folder=self.places.folder,
            definitions_only=self.places.definitions_only,
        )
        said = f"{self.name}({', '.join(self.inputs)}).{closure}() hands {target.grad} on"
        yield Guess(target, tuple(name for name in self.inputs if arrays[name].dtype.kind == "f"), said)


def _attribute(tensor: Any, names: tuple[str, ...]) -> str:
    found = next((name for name in names if name in getattr(tensor, "__dict__", {})), "")
    return found or next((name for name in names if hasattr(tensor, name)), names[0])


def adds(held: Any) -> bool:
    """Whether most closures in a class or a function add to gradients, rather than to set them."""
    tree = tree_of(held)
    added = set_ = 0
    for below in ast.walk(tree) if tree else ():
        if isinstance(below, ast.AugAssign) and isinstance(below.target, ast.Attribute):
            added += below.target.attr in GRADIENTS
        elif isinstance(below, ast.Assign):
            set_ += any(isinstance(one, ast.Attribute) and one.attr in GRADIENTS for one in below.targets)
    return added > set_
