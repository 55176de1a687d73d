"""What an audit of a model asks of the framework that the model is written in: its tape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]
Tensor = Any
"""A tensor of the framework's own."""
Model = Any
"""A model of the framework's own: a module, an object with layers, or a bare list of parameters with a function."""


@dataclass(frozen=True)
class Node:
    """A step that the tape recorded.

    Attributes:
        name: what the framework calls it, for example ``MatmulBackward``.
        parents: what it was computed from, in order: a tensor that nothing made (a leaf), or the node that made it;
            None where the framework keeps neither.
        identity: tells this node from others, whatever wraps it.

    """

    name: str
    parents: tuple[Tensor | Node | None, ...]
    identity: int


class Tape(Protocol):
    """How tensors are made, read and differentiated in a framework; arrays in and out are NumPy's."""

    def tensor(self, array: Array, *, tracked: bool) -> Tensor:
        """Return a new leaf with these values; ``tracked`` where a gradient of it will be asked for."""
        ...

    def is_tensor(self, value: Any) -> bool:
        """Whether this is one of the framework's tensors."""
        ...

    def array(self, tensor: Tensor) -> Array:
        """Return a tensor's values, not to be written to."""
        ...

    def assign(self, tensor: Tensor, array: Array) -> None:
        """Change a tensor's values in place, outside the tape."""
        ...

    def tracked(self, tensor: Tensor) -> bool:
        """Whether the framework would record what is computed from this tensor."""
        ...

    def node(self, tensor: Tensor) -> Node | None:
        """Return the step that made a tensor; None for a leaf, and for one that is detached from what made it."""
        ...

    def gradient(self, tensor: Tensor) -> Array | None:
        """Return the gradient that a tensor holds, None where it holds none."""
        ...

    def clear(self, tensors: Iterable[Tensor]) -> None:
        """Forget the gradients that tensors hold, in the way that the framework's users do."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Run reverse mode from a scalar, which adds to the gradients that its leaves hold."""
        ...

    def parameters(self, model: Model) -> Mapping[str, Tensor]:
        """Return what the model says are its parameters, by the path of attributes that leads to each."""
        ...

    def tensors(self, model: Model) -> Mapping[str, Tensor]:
        """Return every tensor that is to be found in the model, registered or not, by the path that leads to it."""
        ...

    def training(self, model: Model, *, on: bool) -> None:
        """Put a model into training mode or out of it, where it knows the difference."""
        ...
