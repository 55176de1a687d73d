"""Ops that are classes with state: a layer keeps its parameters, and from forward to backward whatever it needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Case
from gradaudit.spec.errors import nearest
from gradaudit.spec.op_targets import LayerTarget
from gradaudit.spec.python_target import CACHE
from gradaudit.targets.conventions import READINGS
from gradaudit.targets.definitions import definitions_only
from gradaudit.targets.generators import PutBack
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError, raised
from gradaudit.targets.place import read, write
from gradaudit.targets.python import (
    accepted,
    added,
    cache_of,
    counted_outputs,
    named_word,
    usable_gradient,
    usable_outputs,
)
from gradaudit.targets.structure import members_of

Array = NDArray[Any]


@dataclass(frozen=True)
class LayerOp:
    """A layer that is made anew for every call, so that no call sees what another left.

    Attributes:
        target: which methods it has, what they take, and where it keeps what.
        make: makes a layer.
        params: keyword arguments; the constructor and forward get those that they accept.
        generators: puts the global generators back before each call.

    """

    target: LayerTarget
    make: Callable[..., Any]
    params: Mapping[str, Any]
    generators: PutBack = field(default_factory=PutBack, compare=False)

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return what a new layer's forward returns for these inputs and parameters."""
        return usable_outputs(self._run(inputs)[1], self.target.differentiable_outputs)

    def differentiable_outputs(self, outputs: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the positions named by the spec, else those of all floating outputs."""
        return counted_outputs(outputs, self.target.differentiable_outputs)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Any, ...]
    ) -> dict[str, Array | None]:
        """Return the gradients that a new layer returns and leaves behind, after its forward."""
        layer, gradients = self._answer(upstream, inputs, noise=False)
        left = {name: self._left(layer, name, inputs) for name in self.target.gradients}
        if self.target.steps:
            left |= {
                name: inputs[name] - np.asarray(read(layer, place)) for name, place in self.target.parameters.items()
            }
        if self.target.accumulates:
            layer, _ = self._answer(upstream, inputs, noise=True)
            for name, gradient in left.items():
                if gradient is not None and (after := self._left(layer, name, inputs)) is not None:
                    left[name] = added(gradient, _noise(gradient), after)
        return {name: {**gradients, **left}[name] for name in inputs if name in gradients or name in left}

    def written_backwards(self, inputs: Mapping[str, Array] | None) -> tuple[Callable[..., Any], ...]:
        """Return the method that its gradients are written in."""
        layer = self._run(inputs)[0] if inputs else self.make(**accepted(self.make, self.params))
        return (_method(layer, self.target.backward),)

    def _answer(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], *, noise: bool
    ) -> tuple[Any, dict[str, Array | None]]:
        layer, members = self._run(inputs)
        if self.target.accumulates:
            for name, place in self.target.gradients.items():
                zeros = np.zeros_like(inputs[name])
                with suppress(OpError):  # what is made by backward itself is not added to
                    write(layer, place, _noise(zeros) if noise else zeros)
        upstream = tuple(one.copy() for one in upstream)  # a layer may work in what it is handed
        words = {name: array for name, array in inputs.items() if name in self.target.args}
        given = [words[word] if word in words else self._meant(word, upstream, members) for word in self.target.args]
        backward = _method(layer, self.target.backward)
        try:
            if self.target.steps:
                given.append(1.0)
            returned = self.generators.backward(backward, *given, **self._asked(backward))
        except (Exception, SystemExit) as error:
            raise raised("backward", error) from None
        members_ = self._read(returned, inputs, upstream)
        return layer, {name: usable_gradient(name, one, inputs[name].dtype) for name, one in members_.items()}

    def _read(self, returned: Any, inputs: Mapping[str, Array], upstream: tuple[Array, ...]) -> dict[str, Any]:
        if not self.target.returns:
            return {}
        return READINGS[self.target.convention](returned, self.target.returns, inputs, upstream)

    def _meant(self, word: str, upstream: tuple[Array, ...], members: list[Any]) -> Any:
        if word == CACHE:
            return cache_of(members, self.target.differentiable_outputs)
        return named_word(word, upstream if word.startswith("upstream") else members)

    def _left(self, layer: Any, name: str, inputs: Mapping[str, Array]) -> Array | None:
        return usable_gradient(name, read(layer, self.target.gradients[name]), inputs[name].dtype)

    def _run(self, inputs: Mapping[str, Array]) -> tuple[Any, list[Any]]:
        try:
            return self.generators.forward(self._forward, inputs)  # type: ignore[no-any-return]
        except OpError:
            raise
        except (Exception, SystemExit) as error:
            raise raised("forward", error) from None

    def _forward(self, inputs: Mapping[str, Array]) -> tuple[Any, list[Any]]:
        given = {name: inputs[name].copy() for name in self.target.constructor}
        layer = self.make(**accepted(self.make, self.params), **given)
        for name, place in self.target.attributes.items():
            write(layer, place, self.params[name])
        forward = _method(layer, self.target.forward)
        apart = {*self.target.parameters, *self.target.constructor}
        data = [array for name, array in inputs.items() if name not in apart]
        if self.target.builds:
            forward(*(array.copy() for array in data), **self._asked(forward))
        for name, place in self.target.parameters.items():
            write(layer, place, inputs[name].copy())
        returned = forward(*data, **self._asked(forward))
        if self.target.output:
            returned = read(layer, self.target.output)
        return layer, list(members_of(returned).values())

    def _asked(self, method: Callable[..., Any]) -> Mapping[str, Any]:
        """Return the params that a method takes, and not the constructor alone."""
        return {name: value for name, value in accepted(method, self.params).items() if not _takes_anything(method)}


def _takes_anything(method: Callable[..., Any]) -> bool:
    return accepted(method, {"": None}) == {"": None}


def _noise(array: Array) -> Array:
    """Return what a gradient is added to: one, which no gradient's absence can be taken for."""
    return np.ones_like(array)


def _method(layer: Any, name: str) -> Callable[..., Any]:
    method = getattr(layer, name, None)
    if not callable(method):
        known = [one for one in dir(layer) if not one.startswith("_") and callable(getattr(layer, one, None))]
        raise OpError(f"{type(layer).__name__} has no method '{name}'{nearest(name, known)}; it has {', '.join(known)}")
    return method  # type: ignore[no-any-return]


def open_layer(target: LayerTarget, case: Case) -> LayerOp:
    """Import the class that a target names, and bind the case's params to it."""
    with definitions_only(target.definitions_only):
        make = import_function(target.layer, target.folder)
    held = getattr(make, "__init__", make) if isinstance(make, type) else make
    return LayerOp(target, make, case.params, PutBack([getattr(held, "__globals__", {})]))


def layer_names(target: LayerTarget) -> dict[tuple[str, ...], str]:
    """Return the class that a target names, by its path in the spec."""
    return {} if target.definitions_only else {("target", "layer", "make"): target.layer}
