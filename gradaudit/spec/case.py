"""The plan of an audit: one concrete case of an op, as frozen data that travels to worker processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gradaudit.spec.tape import TapeDescription, TapePreset

Distribution = Literal[
    "uniform",
    "normal",
    "integers",
    "bernoulli",
    "one_hot",
    "permutation",
    "spd",
    "symmetric",
    "orthogonal",
    "rotation",
    "triangular",
    "unit",
    "simplex",
    "sorted",
]
Layout = Literal["contiguous", "transposed", "strided", "reversed", "channels_last"]
Method = Literal["auto", "exhaustive", "search"]


@dataclass(frozen=True, order=True)
class Location:
    """Where in a spec something stands; line and column count from 1."""

    file: Path
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Tolerance:
    """What difference is allowed at an index: ``atol + rtol * abs(numerical)``, as in ``numpy.isclose``."""

    rtol: float
    atol: float
    reason: str = ""

    def at(self, magnitude: float) -> float:
        """Return the difference allowed where the numerical gradient has this magnitude."""
        return self.atol + self.rtol * magnitude


@dataclass(frozen=True)
class Avoid:
    """Points that an input's values keep a distance of at least ``margin`` from."""

    points: tuple[float, ...]
    margin: float


@dataclass(frozen=True)
class Input:
    """How one input of a case is made.

    Attributes:
        name: the input's name; inputs are passed to forward by position, in their order.
        shape: its sizes; empty for a scalar.
        dtype: name of its dtype.
        differentiable: whether a gradient is expected for it.
        range: least and largest value, both included; None where the distribution has no range.
        distribution: how values are drawn.
        avoid: what the values keep away from.
        gap: least distance between any two elements, 0 for none.
        values: explicit values, nested as the shape is, or an array; nothing is drawn then.
        layout: how the array lies in memory.
        probability: of the upper end of the range, for ``bernoulli``.
        columns: a range for each element of the last axis, in the place of one for all; empty for none.

    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    differentiable: bool = True
    range: tuple[float, float] | None = None
    distribution: Distribution = "uniform"
    avoid: Avoid | None = None
    gap: float = 0.0
    values: Any = None
    layout: Layout = "contiguous"
    probability: float = 0.5
    columns: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class RandomUpstream:
    """A random upstream gradient that is scaled, as under loss scaling, and lies in memory in some way.

    ``expanded`` is one row for all places along the first axis, as the backward of a sum hands on.
    """

    scale: float = 1.0
    layout: Layout | Literal["expanded"] = "contiguous"


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

WITH_MODULES: frozenset[Framework] = frozenset({"torch"})
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


@dataclass(frozen=True)
class ModelTarget:
    """A model, its loss and a batch, written on a tape; functions are named ``module:function``.

    Attributes:
        model: makes the model, called with the case's params by keyword.
        loss: called with the model's output and the targets; returns a scalar tensor.
        tape: the preset or the description of the tape.
        data: called with a seed; returns a tuple of the inputs' arrays and one of the targets'. None where the case's
            own inputs are the batch.
        batch_size: how many samples of the data make a batch; None where the spec does not say.
        targets: names of those of the case's inputs that the loss takes, and the model does not.
        folder: the spec's own.

    """

    model: str
    loss: str
    tape: TapePreset | TapeDescription
    data: str | None
    batch_size: int | None
    targets: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class FlowTarget(ModelTarget):
    """A model of which is asked whether gradients flow to all that they should reach, and are right.

    Attributes:
        backward: the name that the step has which made the model's output; empty where none is expected.
        stopped: patterns of parameters and inputs whose gradients are stopped on some way on purpose.
        unused: patterns of parameters that a batch may not use.

    """

    backward: str = ""
    stopped: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Optimiser:
    """What changes the parameters: one of our own by its name, with its rate and momentum, or one that a spec names.

    ``call`` is ``module:function``, called with a list of the parameters' tensors and ``params`` by keyword; empty for
    one of our own.
    """

    name: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.0
    momentum: float = 0.0
    call: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Attainment:
    """What training a model is expected to reach; None for what nothing is asked of.

    Attributes:
        parameters: how many tensors of parameters the model has.
        loss_falls_by: share of the first loss that the last is below it; None where any fall will do.
        accuracy: least accuracy at the end.
        seconds: most processor time.

    """

    parameters: int | None = None
    loss_falls_by: float | None = None
    accuracy: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class LearningTarget(ModelTarget):
    """A model that is trained, after its gradients were audited on a batch.

    Attributes:
        optimiser: changes the parameters after each batch.
        epochs: how often the data is gone through.
        accuracy: from the output and the targets, as arrays, to a number from 0 to 1; None where none is measured.
        expected: what training should reach.

    """

    optimiser: Optimiser = Optimiser()
    epochs: int = 10
    accuracy: str | None = None
    expected: Attainment = Attainment()


Target = (
    PythonTarget
    | LayerTarget
    | ClosureTarget
    | LibraryTarget
    | UncalledTarget
    | ProcessTarget
    | FrameworkTarget
    | HeldTarget
    | ModelTarget
)
"""How an op's implementation is reached; a kind of target is one such dataclass and one file in ``targets/``."""


def takes_upstream(target: Target) -> bool:
    """Return whether a target's backward is given an upstream gradient."""
    if isinstance(target, PythonTarget):
        if target.backward.convention != "vjp":
            return target.backward.convention != "value_and_grad"
        return any(word.startswith("upstream") for word in target.backward.args)
    if isinstance(target, LibraryTarget):
        return any(meant in target.outputs for meant in target.gradients.values())
    if not isinstance(target, LayerTarget) or target.convention == "derivative":
        return True
    return any(word.startswith("upstream") for word in target.args)


@dataclass(frozen=True)
class Expectation:
    """How a case is expected to end.

    Attributes:
        verdict: of the case as a whole, the worst of its gradients'.
        findings: codes of those that must be among the findings made.
        inputs: the verdicts of gradients, by input, where they are expected one by one: the others pass.

    """

    verdict: Literal["pass", "fail"] = "pass"
    findings: tuple[str, ...] = ()
    inputs: Mapping[str, Literal["pass", "fail"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One concrete audit: an op with its shapes, values, dtype and params fixed.

    ``tolerance`` is None where the spec is silent and the dtype's default holds; ``upstream`` is ``"random"``,
    ``"ones"``, ``"none"`` (one, for backwards of a scalar that take none), a plan, nested values or an array;
    ``step`` is None where it is chosen automatically.
    """

    op: str
    module: str
    name: str
    dtype: str
    target: Target
    inputs: tuple[Input, ...]
    params: Mapping[str, Any]
    tolerance: Tolerance | None
    upstream: Any
    step: float | None
    method: Method
    seed: int
    expect: Expectation
    notes: str
    location: Location

    @property
    def takes_upstream(self) -> bool:
        """Whether backward is given an upstream gradient; gradient functions of scalar losses often are not."""
        return takes_upstream(self.target)

    @property
    def name_in_spec(self) -> str:
        """The name without the mode that is added to it where it is not reverse."""
        mode = self.target.mode if isinstance(self.target, FrameworkTarget) else ""
        return self.name.removesuffix(f"+{mode}")

    @property
    def id(self) -> str:
        """The name that ``-k`` matches and progress shows: ``module/op::case[dtype]``."""
        return f"{self.module}/{self.op}::{self.name}[{self.dtype}]"
