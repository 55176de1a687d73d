"""What an op is and what its inputs are called, where someone has a function and its arguments and says no more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

from gradaudit.drop_in.arguments import Bound, argument_names, bound, is_array, signature_names
from gradaudit.framework_ops import autograd_op, jax_op, name_of, tinygrad_op, torch_op
from gradaudit.spec.case import Case
from gradaudit.spec.op_targets import Framework, HeldTarget
from gradaudit.targets.structure import leaves

HOMES: Mapping[str, Framework] = {
    "torch": "torch",
    "jax": "jax",
    "jaxlib": "jax",
    "autograd": "autograd",
    "tinygrad": "tinygrad",
}
"""The packages by which a framework is told: those that its functions and arrays are defined in."""

MAKERS: Mapping[Framework, Callable[..., HeldTarget]] = {
    "torch": torch_op,
    "jax": jax_op,
    "autograd": autograd_op,
    "tinygrad": tinygrad_op,
}


def recognised(op: Any, inputs: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return an op and its inputs by name.

    Args:
        op: an op, or a function, ``Function.apply`` or module of a framework.
        inputs: arrays by name; a tuple of arguments by position, where what is no array stays as it is; or one array.

    Raises:
        TypeError: where nothing says what the backward of a function is, or an argument is none.

    """
    by_name = isinstance(inputs, Mapping)
    arguments = list(inputs.values()) if by_name else list(positional(inputs))
    if _is_op(op):
        return op, inputs if by_name else _named(op, arguments)
    framework = _framework_of(op, arguments)
    function = _callable_of(op)
    if by_name:
        return _opened_beside(MAKERS[framework](function), arguments), inputs
    call = _bound(framework, function, arguments)
    if not call.arrays:
        found = ", ".join(type(argument).__name__ for argument in arguments) or "nothing"
        raise TypeError(f"inputs: expected at least one array, found {found}")
    target = MAKERS[framework](call.function, name=name_of(function))
    return _opened_beside(_with_params(target, call.params), arguments), call.arrays


def positional(inputs: Any) -> Sequence[Any]:
    """Return the arguments that are given by position: the members of a tuple or list, or what is given itself."""
    return inputs if isinstance(inputs, (tuple, list)) and not _is_nested_number(inputs) else (inputs,)


def _is_nested_number(given: Any) -> bool:
    """Whether a list is an array in Python's own types: ``[[1.0, 2.0], [3.0, 4.0]]``."""
    if isinstance(given, list) and given:
        return all(map(_is_nested_number, given))
    return isinstance(given, (int, float, complex))


def _is_op(op: Any) -> bool:
    named = ("forward", "backward", "differentiable_outputs")
    return isinstance(op, HeldTarget) or all(callable(getattr(op, method, None)) for method in named)


def _named(op: Any, arguments: Sequence[Any]) -> dict[str, Any]:
    """Return inputs by the names of what forward takes, where the op knows them."""
    known = op.takes if isinstance(op, HeldTarget) else ()
    return dict(zip(argument_names(known, len(arguments)), arguments, strict=True))


def _framework_of(op: Any, arguments: Sequence[Any]) -> Framework:
    """Return the framework that differentiates a function: its own, else that of its arrays, else what it calls."""
    if not callable(op):
        raise TypeError(
            f"op: expected a function, or what gradaudit.op(forward, backward) returns, found {type(op).__name__}"
        )
    for package in (
        *packages_of(op),
        *(package for array in leaves(arguments) for package in packages_of(array)),
        *_called(op),
    ):
        if package in HOMES:
            return HOMES[package]
    raise TypeError(
        f"op: {name_of(op)} is a function of no framework, so nothing says what its backward is; expected what "
        "gradaudit.op(forward, backward) returns, or a function of torch, jax, autograd or tinygrad"
    )


def packages_of(thing: Any) -> Iterator[str]:
    """Yield the top packages that a thing, its class, or what it wraps comes from."""
    if isinstance(thing, partial):
        yield from packages_of(thing.func)
    owner = getattr(thing, "__self__", None)
    classes = [cls for each in (thing, owner) for cls in (each if isinstance(each, type) else type(each)).__mro__]
    for module in (getattr(thing, "__module__", None), *(cls.__module__ for cls in classes)):
        yield str(module).partition(".")[0]
    if getattr(thing, "_is_autograd_primitive", False):
        yield "autograd"


def _called(function: Any) -> Iterator[str]:
    """Yield the top packages of the modules that a function's code names."""
    code, names = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    for name in getattr(code, "co_names", ()):
        if isinstance(named := names.get(name), ModuleType):
            yield named.__name__.partition(".")[0]


def _callable_of(op: Any) -> Callable[..., Any]:
    """Return what is called: of a ``torch.autograd.Function`` its ``apply``."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(op, type) and issubclass(op, torch.autograd.Function):
        made: Callable[..., Any] = getattr(op, "apply")  # noqa: B009 (Any to mypy)
        return made
    function: Callable[..., Any] = op
    return function


def _bound(framework: Framework, function: Callable[..., Any], arguments: Sequence[Any]) -> Bound:
    names = argument_names(signature_names(function), len(arguments))
    if framework == "jax":
        from gradaudit.drop_in.trees import bound_tree

        return bound_tree(function, arguments, names)
    if hasattr(function, "named_parameters"):
        return _bound_module(function, arguments, names)
    return bound(function, arguments, names)


def _bound_module(module: Any, arguments: Sequence[Any], names: Sequence[str]) -> Bound:
    """Return a module with its tensors; what follows them goes by keyword, as a module is called as it is."""
    last = max((k for k, argument in enumerate(arguments) if is_array(argument)), default=-1)
    if wrong := [argument for argument in arguments[: last + 1] if not is_array(argument)]:
        found = type(wrong[0]).__name__
        raise TypeError(
            f"inputs: expected a module's tensors first, found {found} before one; other arguments go into params"
        )
    arrays = dict(zip(names, arguments[: last + 1], strict=False))
    return Bound(module, arrays, dict(zip(names[last + 1 :], arguments[last + 1 :], strict=True)))


def _with_params(target: HeldTarget, params: Mapping[str, Any]) -> HeldTarget:
    """Return an op that is opened with further params, unless a case has others by their names."""
    if not params:
        return target
    return replace(target, open=lambda case: target.open(replace(case, params={**params, **case.params})))


def _opened_beside(target: HeldTarget, arguments: Sequence[Any]) -> HeldTarget:
    """Return an op that works where its tensors are, if that is not the processor's memory."""
    torch = sys.modules.get("torch")
    tensors = [each for each in arguments if torch is not None and isinstance(each, torch.Tensor)]
    device = next((tensor.device for tensor in tensors if tensor.device.type != "cpu"), None)
    if torch is None or device is None:
        return target

    def opened(case: Case) -> Any:
        with torch.device(device):
            return target.open(case)

    return replace(target, open=opened)
