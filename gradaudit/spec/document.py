"""The spec format as pydantic models: what may stand in a YAML document, and the JSON Schema that editors read."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator

from gradaudit.results import FINDING_CODES
from gradaudit.spec.case import Distribution, Layout, Method, Mode
from gradaudit.spec.dtypes import FloatingName, InputDtypeName
from gradaudit.spec.errors import nearest

Finite = Annotated[float, Field(allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Size = Annotated[int, Field(ge=0)]
MAX_AXES = 64
"""Most axes that a NumPy array can have."""
FunctionName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$"), Field(examples=["package.module:function"])
]
Name = Annotated[str, StringConstraints(min_length=1)]
CaseName = Annotated[str, StringConstraints(pattern=r"^[\w.+=-]+$")]
PLACE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*|\[(\d+|'[^']+'|\"[^\"]+\")\])*$"
Place = Annotated[str, StringConstraints(pattern=PLACE), Field(examples=["grads['W']"])]
Nested = float | list[Any]
Expected = Literal["pass", "fail"]


def _known_finding(code: str) -> str:
    if code not in FINDING_CODES:
        raise ValueError(f"found the unknown finding '{code}'{nearest(code, sorted(FINDING_CODES))}")
    return code


FindingCode = Annotated[str, AfterValidator(_known_finding), Field(json_schema_extra={"enum": sorted(FINDING_CODES)})]


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_call(value: Any) -> Any:
    return {"call": value} if isinstance(value, str) else value


def _as_layer(value: Any) -> Any:
    return {"make": value} if isinstance(value, str) else value


def _is_nested_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return all(_is_nested_numbers(item) for item in value)
    return isinstance(value, (int, float))


def _values(value: Any) -> Any:
    if value is None or _is_nested_numbers(value):
        return value
    raise ValueError("expected a number or nested lists of numbers")


class Strict(BaseModel):
    """A part of a spec: nothing may stand there that is not named, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AvoidModel(Strict):
    """Points that an input keeps away from, such as the kinks of the op."""

    points: Annotated[list[Finite], Field(min_length=1, description="values to stay away from")] = []
    margin: Annotated[Positive | None, Field(description="least distance to each of the points")] = None


