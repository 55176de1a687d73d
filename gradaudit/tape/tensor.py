"""Tensors, the nodes that say what made them, and the recording of calls of audited ops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from inspect import getfullargspec, unwrap
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gradaudit.ops import arithmetic, matrix, reduction
from gradaudit.tape.reverse import reverse

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One call of an op: its name as ``MatmulBackward``, inputs by position, params, and backward with these bound."""

    name: str
    inputs: tuple[Tensor, ...]
    params: Mapping[str, Any]
    backward: Callable[[Array], tuple[Array | None, ...]]


def recorded(forward: Callable[..., Any], backward: Callable[..., Any]) -> Callable[..., Tensor]:
    """Return an op of arrays as a function of tensors (or constants), whose calls are recorded where one is tracked.

    Args:
        forward: from arrays by position and params by keyword to an array.
        backward: called by the names of its arguments: ``upstream``, ``output``, or an input or param of forward. It
            returns the gradients with respect to the first inputs, as many as have one.

    Raises:
        TypeError: where backward takes anything else, or a call of forward returns several outputs.

    """
    given, wanted = getfullargspec(unwrap(forward)), getfullargspec(unwrap(backward))
    for unknown in {*wanted.args, *wanted.kwonlyargs} - {"upstream", "output", *given.args, *given.kwonlyargs}:
        raise TypeError(f"{backward.__name__} takes {unknown!r}, which is neither upstream nor output nor of forward")
    name = "".join(word.capitalize() for word in forward.__name__.split("_")) + "Backward"

    @wraps(forward)
    def function(*inputs: Tensor | ArrayLike, **params: Any) -> Tensor:
        if misplaced := [name for name, value in params.items() if isinstance(value, Tensor)]:
            raise TypeError(f"{forward.__name__} got a tensor as {misplaced[0]}=...; expected tensors by position only")
        tensors = _tensors(inputs)
        arrays = [tensor.data for tensor in tensors]
        output = forward(*arrays, **params)
        if isinstance(output, tuple):
            raise TypeError(f"{forward.__name__} returns {len(output)} outputs; expected one, for a tensor")

        def pull_back(upstream: Array) -> tuple[Array | None, ...]:
            known = {"upstream": upstream, "output": output, **dict(zip(given.args, arrays, strict=False))}
            accepted = {name: params[name] for name in (*wanted.args, *wanted.kwonlyargs) if name in params}
            gradients = backward(*(known[name] for name in wanted.args if name in known), **accepted)
            return gradients if isinstance(gradients, tuple) else (gradients,)

        tracked = any(tensor.requires_grad for tensor in tensors)
        return Tensor(output, tracked, Node(name, tensors, params, pull_back) if tracked else None)

    return function


def _tensors(inputs: tuple[Tensor | ArrayLike, ...]) -> tuple[Tensor, ...]:
    """Return inputs as tensors; a Python number takes the dtype of the first floating tensor beside it."""
    beside = next((x.data.dtype for x in inputs if isinstance(x, Tensor) and x.data.dtype.kind in "fcV"), None)
    arrays = (np.asarray(x, beside) if isinstance(x, (int, float)) else x for x in inputs)
    return tuple(x if isinstance(x, Tensor) else Tensor(x) for x in arrays)


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
        if self.data.dtype.kind in "OSU":
            raise TypeError(f"expected an array of numbers, found {type(data).__name__}")
        if requires_grad and self.data.dtype.kind in "biu":
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
            ValueError: where this is no scalar and has no upstream, nothing was recorded, the graph has a cycle, or an
                op's backward returns a gradient of another shape than its input's.

        """
        reverse(self, upstream)

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def reshape(self, *shape: int) -> Tensor:
        """Return the elements in their order in another shape, of which one length may be -1."""
        return _reshape(self, shape=shape)

    transpose = recorded(matrix.transpose, matrix.transpose_backward)
    sum = recorded(reduction.sum_reduce, reduction.sum_reduce_backward)
    mean = recorded(reduction.mean, reduction.mean_backward)

    __add__ = __radd__ = recorded(arithmetic.add, arithmetic.add_backward)
    __mul__ = __rmul__ = recorded(arithmetic.multiply, arithmetic.multiply_backward)
    __sub__ = recorded(arithmetic.subtract, arithmetic.subtract_backward)
    __truediv__ = recorded(arithmetic.divide, arithmetic.divide_backward)
    __matmul__ = recorded(matrix.matmul, matrix.matmul_backward)

    def __neg__(self) -> Tensor:
        return self * -1

    def __rsub__(self, other: ArrayLike) -> Tensor:
        return Tensor.__sub__(other, self)

    def __rtruediv__(self, other: ArrayLike) -> Tensor:
        return Tensor.__truediv__(other, self)

    def __rmatmul__(self, other: ArrayLike) -> Tensor:
        return Tensor.__matmul__(other, self)


_reshape = recorded(matrix.reshape, matrix.reshape_backward)
