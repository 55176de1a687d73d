"""Ops that are a pair of Python functions on NumPy arrays."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Case, PythonTarget
from gradaudit.spec.dtypes import has_derivatives
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError, raised
from gradaudit.targets.structure import members_of

Array = NDArray[Any]


@dataclass(frozen=True)
class PythonOp:
    """Forward and backward as functions, with their params, and the conventions of their arguments and returns.

    Attributes:
        forward_function: called with the inputs by position and the params by keyword.
        backward_function: called with what ``args`` names, in order, and those params that its signature accepts.
        args: ``upstream``, ``upstream[k]``, ``output``, ``output[k]`` or an input's name.
        returns: the inputs whose gradients backward returns, in order.
        counted: positions of the outputs that count; None for all floating ones.

    """

    forward_function: Callable[..., Any]
    backward_function: Callable[..., Any]
    params: Mapping[str, Any]
    backward_params: Mapping[str, Any]
    args: tuple[str, ...]
    returns: tuple[str, ...]
    counted: tuple[int, ...] | None = None

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return forward's outputs: its arrays, or the members of the tuple, dict or dataclass that it returned."""
        try:
            returned = self.forward_function(*inputs.values(), **self.params)
        except (Exception, SystemExit) as error:
            raise raised("forward", error) from None
        members = list(members_of(returned).values())
        outputs = tuple([_array(member) for member in members])
        for k in self.counted if self.counted is not None else range(len(outputs)):
            if k >= len(outputs):
                raise OpError(f"forward returned {len(outputs)} outputs; the spec counts on output {k}")
            if outputs[k] is None and (self.counted is not None or len(outputs) == 1):
                raise OpError(f"forward returned {_described(members[k])}; expected an array of numbers")
            if self.counted is not None and (output := outputs[k]) is not None and not has_derivatives(output.dtype):
                raise OpError(f"the spec counts on output {k}, but it is {_described(output)}")
        if not self.differentiable_outputs(outputs):
            kinds = ", ".join(_described(member) for member in members) or "nothing"
            raise OpError(f"forward returned no floating output to differentiate; found {kinds}")
        return outputs

    def differentiable_outputs(self, outputs: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the positions named by the spec, else those of all floating outputs."""
        if self.counted is not None:
            return self.counted
        return tuple([k for k, out in enumerate(outputs) if out is not None and has_derivatives(out.dtype)])

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Any, ...]
    ) -> dict[str, Array | None]:
        """Return the gradients by input's name; None where backward returned None for one."""
        arguments = [self._argument(word, upstream, inputs, outputs) for word in self.args]
        try:
            returned = self.backward_function(*arguments, **self.backward_params)
        except (Exception, SystemExit) as error:
            raise raised("backward", error) from None
        members = members_of(returned)
        if len(members) != len(self.returns):
            expected = f"{len(self.returns)} ({', '.join(self.returns)})"
            raise OpError(f"backward returned {len(members)} gradients; expected {expected}")
        if set(members) == set(self.returns):
            members = {name: members[name] for name in self.returns}
        gradients: dict[str, Array | None] = {}
        for name, member in zip(self.returns, members.values(), strict=True):
            gradients[name] = _array(member, inputs[name].dtype)
            if gradients[name] is None and member is not None:
                raise OpError(f"backward returned {_described(member)} for {name}; expected an array of numbers")
        return gradients

    def written_backwards(self, inputs: Mapping[str, Array] | None) -> tuple[Callable[..., Any], ...]:
        """Return what its gradients are written in."""
        return (self.backward_function,)

    def _argument(
        self, word: str, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Any, ...]
    ) -> Any:
        if word in inputs:
            return inputs[word]
        given = upstream if word.startswith("upstream") else outputs
        if indexed := re.search(r"\[(\d+)\]", word):
            k = int(indexed[1])
            if k >= len(given):
                raise OpError(f"backward's args name {word}, but there are only {len(given)}")
            return given[k]
        return given[0] if len(given) == 1 else given


def open_python(target: PythonTarget, case: Case) -> PythonOp:
    """Import the pair of functions that a target names and bind the case's params to them."""
    return open_functions(
        import_function(target.forward, target.folder),
        import_function(target.backward.call, target.folder),
        case.params,
        args=target.backward.args,
        returns=target.backward.returns,
        counted=target.differentiable_outputs,
    )


def open_functions(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    params: Mapping[str, Any],
    *,
    args: tuple[str, ...],
    returns: tuple[str, ...],
    counted: tuple[int, ...] | None,
) -> PythonOp:
    """Return the op of a pair of functions, with params bound to each as its signature accepts them."""
    return PythonOp(forward, backward, params, _accepted(backward, params), args, returns, counted)


def _accepted(function: Callable[..., Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some compiled functions have no signature: they get everything
        return params
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return params
    by_keyword = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {name: value for name, value in params.items() if name in parameters and parameters[name].kind in by_keyword}


def _array(member: Any, dtype_of_numbers: np.dtype[Any] | None = None) -> Array | None:
    """Return an array, NumPy scalar or Python number as an array; None for anything else.

    A Python number has no dtype of its own: it takes the one given.
    """
    if type(member) in (int, float):
        return np.asarray(member, dtype_of_numbers)
    if isinstance(member, np.ndarray):
        return member if member.dtype.kind != "O" else None
    if isinstance(member, (bool, int, float, complex, np.generic)) or hasattr(member, "__array__"):
        array = np.asarray(member)
        return array if array.dtype.kind not in "OUSMm" else None
    return None


def _described(member: Any) -> str:
    if isinstance(member, np.ndarray):
        return f"an array of {member.dtype}"
    return "None" if member is None else f"{type(member).__name__} {member!r:.60}"


def imported_names(target: PythonTarget) -> dict[tuple[str, ...], str]:
    """Return the functions that a target names, by their path in the spec."""
    return {("target", "forward"): target.forward, ("target", "backward", "call"): target.backward.call}