class InputModel(Strict):
    """How one input is made: drawn (shape, range, distribution) or given (values)."""

    shape: Annotated[
        list[Size] | None, Field(max_length=MAX_AXES, description="sizes of the axes; [] for a scalar")
    ] = None
    range: Annotated[
        list[Finite] | None,
        Field(min_length=2, max_length=2, description="[lo, hi], both included; default [-1, 1] for floating inputs"),
    ] = None
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
            "the last axis; spd: symmetric positive definite over the last two axes"
        ),
    ] = "uniform"
    avoid: Annotated[AvoidModel | None, Field(description="points to stay away from: kinks")] = None
    gap: Annotated[Positive | None, Field(description="least distance between any two elements: no ties")] = None
    values: Annotated[
        Any,
        BeforeValidator(_values, json_schema_input_type=Nested | None),
        Field(description="explicit values, nested as the shape is"),
    ] = None
    layout: Annotated[Layout, Field(description="how the array lies in memory")] = "contiguous"

    @field_validator("range")
    @classmethod
    def _range_is_ordered(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError(f"found lo {value[0]:g} above hi {value[1]:g}; expected [lo, hi]")
        return value


class ToleranceModel(Strict):
    """Allowed difference at an index: atol + rtol * abs(numerical)."""

    rtol: Annotated[NonNegative | None, Field(description="relative; default: the dtype's")] = None
    atol: Annotated[NonNegative | None, Field(description="absolute; default: the dtype's")] = None
    reason: Annotated[str, Field(description="why it is looser than the dtype's default")] = ""


class BackwardModel(Strict):
    """A backward function, what it takes and whose gradients it returns."""

    call: FunctionName | None = None
    args: Annotated[
        list[Name] | None,
        Field(
            description="what backward takes, in order: upstream, output, output[k], cache (what forward returned "
            "beside the outputs that count), an input's name, or grad[x], a buffer for the gradient of x; "
            "default: upstream, then all inputs"
        ),
    ] = None
    returns: Annotated[
        list[Name] | None,
        Field(description="the inputs whose gradients come back, in order; default: the differentiable ones"),
    ] = None


class GradientFunctionModel(BackwardModel):
    """A function that gives a Jacobian, a derivative, or a loss with its gradient: it takes no upstream."""


class LayerModel(Strict):
    """A class that keeps state from forward to backward."""

    make: Annotated[FunctionName, Field(description="the class, or a function that makes a layer; takes params")]
    forward: Annotated[Name, Field(description="the method that takes the inputs")] = "forward"
    backward: Annotated[Name, Field(description="the method that takes what args names")] = "backward"
    params: Annotated[
        dict[Name, Place], Field(description="input -> where the layer keeps it: weight, params['W'], w.data")
    ] = {}
    grads: Annotated[
        dict[Name, Place], Field(description="input -> where backward leaves its gradient: dW, grads['W'], w.grad")
    ] = {}
    args: Annotated[
        list[Name] | None,
        Field(description="what backward takes, in order: upstream, output or an input's name; default: upstream"),
    ] = None
    returns: Annotated[
        list[Name] | None,
        Field(description="the inputs whose gradients backward returns; default: those without a place in grads"),
    ] = None


class LibraryModel(Strict):
    """C functions in a shared library, or what has their calling convention."""

    path: Annotated[Name, Field(description="the library, as seen from the spec's folder")]
    header: Annotated[Name, Field(description="a header or source that declares its functions")]
    float64: Annotated[str, Field(description="the same source built with double for float: it is differenced")] = ""
    forward: Annotated[Name, Field(description="the function that computes the outputs")]
    backward: Annotated[Name, Field(description="the function that computes the gradients")]
    outputs: Annotated[
        dict[Name, list[Size | Name] | Name],
        Field(description="forward's output buffers -> shape: sizes and names of params, or an input of that shape"),
    ] = {}
    grads: Annotated[
        dict[Name, Name],
        Field(description="backward's pointers -> the input or output they are the gradient of; default: by name"),
    ] = {}


class ClosureModel(Strict):
    """A function on a tape of one's own, whose output carries a closure."""

    tensor: Annotated[FunctionName, Field(description="the class of tensors, called with an array")]
    call: Annotated[FunctionName, Field(description="the function, or method of that class; takes tensors")]
    data: Annotated[Place, Field(description="where a tensor keeps its values")] = "data"
    grad: Annotated[Name, Field(description="the attribute that holds its gradient")] = "grad"
    backward: Annotated[Name, Field(description="the attribute of the output that holds its closure")] = "_backward"
    elementwise: Annotated[bool, Field(description="whether tensors are numbers: called for each element")] = False


class OutputsModel(Strict):
    """Which of several outputs count."""

    differentiable: Annotated[list[Size], Field(min_length=1, description="positions among forward's outputs")]


class ProcessModel(Strict):
    """A long-lived child process in any language."""

    command: Annotated[
        list[Name], Field(min_length=1, description="the program and its arguments, run in the spec's folder")
    ]
    op: Annotated[Name, Field(description="the name that the process knows the op by")]
    timeout: Annotated[Positive, Field(description="seconds that the process may take for an answer")] = 30.0


GradientFunction = Annotated[
    GradientFunctionModel | None,
    BeforeValidator(_as_call, json_schema_input_type=FunctionName | GradientFunctionModel),
]


class TargetModel(Strict):
    """How the op's implementation is reached: forward and backward, or one of the other kinds."""

    forward: FunctionName | None = None
    backward: Annotated[
        BackwardModel | None, BeforeValidator(_as_call, json_schema_input_type=FunctionName | BackwardModel)
    ] = None
    jacobian: GradientFunction = None
    derivative: GradientFunction = None
    value_and_grad: GradientFunction = None
    reference: Annotated[
        FunctionName | None,
        Field(description="forward once more, for float64: the formula is audited on it, and forward compared with it"),
    ] = None
    surrogate: Annotated[
        FunctionName | None,
        Field(description="the function whose derivative backward is meant to be, where forward is flat or rounds"),
    ] = None
    accumulates: Annotated[
        bool, Field(description="whether backward adds to the gradients that lie in its buffers already")
    ] = False
    layer: Annotated[
        LayerModel | None, BeforeValidator(_as_layer, json_schema_input_type=FunctionName | LayerModel)
    ] = None
    closure: ClosureModel | None = None
    library: LibraryModel | None = None
    outputs: OutputsModel | None = None
    torch: FunctionName | None = None
    jax: FunctionName | None = None
    autograd: FunctionName | None = None
    tinygrad: FunctionName | None = None
    process: ProcessModel | None = None


def _upstream(value: Any) -> Any:
    if value in ("random", "ones", "none") if isinstance(value, str) else _is_nested_numbers(value):
        return value
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
    BeforeValidator(_as_list, json_schema_input_type=FloatingName | list[FloatingName]),
    Field(min_length=1, description="dtype of the floating inputs; a list makes a case of each"),
]
Upstream = Annotated[
    Any,
    BeforeValidator(_upstream, json_schema_input_type=Literal["random", "ones", "none"] | Nested),
    Field(description="random (default), ones, none (backward of a scalar that takes none), or nested values"),
]
Step = Annotated[
    Any,
    BeforeValidator(_step, json_schema_input_type=Literal["auto"] | Positive),
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
OpName = Annotated[str, StringConstraints(pattern=r"^[\w.-]+$"), Field(description="unique over all specs loaded")]
Module = Annotated[Name | None, Field(description="default: the folder's name")]


class GeneralModel(Strict):
    """What may stand in a document of any kind and in each of its cases."""

    params: Params = {}
    dtype: Dtypes = ["float64"]
    seed: Annotated[int, Field(ge=0)] = 0
    expect: Annotated[
        Any,
        BeforeValidator(_expect, json_schema_input_type=Expected | dict[Name, Expected]),
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
    tolerance: ToleranceModel = ToleranceModel()
    upstream: Upstream = "random"
    step: Step = "auto"
    method: Method = "auto"


class CaseModel(SettingsModel):
    """One case: a name, and what differs from the rest of the document."""

    name: CaseName


class DocumentModel(SettingsModel):
    """An op's spec."""

    kind: Literal["op"] = "op"
    op: OpName
    module: Module = None
    cases: Annotated[list[CaseModel], Field(description="default: one, named default")] = []
