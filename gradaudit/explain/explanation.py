"""What is told of one op: frozen data, from which every format is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from gradaudit.explain.curve import StepCurve
from gradaudit.explain.graph import Graph
from gradaudit.explain.heat_map import HeatMap
from gradaudit.explain.path_curve import PathCurve
from gradaudit.guides import Page
from gradaudit.repair.repairs import Repairs
from gradaudit.results import Finding, Result
from gradaudit.spec.case import Case

Origin = Literal["spec", "default", "native"]
"""Where a tolerance is from: the spec or the project, the dtype's default, as it is or with an ``atol`` that fits the
gradient, or what forward's own dtype can decide."""


@dataclass(frozen=True)
class Signature:
    """How the op is called, in the words of its target: ``forward`` and ``backward``, each with its arguments."""

    calls: Mapping[str, str]


@dataclass(frozen=True)
class ToleranceInForce:
    """A tolerance, where it is from, and the results that it was used for, as ``case[dtype]`` and input."""

    rtol: float
    atol: float
    origin: Origin
    reason: str
    used_for: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sighting:
    """A finding about an input, and where it was made, as ``case[dtype]`` and input."""

    finding: Finding
    places: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Study:
    """A close look at one input, in the case where it ended worst.

    Attributes:
        case: the case.
        result: what its audit found of the input.
        curve: how the error of a difference depends on its step; None where none could be drawn.
        no_curve: why not, else empty.
        heat_map: where the wrong indices lie; None where there are none or the gradient has one axis only.
        command: audits this case alone.
        snippet: Python that shows the analytical gradient beside a central difference; empty without a curve.
        path: forward beside the gradient's integral along a path; None where the audit follows no paths.

    """

    case: Case
    result: Result
    curve: StepCurve | None
    no_curve: str
    heat_map: HeatMap | None
    command: str
    snippet: str
    path: PathCurve | None = None


@dataclass(frozen=True)
class ModelView:
    """The graph that a tape recorded of a model in a case; None where ``trouble`` says why there is none."""

    case: str
    dtype: str
    graph: Graph | None
    trouble: str = ""


@dataclass(frozen=True)
class Training:
    """A training of a case: the result of its loss, and those of the parameters."""

    loss: Result
    parameters: tuple[Result, ...]


@dataclass(frozen=True)
class Explanation:
    """Everything that is told of one op.

    Attributes:
        op: its name.
        module: the group that it is reported under.
        location: ``file:line`` of its spec; empty where none names it.
        notes: the spec's prose.
        signature: how it is called.
        cases: what was audited.
        tolerances: those in force.
        results: one for each case and differentiable input.
        studies: one for each differentiable input.
        sightings: the findings of each input, the gravest first.
        remedies: what to do about each code found, and pages that help further.
        views: the graph of a model, in each case that audits one.
        repairs: what a search for repairs found; None where there was none.

    """

    op: str
    module: str
    location: str
    notes: str
    signature: Signature
    cases: tuple[Case, ...]
    tolerances: tuple[ToleranceInForce, ...]
    results: tuple[Result, ...]
    studies: tuple[Study, ...]
    sightings: tuple[Sighting, ...]
    remedies: tuple[Page, ...]
    views: tuple[ModelView, ...] = ()
    repairs: Repairs | None = None

    @property
    def trainings(self) -> Iterator[Training]:
        """Each training, with the parameters whose gradients were watched in it."""
        for loss in self.results:
            if loss.training:
                case = loss.case, loss.dtype
                own = [one for one in self.results if (one.case, one.dtype) == case and one.gradient_norms]
                yield Training(loss, tuple(own))

    @property
    def as_expected(self) -> bool:
        """Whether every case ended as the spec says."""
        return all(result.expected for result in self.results)


def place_of(result: Result) -> tuple[str, str]:
    """Return where a result is from: ``case[dtype]`` and the input's name."""
    return f"{result.case}[{result.dtype}]", result.input
