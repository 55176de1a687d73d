"""What may stand at ``target`` in a spec: a model for each way to reach an op."""

from typing import Annotated, Any

from gradaudit.spec.strict import Before, Field, FunctionName, Name, Place, Positive, Size, Strict


def _as_call(value: Any) -> Any:
    return {"call": value} if isinstance(value, str) else value


def _as_layer(value: Any) -> Any:
    return {"make": value} if isinstance(value, str) else value


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
    attributes: Annotated[
        dict[Name, Place], Field(description="param -> where the layer keeps it: training; set before forward")
    ] = {}
    args: Annotated[
        list[Name] | None,
        Field(description="what backward takes, in order: upstream, output or an input's name; default: upstream"),
    ] = None
    returns: Annotated[
        list[Name] | None,
        Field(description="the inputs whose gradients backward returns; default: those without a place in grads"),
    ] = None

    constructor: Annotated[
        list[Name], Field(description="the inputs that the constructor takes, by keyword: parameters made outside")
    ] = []
    output: Annotated[str, Field(description="where forward leaves its output, if it returns nothing")] = ""
    builds: Annotated[
        bool, Field(description="whether forward makes the parameters at its first call: it is called once before")
    ] = False
    steps: Annotated[
        bool, Field(description="whether backward takes a learning rate last, and changes the parameters itself")
    ] = False
    derivative: Annotated[
        bool, Field(description="whether backward takes no upstream and gives f' of an elementwise f")
    ] = False


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
    Before(_as_call, FunctionName | GradientFunctionModel),
]


class TargetModel(Strict):
    """How the op's implementation is reached: forward and backward, or one of the other kinds."""

    forward: FunctionName | None = None
    backward: Annotated[BackwardModel | None, Before(_as_call, FunctionName | BackwardModel)] = None
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
    layer: Annotated[LayerModel | None, Before(_as_layer, FunctionName | LayerModel)] = None
    closure: ClosureModel | None = None
    extension: Annotated[
        dict[Name, Any] | None,
        Field(min_length=1, max_length=1, description="a kind of target that another package adds -> what that reads"),
    ] = None
    library: LibraryModel | None = None
    context: Annotated[
        FunctionName | None,
        Field(description="a class of contexts: forward takes one first, backward gets it as its cache"),
    ] = None
    packs: Annotated[
        dict[Name, list[Name]], Field(description="arguments of forward that are dicts -> the inputs in each")
    ] = {}
    lists: Annotated[list[Name], Field(description="those of packs that are lists of their inputs instead")] = []
    folder: Annotated[
        str | None,
        Field(description="what modules are imported from, seen from the spec's folder; default: that folder"),
    ] = None
    definitions_only: Annotated[
        bool, Field(description="whether only the definitions of modules are imported: a script does not run")
    ] = False
    outputs: OutputsModel | None = None
    torch: FunctionName | None = None
    jax: FunctionName | None = None
    autograd: FunctionName | None = None
    tinygrad: FunctionName | None = None
    process: ProcessModel | None = None
