"""Reverse mode: from a tensor back through all that it was made of, each step once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from gradaudit.tape.tensor import Tensor


def reverse(output: Tensor, upstream: ArrayLike | None) -> None:
    """Add to the gradients of a tensor and of all tracked tensors that it was made of; see ``Tensor.backward``."""
    if not output.requires_grad:
        raise ValueError("backward of a tensor that was made of none with requires_grad: nothing was recorded")
    if upstream is None and output.data.size != 1:
        raise ValueError(f"backward of a tensor of shape {output.shape} needs an upstream; expected a scalar loss")
    arriving = {id(output): np.broadcast_to(1.0 if upstream is None else upstream, output.shape)}
    for tensor in reversed(_from_leaves_to_output(output)):
        if id(tensor) not in arriving:
            continue
        # A copy, since one array may arrive at several tensors, and whoever clips the gradient of one means that one.
        gradient = arriving.pop(id(tensor)).astype(tensor.data.dtype)
        tensor.grad = gradient if tensor.grad is None else tensor.grad + gradient
        if tensor.node is None:
            continue
        for parent, part in zip(tensor.node.inputs, tensor.node.backward(gradient), strict=False):
            if part is None or not parent.requires_grad:
                continue
            if np.shape(part) != parent.shape:
                gave = f"{tensor.node.name} gave a gradient of shape {np.shape(part)}"
                raise ValueError(f"{gave} for an input of shape {parent.shape}")
            arriving[id(parent)] = arriving[id(parent)] + part if id(parent) in arriving else np.asarray(part)


def _from_leaves_to_output(output: Tensor) -> list[Tensor]:
    """List every tracked tensor after all that it was made of, without recursion: graphs are deeper than Python's."""
    order: list[Tensor] = []
    begun, done = set[int](), set[int]()
    to_visit = [output]
    while to_visit:
        tensor = to_visit[-1]
        if id(tensor) in begun:
            to_visit.pop()
            if id(tensor) not in done:
                done.add(id(tensor))
                order.append(tensor)
            continue
        begun.add(id(tensor))
        for parent in tensor.node.inputs if tensor.node else ():
            if id(parent) in begun and id(parent) not in done:
                name = parent.node.name if parent.node else "a leaf"
                raise ValueError(f"the graph has a cycle: what {name} made is among its own inputs, or theirs")
            if parent.requires_grad:
                to_visit.append(parent)
    return order
