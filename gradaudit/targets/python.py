"""Ops that are a pair of Python functions on NumPy arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.case import Case
from gradaudit.spec.dtypes import has_derivatives
from gradaudit.spec.op_targets import Convention, PythonTarget
from gradaudit.spec.python_target import BUFFER, CACHE, GRADIENTS
from gradaudit.targets.conventions import READINGS
from gradaudit.targets.definitions import definitions_only
from gradaudit.targets.generators import PutBack
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError, raised
from gradaudit.targets.stand_ins import Reference
from gradaudit.targets.structure import members_of
from gradaudit.targets.unwritten import unwritten_number

Array = NDArray[Any]


@dataclass(frozen=True)
class PythonOp:
    """Forward and backward as functions, with their params, and the conventions of their arguments and returns.

    Attributes:
        forward_function: called with the inputs by position and the params by keyword.
        backward_function: called with what ``args`` names, in order, and those params that its signature accepts.
        args: ``upstream``, ``upstream[k]``, ``output``, ``output[k]``, ``cache``, ``grad[x]`` or an input's name.
        returns: the inputs whose gradients backward returns, in order.
        counted: positions of the outputs that count; None for all floating ones.
        convention: what backward gives.
        stand_in: what is differenced in forward's stead, with the same arguments; None for forward itself.
        accumulates: whether backward adds to the buffers that it is given.
        generators: puts the global generators back before each call.
        context: makes a context that forward takes before its inputs, and that is returned behind its outputs.
        packs: arguments of forward that are dicts of inputs, by name; each stands where its first input does.
        lists: names of those that are lists instead.

    """

    forward_function: Callable[..., Any]
    backward_function: Callable[..., Any]
    params: Mapping[str, Any]
    backward_params: Mapping[str, Any]
    args: tuple[str, ...]
    returns: tuple[str, ...]
    counted: tuple[int, ...] | None = None
    convention: Convention = "vjp"
    stand_in: Callable[..., Any] | None = None
    accumulates: bool = False
    generators: PutBack = field(default_factory=PutBack, compare=False)
    context: Callable[[], Any] | None = None
    packs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lists: tuple[str, ...] = ()

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return forward's outputs: its arrays, or the members of the tuple, dict or dataclass that it returned."""
        members = self._members(self.stand_in or self.forward_function, inputs)
        return usable_outputs(members, self.counted)

    def forward_stacked(self, inputs: Mapping[str, Array], varied: str, points: Array) -> tuple[Array | None, ...]:
        """Return the outputs at points along a first axis, as a function that broadcasts does; none where it raises."""
        try:
            return self.forward({**inputs, varied: points})
        except OpError:
            return ()

    @property
    def stackable(self) -> bool:
        """Whether forward may be tried at several points in one call."""
        return self.reentrant and not self.packs

    def differentiable_outputs(self, outputs: tuple[Any, ...]) -> tuple[int, ...]:
        """Return the positions named by the spec, else those of all floating outputs."""
        return counted_outputs(outputs, self.counted)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Any, ...]
    ) -> dict[str, Array | None]:
        """Return the gradients by input's name; None where backward returned None for one."""
        noisy = {name: _noise(inputs[name]) for name in self._buffered}
        gradients = self._gradients(upstream, inputs, outputs, noisy) | noisy
        if self.accumulates:
            clear = {name: np.zeros_like(inputs[name]) for name in noisy}
            self._gradients(upstream, inputs, outputs, clear)
            gradients |= {name: added(clear[name], _noise(inputs[name]), noisy[name]) for name in noisy}
        return gradients

    def written_backwards(self, inputs: Mapping[str, Array] | None) -> tuple[Callable[..., Any], ...]:
        """Return what its gradients are written in."""
        return (self.backward_function,)

    @property
    def reentrant(self) -> bool:
        """Whether calls share nothing but what their functions do: no generator, buffer or context is kept for them."""
        return not (self.generators.draws or self.accumulates or self.context)

    @cached_property
    def takes_outputs(self) -> bool:
        """Whether backward is given what forward returned."""
        return any(word == CACHE or word.startswith("output") for word in self.args)

    @cached_property
    def _buffered(self) -> list[str]:
        return [found[1] for word in self.args if (found := BUFFER.fullmatch(word))]

    def _gradients(
        self,
        upstream: tuple[Array, ...],
        inputs: Mapping[str, Array],
        outputs: tuple[Any, ...],
        buffers: Mapping[str, Array],
    ) -> dict[str, Array | None]:
        given = self._given(inputs, outputs)
        arguments = [self._argument(word, upstream, inputs, given, buffers) for word in self.args]
        try:
            return self._answers(arguments, upstream, inputs)
        except OpError as error:
            if not (advice := self.advice(upstream)):
                raise
            raise OpError(f"{error}\n  {advice}", error.finding) from None

    def advice(self, upstream: Sequence[Array]) -> str:
        """Return what to write where backward may not know that its upstream is a tuple; nothing where it must."""
        if self.counted is not None or len(upstream) < 2 or "upstream" not in self.args:
            return ""
        return SEVERAL.format(len(upstream))

    def _answers(
        self, arguments: Sequence[Any], upstream: tuple[Array, ...], inputs: Mapping[str, Array]
    ) -> dict[str, Array | None]:
        try:
            returned = self.generators.backward(self.backward_function, *arguments, **self.backward_params)
        except (Exception, SystemExit) as error:
            raise raised("backward", error) from None
        if not self.returns:
            return {}
        members = READINGS[self.convention](returned, self.returns, inputs, upstream)
        return {name: usable_gradient(name, member, inputs[name].dtype) for name, member in members.items()}

    def _members(self, function: Callable[..., Any], inputs: Mapping[str, Array]) -> list[Any]:
        try:
            before = [] if self.context is None else [self.context()]
            given = packed(inputs, self.packs, self.lists) if self.packs else inputs
            returned = self.generators.forward(function, *before, *given.values(), **self.params)
        except OpError:
            raise
        except (Exception, SystemExit) as error:
            raise raised("forward", error) from None
        members = [returned] if type(returned) is np.ndarray else list(members_of(returned).values())
        return members[:1] if self.convention == "value_and_grad" else [*members, *before]

    def _given(self, inputs: Mapping[str, Array], outputs: tuple[Any, ...]) -> Sequence[Any]:
        """Return what forward returned, as backward is given it: anew where it is more than arrays."""
        if not any(word not in inputs and (word == CACHE or word.startswith("output")) for word in self.args):
            return outputs
        opaque = any(out is None for out in outputs)
        return self._members(self.forward_function, inputs) if opaque or self.stand_in else outputs

    def _argument(
        self,
        word: str,
        upstream: tuple[Array, ...],
        inputs: Mapping[str, Array],
        given: Sequence[Any],
        buffers: Mapping[str, Array],
    ) -> Any:
        if word in inputs:
            return inputs[word]
        if word in self.packs:
            return packed(inputs, self.packs, self.lists)[word]
        if buffers and (buffer := BUFFER.fullmatch(word)):
            return buffers[buffer[1]]
        if word == CACHE:
            return cache_of(given, self.counted)
        return named_word(word, upstream if word.startswith("upstream") else given)


