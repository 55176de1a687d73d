"""The ways in which PyTorch differentiates, each brought to one answer: the gradient for an upstream."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch.autograd import forward_ad

from gradaudit.targets.framework_op import MOST_COLUMNS, UnusableError, split_upstream

Tensor = Any
Call = Callable[[Mapping[str, Tensor]], list[Any]]
"""A function of named tensors that returns its outputs in order."""

Pull = Callable[[Call, Mapping[str, Tensor], Mapping[int, Tensor]], dict[str, Tensor]]
"""From a function, its tensors and the upstreams by output, to the gradients of those tensors that require one."""


def _reverse(call: Call, tensors: Mapping[str, Tensor], upstream: Mapping[int, Tensor]) -> dict[str, Tensor]:
    return _vjp(call(tensors), tensors, upstream)


def _again(call: Call, tensors: Mapping[str, Tensor], upstream: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """Pull back twice over one graph, and return the gradients of the second."""
    outputs = call(tensors)
    _vjp(outputs, tensors, upstream, retain_graph=True)
    return _vjp(outputs, tensors, upstream)


def _vjp(
    outputs: list[Any], tensors: Mapping[str, Tensor], upstream: Mapping[int, Tensor], **how: bool
) -> dict[str, Tensor]:
    asked = _asked(tensors)
    made = torch.autograd.grad(
        [outputs[k] for k in upstream],
        list(asked.values()),
        list(upstream.values()),
        allow_unused=True,
        materialize_grads=True,
        **how,
    )
    return dict(zip(asked, made, strict=True))


def _into_leaves(call: Call, tensors: Mapping[str, Tensor], upstream: Mapping[int, Tensor], times: int = 1) -> Any:
    """Pull back once or more over one graph as training does, which adds to its leaves, and return the last gradients.

    What runs reverse mode inside of its own backward, as a reentrant checkpoint does, can be asked in no other way.
    """
    outputs, asked = call(tensors), _asked(tensors)
    for left in reversed(range(times)):
        for leaf in asked.values():
            leaf.grad = None
        torch.autograd.backward([outputs[k] for k in upstream], list(upstream.values()), retain_graph=left > 0)
    return {name: torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for name, leaf in asked.items()}


def _asked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if tensor.requires_grad}


def _batched(call: Call, tensors: Mapping[str, Tensor], upstream: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """Pull back two upstreams at once under ``vmap``, and return the gradients of the second."""
    pairs = {k: torch.stack([-part / 2, part]) for k, part in upstream.items()}
    outputs = call(tensors)
    made = torch.func.vmap(lambda parts: _vjp(outputs, tensors, parts))(pairs)
    return {name: gradient[1] for name, gradient in made.items()}


def _forward(call: Call, tensors: Mapping[str, Tensor], upstream: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """Push every element's own tangent forward; its gradient is what that has in common with the upstream."""
    asked = _asked(tensors)
    columns = sum(tensor.numel() for tensor in asked.values())
    if columns > MOST_COLUMNS:
        raise UnusableError(f"in forward mode takes a call for each of {columns:,} elements; at most {MOST_COLUMNS:,}")
    plain = {name: tensor.detach() for name, tensor in tensors.items()}
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # torch's of itself, as it begins
        return {name: _columns(call, plain, name, upstream) for name in asked}


def _columns(call: Call, tensors: Mapping[str, Tensor], name: str, upstream: Mapping[int, Tensor]) -> Tensor:
    x = tensors[name]
    gradient = torch.zeros(x.numel(), dtype=x.dtype, device=x.device)
    for k in range(x.numel()):
        for unit in (1, 1j) if x.is_complex() else (1,):
            tangent = torch.zeros_like(gradient)
            tangent[k] = unit
            gradient[k] += unit * _slope(call, tensors, name, tangent.reshape(x.shape), upstream)
    return gradient.reshape(x.shape)


def _slope(
    call: Call, tensors: Mapping[str, Tensor], name: str, tangent: Tensor, upstream: Mapping[int, Tensor]
) -> Tensor:
    """Return the derivative of the upstream's loss along a tangent of one input."""
    with generator_at(torch.get_rng_state()), forward_ad.dual_level():
        outputs = call({**tensors, name: forward_ad.make_dual(tensors[name], tangent)})
        pushed = {k: forward_ad.unpack_dual(outputs[k]).tangent for k in upstream}
        return sum((u.conj() * pushed[k]).real.sum() for k, u in upstream.items() if pushed[k] is not None)


PULLS: Mapping[str, Pull] = {"reverse": _reverse, "again": _again, "forward": _forward, "batched": _batched}

INTO_LEAVES: Mapping[Pull, Pull] = {_reverse: _into_leaves, _again: partial(_into_leaves, times=2)}
"""How gradients are had where autograd refuses to give them to whoever asks."""


def backward_of(call: Call) -> Call:
    """Return the backward of a function as a function itself: of its inputs and of upstreams named for its outputs."""

    def backward(tensors: Mapping[str, Tensor]) -> list[Any]:
        inputs, upstream = split_upstream(tensors)
        return list(_vjp(call(inputs), inputs, upstream, create_graph=True).values())

    return backward


class generator_at:  # noqa: N801 (a context, called as one)
    """Draw random numbers from this state on, and leave the generator as it was found."""

    def __init__(self, state: Tensor) -> None:
        self._state = state

    def __enter__(self) -> None:
        self._before = torch.get_rng_state()
        torch.set_rng_state(self._state)

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self._before)
