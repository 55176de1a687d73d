"""The plan of an audit: one concrete case of an op, as frozen data that travels to worker processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gradaudit.extensions import CHECKS, Extension, extensions
from gradaudit.spec.model_targets import ModelTarget
from gradaudit.spec.op_targets import (
    ClosureTarget,
    ExtensionTarget,
    FrameworkTarget,
    HeldTarget,
    LayerTarget,
    LibraryTarget,
    ProcessTarget,
    PythonTarget,
    UncalledTarget,
)

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

    ``expanded`` is one row for all places along the first axis, as the backward of a sum hands on; ``narrow`` a part of
    a longer array along the last axis, as that of a concatenation does.
    """

    scale: float = 1.0
    layout: Layout | Literal["expanded", "narrow"] = "contiguous"


Target = (
    PythonTarget
    | LayerTarget
    | ClosureTarget
    | LibraryTarget
    | ExtensionTarget
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
class Part:
    """Some of a case's gradients, the others being audited elsewhere.

    Attributes:
        own: the inputs whose gradients belong to it.
        others: those whose gradients do not.
        parameters: whether those of what the op brings along besides, as a module its parameters, belong to it.

    """

    own: frozenset[str]
    others: frozenset[str]
    parameters: bool

    def __contains__(self, name: str) -> bool:
        """Whether the gradient of an input belongs to it."""
        return name in self.own or (self.parameters and name not in self.others)


def _added_checks() -> tuple[Extension, ...]:
    return extensions(CHECKS)


@dataclass(frozen=True)
class Case:
    """One concrete audit: an op with its shapes, values, dtype and params fixed.

    ``tolerance`` is None where the spec is silent and the dtype's default holds; ``upstream`` is ``"random"``,
    ``"ones"``, ``"none"`` (one, for backwards of a scalar that take none), a plan, nested values or an array;
    ``step`` is None where it is chosen automatically; ``part`` where the case is audited as a whole; ``budget``, calls
    that each gradient may take, where nobody says; ``requires`` is what all inputs and params keep to; ``checks`` are
    those that other packages add; ``seeds`` are several that the case is audited with one after the other, none where
    it is with ``seed`` alone; ``repeat`` calls of backward are compared bit by bit; ``relations``
    are tried that need no differences.
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
    part: Part | None = None
    budget: int | None = None
    requires: tuple[str, ...] = ()
    checks: tuple[Extension, ...] = field(default_factory=_added_checks)
    seeds: tuple[int, ...] = ()
    repeat: int = 0
    relations: bool = False

    @property
    def audited(self) -> tuple[str, ...]:
        """The inputs whose gradients are audited: the differentiable ones, of a part its own."""
        names = (made.name for made in self.inputs if made.differentiable)
        return tuple(name for name in names if self.part is None or name in self.part)

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
