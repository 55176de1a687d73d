"""Forward mode of several tangents at once, under ``vmap``, as what forward mode gives of a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._vmap_internals import _vmap  # as torch's own gradcheck: the public one knows no dual tensors
from torch.autograd import forward_ad

from gradaudit.targets.structure import leaves

Tensor = Any


def pushing_two(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that in forward mode pushes two tangents forward at once and hands on the second.

    Without a tangent it is the function itself.

    Args:
        function: takes tensors and whatever else by position.

    """

    def called(*arguments: Any) -> Any:
        parts = {k: forward_ad.unpack_dual(each) for k, each in enumerate(arguments) if isinstance(each, torch.Tensor)}
        moving = [k for k, part in parts.items() if part.tangent is not None]
        if not moving:
            return function(*arguments)

        def pushed(*tangents: Tensor) -> tuple[Tensor, ...]:
            given = list(arguments)
            for k, tangent in zip(moving, tangents, strict=True):
                given[k] = forward_ad.make_dual(parts[k].primal, tangent)
            unpacked = [forward_ad.unpack_dual(output) for output in leaves(function(*given)) if _moves(output)]
            return tuple([torch.zeros_like(one.primal) if one.tangent is None else one.tangent for one in unpacked])

        both = iter(_vmap(pushed)(*(torch.stack([-parts[k].tangent / 2, parts[k].tangent]) for k in moving)))
        plain = [parts[k].primal if k in parts else each for k, each in enumerate(arguments)]
        return [
            forward_ad.make_dual(output, next(both)[1]) if _moves(output) else output
            for output in leaves(function(*plain))
        ]

    return called


def _moves(output: Any) -> bool:
    """Whether an output can have a tangent."""
    return isinstance(output, torch.Tensor) and (output.is_floating_point() or output.is_complex())