SEVERAL = (
    "forward returned {} floating outputs, so upstream is a tuple of as many; where only the first has a gradient, "
    "write 'outputs: {{differentiable: [0]}}' under target"
)
"""What is said beside an error of backward's or a gradient of another shape, where an upstream that it does not know
may be why."""


def cache_of(members: Sequence[Any], counted: tuple[int, ...] | None) -> Any:
    """Return what forward returned beside the outputs that count, the first where nobody says which.

    Raises:
        OpError: where there is nothing.

    """
    rest = [one for k, one in enumerate(members) if k not in (counted or (0,))]
    if not rest:
        raise OpError("backward's args name cache, but forward returned nothing beside its output")
    return rest[0] if len(rest) == 1 else tuple(rest)


def packed(
    inputs: Mapping[str, Any], packs: Mapping[str, tuple[str, ...]], lists: Sequence[str] = ()
) -> dict[str, Any]:
    """Return inputs by name, those in dicts or lists together, where the first of them stands."""
    holder = {name: pack for pack, names in packs.items() for name in names}
    made: dict[str, Any] = {}
    for name, array in inputs.items():
        if name in holder:
            made.setdefault(holder[name], {})[name] = array
        else:
            made[name] = array
    return {name: list(value.values()) if name in lists else value for name, value in made.items()}


def named_word(word: str, given: Sequence[Any]) -> Any:
    """Return what ``upstream``, ``upstream[k]``, ``output`` or ``output[k]`` means among what is given.

    Raises:
        OpError: where there are not so many.

    """
    if word.endswith("]"):
        k = int(word[word.index("[") + 1 : -1])
        if k >= len(given):
            raise OpError(f"backward's args name {word}, but there are only {len(given)}")
        return given[k]
    return given[0] if len(given) == 1 else tuple(given)


