"""Tensors, the nodes that say what made them, and the recording of an op's calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradaudit.ops import arithmetic, matrix, reduction
from gradaudit.tape.recording import pull_back
from gradaudit.tape.reverse import reverse

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One call of an op: ``MatmulBackward``, the inputs by position, the params, and its backward with these bound."""

    name: str
    inputs: tuple[Tensor, ...]
    params: Mapping[str, Any]
    backward: Callable[[Array], tuple[Array | None, ...]]


class Tensor:
    """An array of numbers, its gradient, and what it was made of.

    Attributes:
        data: the array: the one given, not a copy; of other numbers than an array's, in float64 or int64.
        grad: the gradient, of data's shape and dtype; None until ``backward`` reached the tensor.
        requires_grad: whether what is computed from it is recorded.
        node: the step that made it; None for a leaf.

    """

    __slots__ = ("__weakref__", "data", "grad", "node", "requires_grad")
    __array_ufunc__ = None  # lest NumPy takes `array + tensor` for an array of tensors

    def __init__(self, data: ArrayLike, requires_grad: bool = False, node: Node | None = None) -> None:
        self.data: Array = np.asarray(data)
        if requires_grad and self.data.dtype.kind in "biuOSU":
            raise TypeError(f"a tensor of {self.data.dtype} has no gradient; expected floating numbers")
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self.node = node

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.data.shape

    def backward(self, upstream: ArrayLike | None = None) -> None:
        """Add to the gradients of this tensor and all tracked ones that it was made of.

        Args:
            upstream: the gradient with respect to this tensor, of its shape; 1 by default, for a scalar loss.

        Raises:
            ValueError: where this is no scalar and there is no upstream, where nothing was recorded, where the graph
                has a cycle, or where an op's backward returns a gradient of another shape than its input's.

        """
        reverse(self, upstream)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def reshape(self, *shape: int) -> Tensor:
        """Return the elements in their order in another shape, of which one length may be -1."""
        return _reshape(self, shape=shape)

    def transpose(self, *axes: int) -> Tensor:
        """Return the tensor with its axes permuted; without arguments, reversed."""
        return _transpose(self, axes=axes or None)

    def sum(self, axes: int | tuple[int, ...] | None = None) -> Tensor:
        """Return the sum over axes, over all by default."""
        return _sum(self, axes=axes)

    def mean(self, axes: int | tuple[int, ...] | None = None) -> Tensor:
        """Return the mean over axes, over all by default."""
        return _mean(self, axes=axes)

    def __add__(self, other: Tensor | ArrayLike) -> Tensor:
        return _add(self, other)

    def __radd__(self, other: ArrayLike) -> Tensor:
        return _add(other, self)

    def __sub__(self, other: Tensor | ArrayLike) -> Tensor:
        return _subtract(self, other)

    def __rsub__(self, other: ArrayLike) -> Tensor:
        return _subtract(other, self)

    def __neg__(self) -> Tensor:
        return _subtract(0, self)

    def __mul__(self, other: Tensor | ArrayLike) -> Tensor:
        return _multiply(self, other)

    def __rmul__(self, other: ArrayLike) -> Tensor:
        return _multiply(other, self)

    def __truediv__(self, other: Tensor | ArrayLike) -> Tensor:
        return _divide(self, other)

    def __rtruediv__(self, other: ArrayLike) -> Tensor:
        return _divide(other, self)

    def __matmul__(self, other: Tensor | ArrayLike) -> Tensor:
        return _matmul(self, other)

    def __repr__(self) -> str:
        return f"Tensor({self.data!r}{f', made by {self.node.name}' if self.node else ''})"


def recorded(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return an op of arrays as a function of tensors, whose calls are recorded where an input is tracked.

    What it is given by position is an input: a tensor, or a constant, of which a Python number takes the dtype of the
    tensors beside it.

    Args:
        forward: from arrays by position and params by keyword to an array.
        backward: called by the names of its arguments: ``upstream``, ``output``, or an input or param of forward. It
            returns the gradients with respect to the first inputs, as many as have one.

    Raises:
        TypeError: where backward takes anything else, or a call of forward returns several outputs.

    """
    pull = pull_back(forward, backward)
    name = "".join(word.capitalize() for word in forward.__name__.split("_")) + "Backward"

    @wraps(forward)
    def function(*inputs: Tensor | ArrayLike, **params: Any) -> Tensor:
        tensors = _tensors(inputs)
        arrays = tuple(tensor.data for tensor in tensors)
        output = forward(*arrays, **params)
        if isinstance(output, tuple):
            raise TypeError(f"{forward.__name__} returns {len(output)} outputs; expected one, for a tensor")
        if not any(tensor.requires_grad for tensor in tensors):
            return Tensor(output)
        return Tensor(output, True, Node(name, tensors, params, partial(pull, arrays, output, params)))

    return function


def _tensors(inputs: tuple[Tensor | ArrayLike, ...]) -> tuple[Tensor, ...]:
    beside = next((x.data.dtype for x in inputs if isinstance(x, Tensor) and x.data.dtype.kind == "f"), None)
    arrays = (np.asarray(x, beside) if isinstance(x, (int, float)) else x for x in inputs)
    return tuple(x if isinstance(x, Tensor) else Tensor(x) for x in arrays)


_add = recorded(arithmetic.add, arithmetic.add_backward)
_subtract = recorded(arithmetic.subtract, arithmetic.subtract_backward)
_multiply = recorded(arithmetic.multiply, arithmetic.multiply_backward)
_divide = recorded(arithmetic.divide, arithmetic.divide_backward)
_matmul = recorded(matrix.matmul, matrix.matmul_backward)
_reshape = recorded(matrix.reshape, matrix.reshape_backward)
_transpose = recorded(matrix.transpose, matrix.transpose_backward)
_sum = recorded(reduction.sum_reduce, reduction.sum_reduce_backward)
_mean = recorded(reduction.mean, reduction.mean_backward)
