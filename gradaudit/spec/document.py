"""The spec format of ops: what may stand in a YAML document."""

import sys
from typing import Annotated, Any, Literal

from gradaudit.extensions import CHECKS, extensions
from gradaudit.results import FINDING_CODES
from gradaudit.spec.case import Distribution, Layout, Method
from gradaudit.spec.dtypes import FloatingName, InputDtypeName
from gradaudit.spec.errors import nearest
from gradaudit.spec.hints import meant_shape
from gradaudit.spec.op_targets import Mode
from gradaudit.spec.reading import validated
from gradaudit.spec.strict import (
    MAX_AXES,
    After,
    Before,
    CaseName,
    Field,
    Finite,
    Name,
    NonNegative,
    Positive,
    Size,
    Strict,
)
from gradaudit.spec.target_document import TargetModel

MAX_SEED = 2**63 - 1
"""The largest seed: the largest number that what is recorded can hold."""

Nested = float | list[Any]
Expected = Literal["pass", "fail"]


def _known_findings() -> list[str]:
    return [*sorted(FINDING_CODES), *(added.name for added in extensions(CHECKS))]


def _known_finding(code: str) -> str:
    if code not in (known := _known_findings()):
        raise ValueError(f"found the unknown finding '{code}'{nearest(code, known)}")
    return code


FindingCode = Annotated[
    str,
    After(_known_finding),
    Field(words=_known_findings),
]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _is_nested_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_nested_numbers(item) for item in value)
    return isinstance(value, (int, float))


def _values(value: Any) -> Any:
    if value is None or _is_nested_numbers(value):
        return value
    if isinstance(value, dict) and isinstance(value.get("file"), str) and value.keys() <= {"file", "name"}:
        return value
    raise ValueError("expected a number, nested lists of numbers, or {file: FILE, name: NAME}")


class AvoidModel(Strict):
    """Points that an input keeps away from, such as the kinks of the op."""

    points: Annotated[list[Finite], Field(min_length=1, description="values to stay away from")] = []
    margin: Annotated[Positive | None, Field(description="least distance to each of the points")] = None


class FileModel(Strict):
    """An array in a file: activations of a real model."""

    file: Annotated[Name, Field(description=".safetensors, .npz or .npy, as seen from the spec's folder")]
    name: Annotated[str, Field(description="which of its arrays; not needed where it holds one")] = ""


class UpstreamModel(Strict):
    """A random upstream gradient that is scaled, or lies in memory in some way."""

    scale: Annotated[Positive, Field(description="what it is multiplied by, as under loss scaling")] = 1.0
    layout: Annotated[
        Literal[Layout, "expanded", "narrow"],
        Field(
            description="expanded: the same for all places along the first axis, as after a sum; narrow: rows that are "
            "not adjacent, as after a concatenation"
        ),
    ] = "contiguous"


def _is_ordered(limits: list[float]) -> None:
    lo, hi = limits
    if lo > hi:
        raise ValueError(f"found lo {lo:g} above hi {hi:g}; expected [lo, hi]")


def _are_ordered(columns: list[list[float]]) -> None:
    for lo, hi in columns:
        if lo > hi:
            raise ValueError(f"found lo {lo:g} above hi {hi:g}; expected [lo, hi] for each element")


Pair = Annotated[list[Finite], Field(min_length=2, max_length=2)]


class InputModel(Strict):
    """How one input is made: drawn (shape, range, distribution) or given (values)."""

    shape: Annotated[
        list[Size] | None, Field(max_length=MAX_AXES, description="sizes of the axes; [] for a scalar")
    ] = None
    range: Annotated[
        Pair | None,
        After(_is_ordered),
        Field(description="[lo, hi], both included; default [-1, 1] for floating inputs"),
    ] = None
    ranges: Annotated[
        list[Pair] | None,
        After(_are_ordered),
        Field(min_length=1, description="[[lo, hi], ...], one for each element of the last axis, in place of range"),
    ] = None
    below: Annotated[
        int | None, Field(ge=1, description="of integers: from 0 up to, and without, this: the rows of a table")
    ] = None
    p: Annotated[float | None, Field(gt=0, lt=1, description="of bernoulli: the probability of hi")] = None
    dtype: Annotated[
        InputDtypeName | None,
        Field(description="default: the case's dtype, int64 for integers and permutations"),
    ] = None
    differentiable: Annotated[bool | None, Field(description="default: true for floating and complex dtypes")] = None
    distribution: Annotated[
        Distribution,
        Field(
            description="uniform in range; normal: centred in range, standard deviation a quarter of its width, "
            "truncated to it; integers: lo to hi; bernoulli: lo or hi, default 0 or 1; one_hot and permutation: along "
            "the last axis; spd, symmetric (both Hermitian where complex), rotation (orthogonal of determinant 1), "
            "triangular (lower): square matrices over the last two axes; orthogonal: with orthonormal columns, or rows "
            "where these are fewer; unit (length 1), simplex (positive, sum 1), sorted: along the last"
        ),
    ] = "uniform"
    avoid: Annotated[AvoidModel | None, Field(description="points to stay away from: kinks")] = None
    gap: Annotated[Positive | None, Field(description="least distance between any two elements: no ties")] = None
    values: Annotated[
        Any,
        Before(_values, Nested | FileModel | None),
        Field(description="explicit values, nested as the shape is; or {file: acts.npz, name: x}: real activations"),
    ] = None
    layout: Annotated[Layout, Field(description="how the array lies in memory")] = "contiguous"

    @classmethod
    def arranged(cls, written: dict[str, Any]) -> dict[str, Any]:
        """Read ``distribution: {bernoulli: {p: 0.3}}``."""
        held = written.get("distribution")
        if isinstance(held, dict) and len(held) == 1 and isinstance(inner := next(iter(held.values())), dict):
            return {**written, "distribution": next(iter(held)), **inner}
        return written

    @classmethod
    def meant(cls, found: Any) -> str:
        """Return ``"; did you mean {shape: [3, 4]}?"`` for a list of whole numbers."""
        return meant_shape(found)


