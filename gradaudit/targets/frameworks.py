"""The frameworks whose functions can be audited: extras, each imported only where a spec asks for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gradaudit.spec.case import Case
from gradaudit.spec.draw import draw_inputs, draw_upstream
from gradaudit.spec.model_targets import LearningTarget, ModelTarget
from gradaudit.spec.op_targets import Framework, FrameworkTarget, Mode
from gradaudit.spec.tape import TapeDescription
from gradaudit.targets.definitions import definitions_only
from gradaudit.targets.framework_op import FrameworkOp, UnusableError, split_upstream, upstream_name
from gradaudit.targets.importing import import_function
from gradaudit.targets.op import OpError, raised
from gradaudit.targets.parameters import completed
from gradaudit.targets.python import packed

OPENERS: Mapping[Framework, str] = {
    "torch": "gradaudit.targets.torch:torch_op",
    "jax": "gradaudit.targets.jax:jax_op",
    "autograd": "gradaudit.targets.autograd:autograd_op",
    "tinygrad": "gradaudit.targets.tinygrad:tinygrad_op",
}
"""By framework, the function that makes an op of a function; its module imports the framework."""


def install_command(framework: Framework) -> str:
    """Return the command that installs a framework."""
    return f"pip install 'gradaudit[{framework}]'"


def is_installed(framework: Framework) -> bool:
    """Whether a framework can be imported, without importing it; a folder of its name is none."""
    found = find_spec(framework)
    return found is not None and found.origin is not None


def opener(framework: Framework) -> Callable[..., FrameworkOp]:
    """Return the function that makes an op of a framework's function.

    Raises:
        OpError: where the framework is not installed, with the command that installs it.

    """
    if not is_installed(framework):
        raise OpError(f"{framework} is not installed: {install_command(framework)}")
    module, _, name = OPENERS[framework].partition(":")
    try:
        make: Callable[..., FrameworkOp] = getattr(import_module(module), name)
    except Exception as error:  # an installation that is broken, or of another machine
        raise raised(f"importing {framework}", error) from None
    return make


def open_framework(target: FrameworkTarget, case: Case) -> FrameworkOp:
    """Import the function that a target names and bind the case's params to it.

    Raises:
        OpError: where the framework or the function cannot be imported, or is none.

    """
    make = opener(target.framework)
    with definitions_only(target.definitions_only):
        function = import_function(target.function, target.folder)
    if target.packs:
        function = _packing(function, target, [made.name for made in case.inputs])
    try:
        return op_of(make, function, case, counted=target.differentiable_outputs, mode=target.mode)
    except UnusableError as error:
        raise OpError(f"'{target.function}' {error}") from None


def _packing(function: Callable[..., Any], target: FrameworkTarget, names: Sequence[str]) -> Callable[..., Any]:
    """Return the function of the inputs one by one, some of which it takes together, in dicts or lists."""

    @wraps(function)
    def one_by_one(*arrays: Any, **params: Any) -> Any:
        return function(*packed(dict(zip(names, arrays, strict=False)), target.packs, target.lists).values(), **params)

    return one_by_one


def op_of(
    make: Callable[..., FrameworkOp],
    function: Callable[..., Any],
    case: Case,
    *,
    counted: tuple[int, ...] | None = None,
    mode: Mode = "reverse",
) -> FrameworkOp:
    """Return the op of a function at hand, with a case's params bound; the second order's brings its upstreams along.

    Args:
        make: makes an op of a framework's function, as ``opener`` returns it.
        function: of that framework.
        case: whose params, seed and inputs are meant.
        counted: positions of the outputs that count; None for all that can be differentiated.
        mode: by which differentiation gradients are had.

    Raises:
        OpError: where making the op calls what raises: a module's own code, or the forward of the second order.
        UnusableError: where the function is none that the framework can be asked about.

    """

    def made_in(mode: Mode) -> FrameworkOp:
        made = make(
            function,
            params=case.params,
            constants=frozenset(made.name for made in case.inputs if not made.differentiable),
            counted=counted,
            seed=case.seed,
            **({} if mode == "reverse" else {"mode": mode}),  # which not every framework knows
        )
        return replace(made, written=function)

    try:
        op = made_in(mode)
        return (
            op
            if mode != "second"
            else replace(op, parameters={**op.parameters, **_upstreams(made_in("reverse"), case)})
        )
    except (OpError, UnusableError):
        raise
    except (Exception, SystemExit) as error:
        raise raised(f"making an op of {getattr(function, '__name__', 'the function')}", error) from None


def _upstreams(op: FrameworkOp, case: Case) -> dict[str, Any]:
    """Return an upstream for each output of an op that counts, by the name that it has as an input."""
    case = completed(case, op)
    inputs, _ = split_upstream(draw_inputs(case))  # the case may hold upstreams by now
    outputs = op.forward(inputs)
    positions = op.differentiable_outputs(outputs)
    return {upstream_name(k): draw_upstream(case, k, outputs[k].shape, outputs[k].dtype) for k in positions}


def framework_names(target: FrameworkTarget) -> dict[tuple[str, ...], str]:
    """Return the function that a target names, by its path in the spec."""
    return {("target", target.framework): target.function}


def framework_of(target: Any) -> Framework | None:
    """Return the framework that a target is written in, None where it is in none of these."""
    if isinstance(target, FrameworkTarget):
        return target.framework
    if isinstance(target, ModelTarget) and not isinstance(target.tape, TapeDescription) and target.tape in OPENERS:
        return target.tape  # type: ignore[return-value]
    return None


def missing_framework(target: Any) -> Framework | None:
    """Return the framework that a target needs and that is not installed, None where nothing is missing."""
    needed = framework_of(target)
    return needed if needed is not None and not is_installed(needed) else None


def preloaded(target: Any) -> tuple[str, ...]:
    """Return the modules of a target's framework that an audit of it imports sooner or later; none for other targets.

    They are the framework's own and ours: processes that audit one op each can share them.
    """
    needed = framework_of(target)
    if needed is None or not is_installed(needed):
        return ()
    more = isinstance(target, LearningTarget) or getattr(target, "mode", "reverse") != "reverse"
    further = FURTHER.get(needed, ()) if more else ()
    return (OPENERS[needed].partition(":")[0], *FIRST_GRADIENT.get(needed, ()), *further)


FIRST_GRADIENT: Mapping[Framework, tuple[str, ...]] = {
    "torch": ("torch.fx.experimental.symbolic_shapes",),
    "tinygrad": ("tinygrad.runtime.ops_cpu",),
}
"""What a framework itself imports when the first gradient is asked for; a version that has it no more does without."""

FURTHER: Mapping[Framework, tuple[str, ...]] = {"torch": ("torch._dynamo", "torch._functorch.eager_transforms")}
"""What its optimisers import besides, and its other modes of differentiation."""
