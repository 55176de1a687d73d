"""The transpose of broadcasting: what was repeated in the forward is summed in the backward."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


def sum_to_shape(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an operand of this shape was broadcast.

    Broadcasting copies an operand along missing leading axes and along axes of size one. Each copy adds its share
    to the loss, so the operand's gradient is the sum over the copies (the chain rule for a repeated variable).

    Args:
        gradient: the gradient with respect to the broadcast operand, of the output's shape.
        shape: the operand's own shape, which broadcasts to the output's.

    Returns:
        An array of the given shape; `gradient` itself where nothing was broadcast.

    """
    if gradient.shape == shape:
        return gradient
    missing = gradient.ndim - len(shape)
    stretched = [missing + axis for axis, size in enumerate(shape) if size == 1]
    total: Array = gradient.sum(axis=(*range(missing), *stretched))
    return total.reshape(shape)