class ToleranceModel(Strict):
    """Allowed difference at an index: atol + rtol * abs(numerical)."""

    rtol: Annotated[NonNegative | None, Field(description="relative; default: the dtype's")] = None
    atol: Annotated[NonNegative | None, Field(description="absolute; default: the dtype's")] = None
    reason: Annotated[str, Field(description="why it is looser than the dtype's default")] = ""


def _upstream(value: Any) -> Any:
    if value in ("random", "ones", "none") if isinstance(value, str) else _is_nested_numbers(value):
        return value
    if isinstance(value, dict) and value:
        return validated(UpstreamModel, value).given()
    raise ValueError("expected 'random', 'ones', 'none', or nested lists of numbers")


EXPECTED = ("pass", "fail")
"""How a case, or the gradient of one of its inputs, may be expected to end."""


def _expect(value: Any) -> Any:
    if isinstance(value, dict) and value and all(isinstance(name, str) and name for name in value):
        found = next((end for end in value.values() if end not in EXPECTED), None)
    else:
        found = None if value in EXPECTED else value
    if found is None:
        return value
    hint = nearest(str(found), EXPECTED)
    raise ValueError(f"found {found!r}, expected 'pass' or 'fail', or these by input: {{x: fail}}{hint}")


def _step(value: Any) -> Any:
    if value == "auto" or (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= sys.float_info.max
    ):
        return value
    raise ValueError("expected 'auto' or a positive number")


Inputs = Annotated[dict[Name, InputModel], Field(description="name -> how it is made, in forward's order")]
Params = Annotated[dict[str, Any], Field(description="keyword arguments of forward, and of backward")]
Dtypes = Annotated[
    list[FloatingName],
    Before(_as_list, FloatingName | list[FloatingName]),
    Field(min_length=1, description="dtype of the floating inputs; a list makes a case of each"),
]
Upstream = Annotated[
    Any,
    Before(_upstream, Literal["random", "ones", "none"] | UpstreamModel | Nested),
    Field(
        description="random (default), ones, none (backward of a scalar that takes none), nested values, or "
        "{scale: 256, layout: expanded}"
    ),
]
Step = Annotated[
    Any,
    Before(_step, Literal["auto"] | Positive),
    Field(description="auto (default) or a fixed finite-difference step"),
]
Modes = Annotated[
    list[Mode],
    Field(
        min_length=1,
        description="torch and jax: by which differentiation the gradient is had; each but reverse makes a case of "
        "its own, named NAME+MODE. second: the gradient of the backward",
    ),
]
Requires = Annotated[
    list[str],
    Before(_as_list, str | list[str]),
    Field(description="what params and inputs keep to, such as k <= x.shape[1]; explore draws nothing else"),
]
Budget = Annotated[
    int | None,
    Field(ge=1, description="calls of forward and backward together that the audit of each gradient may take"),
]
OpName = Annotated[
    str,
    Field(
        pattern=r"^[\w.-]+$", named="a name of letters, digits and . - _", description="unique over all specs loaded"
    ),
]
Module = Annotated[Name | None, Field(description="default: the folder's name")]


class GeneralModel(Strict):
    """What may stand in a document of any kind and in each of its cases."""

    params: Params = {}
    dtype: Dtypes = ["float64"]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    budget: Budget = None
    expect: Annotated[
        Any,
        Before(_expect, Expected | dict[Name, Expected]),
        Field(
            description="fail documents a known wrong gradient: it passes when it is caught. By input, {x: fail}, the "
            "others are expected to pass"
        ),
    ] = "pass"
    findings: Annotated[list[FindingCode], Field(description="finding codes that the audit is expected to make")] = []
    notes: Annotated[str, Field(description="prose, shown by explain")] = ""


class SettingsModel(GeneralModel):
    """What may stand both in an op's document and in each of its cases, where it overrides the document's."""

    target: TargetModel = TargetModel()
    inputs: Inputs = {}
    modes: Modes = ["reverse"]
    requires: Requires = []
    tolerance: ToleranceModel = ToleranceModel()
    upstream: Upstream = "random"
    step: Step = "auto"
    method: Method = "auto"
    repeat: Annotated[int, Field(ge=0, description="calls of backward that are compared bit by bit, to find races")] = 0
    relations: Annotated[
        bool, Field(description="whether rows, parts of the upstream, layouts and threads are tried, as by explore")
    ] = False


class CaseModel(SettingsModel):
    """One case: a name, and what differs from the rest of the document."""

    name: CaseName


class DocumentModel(SettingsModel):
    """An op's spec."""

    kind: Literal["op"] = "op"
    op: OpName
    module: Module = None
    cases: Annotated[list[CaseModel], Field(description="default: one, named default")] = []
