"""Ops on a tape: a function makes a tensor out of tensors, and leaves on it a closure that hands its gradient on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Case
from gradaudit.spec.op_targets import ClosureTarget
from gradaudit.targets.definitions import definitions_only
from gradaudit.targets.generators import PutBack
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError, raised
from gradaudit.targets.place import read
from gradaudit.targets.python import accepted, as_array, usable_gradient, usable_outputs
from gradaudit.targets.structure import members_of

Array = NDArray[Any]


@dataclass(frozen=True)
class ClosureOp:
    """An op whose output carries its backward.

    Attributes:
        target: where tensors keep their values and gradients, and the output its closure.
        make: makes a tensor of an array, or of a number where the op is audited element by element.
        function: takes tensors in order, and params by keyword.
        params: keyword arguments of the function.
        generators: puts the global generators back before each call.

    """

    target: ClosureTarget
    make: Callable[..., Any]
    function: Callable[..., Any]
    params: Mapping[str, Any]
    generators: PutBack = field(default_factory=PutBack, compare=False)

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return the values of the tensor that the function makes; of one for each element where that is said."""
        outs = [out for _, out in self._calls(inputs)]
        values = [self._value(out) for out in outs]
        if not self.target.elementwise:
            return usable_outputs(values, None)
        shape = next(iter(inputs.values())).shape
        return usable_outputs([np.asarray(values, dtype=np.float64).reshape(shape)], None)

    def differentiable_outputs(self, outputs: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the only output."""
        return (0,)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Any, ...]
    ) -> dict[str, Array | None]:
        """Return the gradients that the closure hands to the inputs' tensors."""
        left = self._handed_on(upstream[0], inputs, noise=0.0)
        if self.target.accumulates:
            again = self._handed_on(upstream[0], inputs, noise=1.0)
            for name, gradient in left.items():
                if gradient is not None and (after := again[name]) is not None:
                    room = 1e-9 * (1 + abs(gradient))
                    kept = abs(after - 1 - gradient) <= room
                    left[name] = gradient if kept.all() else np.where(kept, gradient, after - 1)
        return left

    def written_backwards(self, inputs: Mapping[str, Array] | None) -> tuple[Callable[..., Any], ...]:
        """Return the closure, or the function that makes it where it cannot be called."""
        if inputs:
            closure = getattr(self._calls(inputs)[0][1], self.target.backward, None)
            if callable(closure):
                return (closure,)
        return (self.function,)

    def _handed_on(self, upstream: Array, inputs: Mapping[str, Array], *, noise: float) -> dict[str, Array | None]:
        flat = np.asarray(upstream)
        parts = list(flat.reshape(-1)) if self.target.elementwise else [flat]
        gathered: dict[str, list[Any]] = {name: [] for name, array in inputs.items() if array.dtype.kind in "fc"}
        for (tensors, out), part in zip(self._calls(inputs), parts, strict=True):
            if self.target.accumulates:
                for name, tensor in tensors.items():
                    before = noise if self.target.elementwise else np.full_like(inputs[name], noise)
                    self._set_gradient(tensor, before, inputs[name])
            given = self._pull(out, float(part) if self.target.elementwise else np.array(part))
            for k, (name, tensor) in enumerate(tensors.items()):
                made = given[k] if given is not None and k < len(given) else getattr(tensor, self.target.grad, None)
                gathered[name].append(self._bare(made))
        gradients: dict[str, Array | None] = {}
        for name, found in gathered.items():
            whole = found[0] if not self.target.elementwise else _stacked(found, inputs[name].shape)
            gradients[name] = usable_gradient(name, whole, inputs[name].dtype)
            if isinstance(made := gradients[name], np.ndarray) and made.shape == () != inputs[name].shape:
                gradients[name] = np.broadcast_to(made, inputs[name].shape) if not made.any() else made
        return gradients

    def _pull(self, out: Any, upstream: Any) -> list[Any] | None:
        """Call the output's closure; return the gradients that it returns, None where it leaves them on tensors."""
        name = self.target.backward
        closure = getattr(out, name, None)
        if not callable(closure):
            raise OpError(f"what the op returned has no closure '{name}' that could be called")
        takes = _takes_upstream(closure)
        if not takes or self.target.accumulates:
            self._set_gradient(out, upstream, upstream)
        try:
            returned = self.generators.backward(closure, *([upstream] if takes else []))
        except (Exception, SystemExit) as error:
            raise raised("backward", error) from None
        return None if returned is None else list(members_of(returned).values())

    def _set_gradient(self, tensor: Any, value: Any, like: Any) -> None:
        held = getattr(tensor, self.target.grad, None)
        if isinstance(held, np.ndarray) or held is None or isinstance(held, (int, float, np.generic)):
            made = float(value) if self.target.elementwise else np.array(value, dtype=np.asarray(like).dtype)
        else:
            made = self.make(np.array(value))
        setattr(tensor, self.target.grad, made)

    def _calls(self, inputs: Mapping[str, Array]) -> list[tuple[dict[str, Any], Any]]:
        if not self.target.elementwise:
            return [self._call({name: array.copy() for name, array in inputs.items()})]
        rows = zip(*(array.reshape(-1) for array in inputs.values()), strict=True)
        return [self._call(dict(zip(inputs, map(float, row), strict=True))) for row in rows]

    def _call(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        try:
            given = {name: self._given(value) for name, value in values.items()}
            tensors = {name: made for name, made in given.items() if not isinstance(made, np.ndarray)}
            return tensors, self.generators.forward(self.function, *given.values(), **self.params)
        except (Exception, SystemExit) as error:
            raise raised("forward", error) from None

    def _given(self, value: Any) -> Any:
        """Return a tensor of an array, or of a number; labels and indices are passed as they are."""
        if isinstance(value, np.ndarray) and value.dtype.kind in "iub":
            return value
        return self.make(value, **_tracked(self.make))

    def _value(self, out: Any) -> Any:
        return self._bare(read(out, self.target.data))

    def _bare(self, value: Any) -> Any:
        """Return what a tensor holds, where a gradient is a tensor too."""
        inner = getattr(value, self.target.data, None)
        return (
            inner
            if isinstance(inner, (np.ndarray, float, int, np.generic)) and not isinstance(value, np.ndarray)
            else value
        )


def _stacked(found: list[Any], shape: tuple[int, ...]) -> Any:
    parts = [as_array(one) for one in found]
    if any(part is None or part.shape != () for part in parts):
        return None
    return np.array(parts, dtype=np.float64).reshape(shape)


def _takes_upstream(closure: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(closure).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _tracked(make: Callable[..., Any]) -> Mapping[str, Any]:
    return {} if accepted(make, {"": 0}) else accepted(make, {"requires_grad": True})


def open_closure(target: ClosureTarget, case: Case) -> ClosureOp:
    """Import the class of tensors and the function that a target names."""
    with definitions_only(target.definitions_only):
        make = import_function(target.tensor, target.folder)
        function = import_function(target.call, target.folder)
    return ClosureOp(target, make, function, case.params, PutBack([getattr(function, "__globals__", {})]))


def closure_names(target: ClosureTarget) -> dict[tuple[str, ...], str]:
    """Return the class and the function that a target names, by their path in the spec."""
    if target.definitions_only:
        return {}
    return {("target", "closure", "tensor"): target.tensor, ("target", "closure", "call"): target.call}
