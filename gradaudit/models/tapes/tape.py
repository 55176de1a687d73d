"""What an audit of a model asks of the framework that the model is written in: its tape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]
Tensor = Any
"""A tensor of the framework's own."""
Model = Any
"""A model of the framework's own: a module, an object with layers, or a function with a bare list of parameters."""
Parents = tuple[Any, ...]
"""What a step was computed from, in order: a tensor that nothing made (a leaf), or the ``Node`` that made it; None
where the framework keeps neither."""


class TapeError(Exception):
    """A tape is not what its description says, or holds what no tape should; the message says what was found."""


class Node:
    """A step that the tape recorded.

    Args:
        name: what the framework calls it, for example ``MatmulBackward``.
        parents: what it was computed from, or a function that tells when it is asked: graphs are deep, and may have
            cycles by mistake.
        identity: tells this node from others, whatever wraps it.
        dtype: the name of the dtype that it computed in, empty where the framework does not tell.

    """

    def __init__(self, name: str, parents: Parents | Callable[[], Parents], identity: int, dtype: str = "") -> None:
        self.name = name
        self.identity = identity
        self.dtype = dtype
        self._parents = parents

    @property
    def parents(self) -> Parents:
        """What it was computed from, in order."""
        return self._parents() if callable(self._parents) else self._parents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other.identity == self.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:
        return f"<Node {self.name}>"


@dataclass(frozen=True)
class Creation:
    """A tensor that came to be while a model ran.

    Attributes:
        tensor: the tensor.
        place: ``file:line`` of the line in the model, or nearest to it, that made it.
        within: the function that this line is in.
        given: the tensors that it was made from, where the framework tells.
        told: whether ``given`` is all that the framework was given, so that nothing else was computed from.
        first: what it held then, where no step of the framework's is allowed to change that later.
        value: what it held then, where that is what was computed with; None where what it holds in the end is.
        node: the step that had made it then, where a later one may put another in its place.
        direct: whether the model's own line made it, not a step of the framework that the line called.

    """

    tensor: Tensor
    place: str
    within: str
    given: tuple[Tensor, ...] = ()
    told: bool = False
    first: Array | None = None
    value: Array | None = None
    node: Node | None = None
    direct: bool = True


@dataclass(frozen=True)
class Replay:
    """A step of a model that can be taken again, alone, as often as one likes.

    Attributes:
        name: what the framework calls it.
        place: ``file:line`` of the line in the model that called it.
        within: the function that this line is in.
        source: ``file:line`` of its backward, where a user wrote that.
        inputs: the values of the tensors that it is differentiable in.
        keys: what a walk knows these tensors by.
        node: the step's own node.
        forward: returns its outputs, those that are differentiable, for other inputs.
        backward: returns the gradients of its inputs for upstreams of these outputs.
        inside: returns the upstreams that the step was given in reverse mode, and the gradients that it returned; None
            where it is not known.

    """

    name: str
    place: str
    within: str
    source: str
    inputs: tuple[Array, ...]
    keys: tuple[int, ...]
    node: Node
    forward: Callable[[Sequence[Array]], list[Array]]
    backward: Callable[[Sequence[Array]], list[Array | None]]
    inside: Callable[[], tuple[list[Array], list[Array | None]] | None]


class Tape(Protocol):
    """How tensors are made, read and differentiated in a framework; arrays in and out are NumPy's.

    All of it may raise ``TapeError``. What many a tape cannot do, or need not, has a default here.

    Attributes:
        adds_up: whether the framework itself adds up the gradients of what several steps share, not each step.

    """

    adds_up: bool = False

    def tensor(self, array: Array, *, tracked: bool) -> Tensor:
        """Return a new leaf with these values; ``tracked`` where a gradient of it will be asked for."""
        ...

    def target(self, array: Array) -> Any:
        """Return a target as the framework's losses take it: a tensor, or the array itself."""
        return self.tensor(array, tracked=False)

    def is_tensor(self, value: Any) -> bool:
        """Whether this is one of the framework's tensors."""
        ...

    def array(self, tensor: Tensor) -> Array:
        """Return a tensor's values, not to be written to."""
        ...

    def assign(self, tensor: Tensor, array: Array) -> None:
        """Change a tensor's values in place, outside the tape."""
        ...

    def lend(self, tensor: Tensor, array: Array) -> None:
        """Do the same with as little copying as the framework allows: the tensor may lie in the array itself."""
        self.assign(tensor, array)

    def tracked(self, tensor: Tensor) -> bool:
        """Whether the framework would record what is computed from this tensor."""
        ...

    def node(self, tensor: Tensor) -> Node | None:
        """Return the step that made a tensor; None for a leaf, and for one that is detached from what made it."""
        ...

    def gradient(self, tensor: Tensor) -> Array | None:
        """Return the gradient that a tensor holds, None where it holds none."""
        ...

    def taken(self, tensor: Tensor) -> Array | None:
        """Return the same for whoever calls alone: a copy, unless the framework lets go of it."""
        found = self.gradient(tensor)
        return None if found is None else found.copy()

    def clear(self, tensors: Iterable[Tensor]) -> None:
        """Forget the gradients that tensors hold, in the way that the framework's users do."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Run reverse mode from a scalar, which adds to the gradients that its leaves hold."""
        ...

    def call(self, model: Model, inputs: Iterable[Tensor]) -> Any:
        """Return what a model makes of its inputs."""
        ...

    def call_anew(self, model: Model, inputs: Iterable[Tensor]) -> Any:
        """Return the same as the framework's users have it: dropout draws anew, running means move on."""
        return self.call(model, inputs)

    def parameters(self, model: Model) -> Mapping[str, Tensor]:
        """Return what the model says are its parameters, by the path of attributes that leads to each."""
        ...

    def tensors(self, model: Model) -> Mapping[str, Tensor]:
        """Return every tensor that is to be found in the model, registered or not, by the path that leads to it."""
        ...

    def training(self, model: Model, *, on: bool) -> None:
        """Put a model into training mode or out of it, where it knows the difference."""
        return

    def exact(self) -> AbstractContextManager[None]:
        """Let tensors that come to be within the context keep the precision of the arrays that they are made from."""
        return nullcontext()

    def uncast(self) -> AbstractContextManager[None]:
        """Let nothing be cast to a narrower dtype within the context, by the framework itself or by a model."""
        return nullcontext()

    def recording(self) -> AbstractContextManager[list[Creation]]:
        """Note every tensor that comes to be within the context, in order."""
        return nullcontext([])

    def replaced(self, values: Mapping[int, Array]) -> AbstractContextManager[None]:
        """Give other values to the tensors that come to be at these positions of a recording, as they come to be."""
        return nullcontext()

    def replaying(self, look: Callable[[Replay], None]) -> AbstractContextManager[bool]:
        """Have each step looked at as it is taken within the context, false where a tape cannot take steps again."""
        return nullcontext(False)

    def hooked(self, tensor: Tensor) -> bool:
        """Whether a function of the user's own is called with a tensor's gradient, and may change it on its way."""
        return False

    def retain(self, tensors: Iterable[Tensor]) -> None:
        """Have tensors that are no leaves keep their gradients, where the framework lets them."""
        return
