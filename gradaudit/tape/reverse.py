"""Reverse mode: from a tensor back through all that it was made of, each step once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from gradaudit.tape.tensor import Tensor

Array = NDArray[Any]


def reverse(output: Tensor, upstream: ArrayLike | None = None) -> None:
    """Add to the gradients of a tensor and of all tracked tensors that it was made of; see ``Tensor.backward``."""
    arriving = {id(output): _checked_upstream(output, upstream)}
    for tensor in _from_output_to_leaves(output):
        gradient = arriving.pop(id(tensor), None)
        if gradient is None:
            continue
        # A copy, since one array may be the gradient of several tensors, and whoever clips one means that one.
        tensor.grad = np.array(gradient, tensor.data.dtype) if tensor.grad is None else tensor.grad + gradient
        if tensor.node is None:
            continue
        for parent, part in zip(tensor.node.inputs, tensor.node.backward(gradient), strict=False):
            if part is None or not parent.requires_grad:
                continue
            if np.shape(part) != parent.shape:
                found, expected = np.shape(part), parent.shape
                raise ValueError(
                    f"{tensor.node.name} gave a gradient of shape {found} for an input of shape {expected}"
                )
            before = arriving.get(id(parent))
            arriving[id(parent)] = np.asarray(part) if before is None else before + part


def _checked_upstream(output: Tensor, upstream: ArrayLike | None) -> Array:
    if not output.requires_grad:
        raise ValueError("backward of a tensor that was made of none with requires_grad: there is nothing to follow")
    if upstream is None:
        if output.data.size != 1:
            raise ValueError(f"backward of a tensor of shape {output.shape} needs an upstream; expected a scalar loss")
        return np.ones_like(output.data)
    given = np.asarray(upstream, output.data.dtype)
    if given.shape != output.shape:
        raise ValueError(f"upstream has shape {given.shape}; expected {output.shape}, that of the tensor")
    return given


def _from_output_to_leaves(output: Tensor) -> list[Tensor]:
    """List every tracked tensor after all that were made of it (Kahn, Topological sorting of large networks, 1962).

    It keeps its own list of what is next, since graphs are deeper than Python's recursion.
    """
    reached = _reached(output)
    uses = Counter(id(parent) for tensor in reached for parent in _tracked_inputs(tensor))
    ready = [] if uses[id(output)] else [output]
    order = []
    while ready:
        order.append(tensor := ready.pop())
        for parent in _tracked_inputs(tensor):
            uses[id(parent)] -= 1
            if uses[id(parent)] == 0:
                ready.append(parent)
    if len(order) < len(reached):
        names = sorted({tensor.node.name for tensor in reached if tensor.node and uses[id(tensor)]})
        raise ValueError(f"the graph has a cycle: a tensor is made of itself, by way of {', '.join(names)}")
    return order


def _reached(output: Tensor) -> list[Tensor]:
    reached, seen = [output], {id(output)}
    for tensor in reached:  # which grows meanwhile
        for parent in _tracked_inputs(tensor):
            if id(parent) not in seen:
                seen.add(id(parent))
                reached.append(parent)
    return reached


def _tracked_inputs(tensor: Tensor) -> list[Tensor]:
    return [one for one in tensor.node.inputs if one.requires_grad] if tensor.node else []