def usable_outputs(members: Sequence[Any], counted: tuple[int, ...] | None) -> tuple[Any, ...]:
    """Return what forward returned as arrays, None for what is none.

    Raises:
        OpError: where an output that counts is none, or nothing can be differentiated.

    """
    outputs = tuple([as_array(member) for member in members])
    for k in counted if counted is not None else range(len(outputs)):
        if k >= len(outputs):
            raise OpError(f"forward returned {len(outputs)} outputs; the spec counts on output {k}")
        if outputs[k] is None and (counted is not None or len(outputs) == 1):
            raise OpError(f"forward returned {_described(members[k])}; expected an array of numbers")
        if counted is not None and (output := outputs[k]) is not None and not has_derivatives(output.dtype):
            raise OpError(f"the spec counts on output {k}, but it is {_described(output)}")
    if not counted_outputs(outputs, counted):
        kinds = ", ".join(_described(member) for member in members) or "nothing"
        raise OpError(f"forward returned no floating output to differentiate; found {kinds}")
    return outputs


def counted_outputs(outputs: tuple[Any, ...], counted: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the positions of the outputs that count, those of all floating ones where nobody says."""
    if counted is not None:
        return counted
    return tuple([k for k, out in enumerate(outputs) if out is not None and has_derivatives(out.dtype)])


def usable_gradient(name: str, member: Any, dtype: np.dtype[Any]) -> Array | None:
    """Return what backward gave for an input as an array; None for None.

    Raises:
        OpError: where it is no array of numbers.

    """
    gradient = as_array(member, dtype)
    if gradient is None and member is not None:
        raise OpError(f"backward returned {_described(member)} for {name}; expected an array of numbers")
    return gradient


def _noise(array: Array) -> Array:
    """Return what lies in a buffer before backward is called: numbers that no gradient equals."""
    noise = unwritten_number(1.0) * np.random.default_rng(1).uniform(0.5, 1.5, array.shape)
    return np.asarray(noise.astype(array.dtype))


def added(gradient: Array, before: Array, after: Array) -> Array:
    """Return the gradient that was added to a buffer.

    ``gradient`` is what lies in it after a call with zeros; ``after`` what does after a call with ``before``. Where
    that is as it should be, the first is the answer, which rounds nothing; else the second shows what is wrong. How
    many terms were added one by one, each with a rounding of what the buffer held by then, is not known. What
    overwrites a buffer is off by all that it held, so half of the digits are enough to tell the two apart.
    """
    room = np.finfo(after.dtype).eps ** 0.5 * (abs(before) + abs(gradient))
    kept = abs(after - (before + gradient)) <= room
    return gradient if kept.all() else np.asarray(np.where(kept, gradient, after - before))


def open_python(target: PythonTarget, case: Case) -> PythonOp:
    """Import the functions that a target names and bind the case's params to them."""
    with definitions_only(target.definitions_only):
        forward = import_function(target.forward, target.folder)
        backward = import_function(target.backward.call, target.folder)
    opened = open_functions(
        forward,
        backward,
        case.params,
        args=target.backward.args,
        returns=target.backward.returns,
        counted=target.differentiable_outputs,
    )
    stand_in: Callable[..., Any] | None = None
    if target.reference:
        stand_in = Reference(import_function(target.reference, target.folder), forward, case.dtype)
    elif target.surrogate:
        stand_in = import_function(target.surrogate, target.folder)
    context: Callable[[], Any] | None = None
    if target.context:
        with definitions_only(target.definitions_only):
            context = import_function(target.context, target.folder)
    own = getattr(forward, "__globals__", {}) if CACHE in target.backward.args else {}
    return replace(
        opened,
        convention=target.backward.convention,
        stand_in=stand_in,
        accumulates=target.accumulates,
        generators=PutBack([own]),
        context=context,
        packs=target.packs,
        lists=target.lists,
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
    return PythonOp(forward, backward, params, accepted(backward, params), args, returns, counted)


def accepted(function: Callable[..., Any], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return those of the params that a function's signature accepts by keyword; all where it has none."""
    if not params:  # there is nothing to read it for
        return params
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some compiled functions have no signature: they get everything
        return params
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return params
    by_keyword = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {name: value for name, value in params.items() if name in parameters and parameters[name].kind in by_keyword}


def as_array(member: Any, dtype_of_numbers: np.dtype[Any] | None = None) -> Array | None:
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
    if target.definitions_only:  # which is not how they would be imported to find out
        return {}
    key = next(key for key, convention in GRADIENTS.items() if convention == target.backward.convention)
    named = {("target", key, "call"): target.backward.call}
    for beside in ("forward", "reference", "surrogate"):
        if (name := getattr(target, beside)) and (beside, key) != ("forward", "value_and_grad"):
            named["target", beside] = name  # type: ignore[index]
    return named  # type: ignore[return-value]
