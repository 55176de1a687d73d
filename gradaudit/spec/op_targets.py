"""How one op's implementation is reached, as frozen data: a class for each kind of target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gradaudit.extensions import Extension

if TYPE_CHECKING:
    from gradaudit.spec.case import Case

Convention = Literal["vjp", "jacobian", "derivative", "value_and_grad"]
"""What a backward function gives: the product of upstream and Jacobian, the Jacobian, f' of an elementwise f, or the
value of a scalar loss with its gradient."""


@dataclass(frozen=True)
class BackwardCall:
    """How backward is called: what it takes in order, and which inputs' gradients it gives back in order.

    ``args`` that read ``grad[x]`` are buffers that the gradient of x is written into; ``returns`` names the other
    inputs whose gradients backward has.
    """

    call: str
    args: tuple[str, ...]
    returns: tuple[str, ...]
    convention: Convention = "vjp"


@dataclass(frozen=True)
class PythonTarget:
    """An op that is a pair of Python functions, each named ``module:function``.

    Attributes:
        forward: computes the outputs.
        backward: computes the gradients.
        differentiable_outputs: positions of the outputs that count; None for all floating ones.
        folder: the spec's own, from which modules are importable besides the current one.
        reference: a forward that computes the same in float64, and is differenced instead; empty for none.
        surrogate: the function whose derivative backward is meant to be; empty for forward itself.
        accumulates: whether backward adds to the buffers of gradients that it is given.
        definitions_only: whether its modules are imported without the statements that run something.
        context: a class of contexts, ``module:name``: forward takes one first, and backward gets it as its ``cache``.
        packs: arguments of forward that are dicts, in their places among the inputs, and the inputs in each.
        lists: such arguments that are lists of their inputs instead.

    """

    forward: str
    backward: BackwardCall
    differentiable_outputs: tuple[int, ...] | None
    folder: Path
    reference: str = ""
    surrogate: str = ""
    accumulates: bool = False
    definitions_only: bool = False
    context: str = ""
    packs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lists: tuple[str, ...] = ()


@dataclass(frozen=True)
class LayerTarget:
    """An op that is a class with state: made anew, given its parameters, and called forward before every backward.

    Places are attributes, and what lies in them, as Python writes them: ``W``, ``params['W']``, ``weight.data``.

    Attributes:
        layer: the class, or a function that makes an instance, ``module:name``; called with those of the case's params
            that it accepts.
        forward: the method that is given the inputs that are no parameters, in order.
        backward: the method that computes gradients.
        args: what backward takes, in order.
        returns: the inputs whose gradients backward returns, in order.
        parameters: the place of each input that is a parameter.
        gradients: the place where backward leaves the gradient of an input.
        differentiable_outputs: positions of the outputs that count; None for all floating ones.
        accumulates: whether backward adds to the gradients that lie at their places already.
        folder: the spec's own.
        steps: whether the last argument of backward is a learning rate, with which it changes its parameters: the
            gradients of those are what a rate of one takes away.
        definitions_only: as in a ``PythonTarget``.
        constructor: names of the inputs that the constructor takes, by keyword.
        convention: what backward returns.
        output: the place where forward leaves its output; empty where it returns it.
        attributes: the place of each param that is set before forward, as ``layer.training = True`` sets a mode.
        builds: whether forward makes the parameters when it is called for the first time.

    """

    layer: str
    forward: str
    backward: str
    args: tuple[str, ...]
    returns: tuple[str, ...]
    parameters: Mapping[str, str]
    gradients: Mapping[str, str]
    differentiable_outputs: tuple[int, ...] | None
    accumulates: bool
    folder: Path
    steps: bool = False
    definitions_only: bool = False
    constructor: tuple[str, ...] = ()
    convention: Convention = "vjp"
    output: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    builds: bool = False


@dataclass(frozen=True)
class ClosureTarget:
    """An op on a tape of one's own: a function of tensors whose output carries a closure that hands gradients on.

    Attributes:
        tensor: the class of tensors, or a function that makes one of an array, ``module:name``.
        call: the function, or method of the class, ``module:name``; takes tensors.
        data: where a tensor keeps its values.
        grad: the attribute that holds its gradient.
        backward: the attribute of the output that holds the closure; called without arguments, or with the upstream.
        elementwise: whether tensors are numbers: the op is called for each element.
        accumulates: whether the closure adds to the gradients that its inputs have already.
        folder: the spec's own.
        definitions_only: as in a ``PythonTarget``.

    """

    tensor: str
    call: str
    data: str
    grad: str
    backward: str
    elementwise: bool
    accumulates: bool
    folder: Path
    definitions_only: bool = False


@dataclass(frozen=True)
class ProcessTarget:
    """An op that a child process answers for, in any language.

    Attributes:
        command: the program and its arguments, as seen from the spec's folder.
        op: the name that the process knows the op by.
        timeout: seconds that it may take for an answer.
        differentiable_outputs: positions of the outputs that count; None for what the process says.
        folder: the spec's own.

    """

    command: tuple[str, ...]
    op: str
    timeout: float
    differentiable_outputs: tuple[int, ...] | None
    folder: Path


@dataclass(frozen=True)
class LibraryTarget:
    """An op that is a pair of C functions in a shared library.

    Attributes:
        path: the library; a whole path.
        header: where its functions are declared; a whole path.
        float64: the same source built with ``double`` for ``float``; a whole path, empty for none.
        forward: the function that computes the outputs.
        backward: the function that computes the gradients.
        outputs: forward's buffers for outputs, with their shapes: sizes and names of params, or an input's name.
        gradients: which input or output each pointer of backward is the gradient of.
        accumulates: whether backward adds to its buffers; None where they are clear before it, whatever it does.
        differentiable_outputs: positions of the outputs that count; None for the first.
        folder: the spec's own.

    """

    path: str
    header: str
    float64: str
    forward: str
    backward: str
    outputs: Mapping[str, tuple[int | str, ...] | str]
    gradients: Mapping[str, str]
    accumulates: bool | None
    differentiable_outputs: tuple[int, ...] | None
    folder: Path


@dataclass(frozen=True)
class ExtensionTarget:
    """An op that is reached in a way that another package adds.

    Attributes:
        extension: the kind of target.
        settings: what the spec says of it, as plain data.
        differentiable_outputs: positions of the outputs that count; None where the spec does not say.
        folder: the spec's own.

    """

    extension: Extension
    settings: Any
    differentiable_outputs: tuple[int, ...] | None
    folder: Path


@dataclass(frozen=True)
class UncalledTarget:
    """A backward pass that was found, and that nobody knows how to call; ``reason`` says why."""

    reason: str
    folder: Path


def _keep(op: Any) -> None:
    """Leave an op as it is: who made it may go on with it."""


@dataclass(frozen=True)
class HeldTarget:
    """An op at hand in this process instead of named in a spec.

    Attributes:
        open: makes the op for a case.
        name: what it is called.
        close: lets go of what the op that was made holds besides memory.
        folder: where its functions would be looked up by name, which they are not.
        brings_inputs: whether the op may have inputs that nobody names: the parameters of a module.
        takes: names of what its forward takes by position, as far as they are known.

    """

    open: Callable[[Case], Any]
    name: str
    close: Callable[[Any], None] = _keep
    folder: Path = Path()
    brings_inputs: bool = False
    takes: tuple[str, ...] = ()


Framework = Literal["torch", "jax", "autograd", "tinygrad"]
Mode = Literal["reverse", "forward", "second", "batched"]

WITH_MODULES: frozenset[Framework] = frozenset({"torch", "jax"})
"""The frameworks whose targets may be modules, which bring their parameters along as inputs."""


@dataclass(frozen=True)
class FrameworkTarget:
    """An op written in a framework, whose own differentiation is the analytical gradient.

    ``function`` is named ``module:callable``; the other attributes are those of a ``PythonTarget``. ``mode`` says by
    which differentiation: reverse, forward (column by column), reverse for a batch of upstreams at once, or the second
    order, where the op that is audited is the first's backward.
    """

    framework: Framework
    function: str
    differentiable_outputs: tuple[int, ...] | None
    folder: Path
    mode: Mode = "reverse"
    definitions_only: bool = False
    packs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
