"""Ops of frameworks from Python: a function, ``Function.apply`` or a module at hand, ready for ``gradaudit.check``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, get_args

from gradaudit.drop_in.arguments import signature_names
from gradaudit.drop_in.settings import function_of, positions_listed
from gradaudit.spec.case import Case
from gradaudit.spec.errors import nearest
from gradaudit.spec.op_targets import WITH_MODULES, Framework, HeldTarget, Mode
from gradaudit.targets.framework_op import FrameworkOp, UnusableError, split_upstream, upstream_name
from gradaudit.targets.frameworks import install_command, is_installed, op_of, opener
from gradaudit.targets.op import OpError


def torch_op(
    function: Callable[..., Any],
    *,
    outputs: Sequence[int] | None = None,
    mode: Mode = "reverse",
    name: str | None = None,
) -> HeldTarget:
    """Return the op of a PyTorch function, ``Function.apply`` or module; autograd is its backward.

    Args:
        function: called with the inputs by position and the params by keyword; ``Function.apply`` gets them at their
            places. A module may be given itself, or by a class or function that needs no arguments and makes it. Its
            parameters are inputs by their names: those that ``check`` is not given are drawn over the range of their
            values.
        outputs: positions of the outputs that count, nested ones counted through; default: all that autograd
            differentiates.
        mode: ``reverse``, ``forward``, ``batched`` or ``second``, as in a spec. In the second order the upstream of
            output k is an input too, named ``upstream[k]``, and drawn.
        name: what reports call the op; default: the function's own name.

    Raises:
        ModuleNotFoundError: where PyTorch is not installed, with the command that installs it.
        TypeError: where ``function`` cannot be called.
        ValueError: where there is no such mode.

    """
    return _framework_op("torch", function, outputs, mode, name)


def jax_op(
    function: Callable[..., Any],
    *,
    outputs: Sequence[int] | None = None,
    mode: Mode = "reverse",
    name: str | None = None,
) -> HeldTarget:
    """Return the op of a JAX function, with whatever ``custom_vjp``, ``custom_jvp`` or ``jit`` inside.

    Args:
        function: called with the inputs by position and the params by keyword; compiled unless it looks at values. A
            model may be given as a module that is a tree of its parameters, or by a function that needs no arguments
            and returns one, or a pair of a function and the tree that it takes first. Parameters are inputs by their
            paths, as for ``torch_op``.
        outputs: positions of the outputs that count, as leaves of the tree that it returns; default: all floating ones.
        mode: ``reverse``, ``forward``, ``batched`` or ``second``, as for ``torch_op``.
        name: what reports call the op; default: the function's own name.

    Raises:
        ModuleNotFoundError: where JAX is not installed, with the command that installs it.
        TypeError: where ``function`` cannot be called.
        ValueError: where there is no such mode.

    """
    return _framework_op("jax", function, outputs, mode, name)


def autograd_op(
    function: Callable[..., Any], *, outputs: Sequence[int] | None = None, name: str | None = None
) -> HeldTarget:
    """Return the op of a function on HIPS autograd's NumPy, or of a primitive with a rule of its own.

    Args:
        function: called with the inputs by position and the params by keyword.
        outputs: positions of the outputs that count, nested ones counted through; default: all floating ones.
        name: what reports call the op; default: the function's own name.

    Raises:
        ModuleNotFoundError: where autograd is not installed, with the command that installs it.
        TypeError: where ``function`` cannot be called.

    """
    return _framework_op("autograd", function, outputs, "reverse", name)


def tinygrad_op(
    function: Callable[..., Any], *, outputs: Sequence[int] | None = None, name: str | None = None
) -> HeldTarget:
    """Return the op of a function on tinygrad's tensors.

    Args:
        function: called with the inputs by position and the params by keyword.
        outputs: positions of the outputs that count, nested ones counted through; default: all floating ones.
        name: what reports call the op; default: the function's own name.

    Raises:
        ModuleNotFoundError: where tinygrad is not installed, with the command that installs it.
        TypeError: where ``function`` cannot be called.

    """
    return _framework_op("tinygrad", function, outputs, "reverse", name)


def _framework_op(
    framework: Framework, function: Callable[..., Any], outputs: Sequence[int] | None, mode: Mode, name: str | None
) -> HeldTarget:
    if not is_installed(framework):
        raise ModuleNotFoundError(f"{framework} is not installed: {install_command(framework)}", name=framework)
    function_of("function", function)
    if mode not in get_args(Mode):
        known = get_args(Mode)
        raise ValueError(f"mode: found {mode!r}, expected one of {', '.join(known)}{nearest(str(mode), known)}")
    called = name or name_of(function)
    counted = positions_listed("outputs", outputs)

    def opened(case: Case) -> FrameworkOp:
        try:
            return op_of(opener(framework), function, case, counted=counted, mode=mode)
        except UnusableError as error:
            raise OpError(f"{called} {error}") from None

    takes = () if isinstance(function, type) else signature_names(function)  # a class makes what is called
    return HeldTarget(opened, called, brings_inputs=framework in WITH_MODULES, takes=takes)


def with_parameters_constant(target: HeldTarget) -> HeldTarget:
    """Return the op without the inputs that a module brings along: its parameters keep the values that they have."""

    def opened(case: Case) -> Any:
        op = target.open(case)
        if not isinstance(op, FrameworkOp):
            return op
        _, upstreams = split_upstream(op.parameters)  # which the second order brings along too
        return replace(op, parameters={upstream_name(k): array for k, array in upstreams.items()})

    return replace(target, open=opened, brings_inputs=False)


def name_of(function: Any) -> str:
    """Return the name of a function, of the class that it is the ``apply`` of, or of a module's class."""
    if isinstance(function, partial):
        return name_of(function.func)
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type):
        return owner.__name__
    return str(getattr(function, "__name__", type(function).__name__))
