"""How gradients are read from what backward functions give: products, Jacobians, derivatives, a loss and its gradient.

``returned`` is what a function gave, ``returns`` the inputs that it answers for, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.spec.op_targets import Convention
from gradaudit.targets.op import OpError
from gradaudit.targets.structure import members_of

Array = NDArray[Any]
Reading = Callable[[Any, Sequence[str], Mapping[str, Array], tuple[Array, ...]], dict[str, Any]]
"""From what was returned, the names it is for, the inputs and the upstream to gradients by name."""


def _product(returned: Any, returns: Sequence[str], inputs: Mapping[str, Array], upstream: Any) -> dict[str, Any]:
    return _named(members_of(returned) if returns else {}, returns, "backward", "gradients")


def _named(members: dict[Any, Any], returns: Sequence[str], who: str, what: str) -> dict[str, Any]:
    if len(members) != len(returns):
        expected = f"{len(returns)} ({', '.join(returns)})"
        raise OpError(f"{who} returned {len(members)} {what}; expected {expected}")
    if set(members) == set(returns):
        return {name: members[name] for name in returns}
    return dict(zip(returns, members.values(), strict=True))


def _value_and_grad(
    returned: Any, returns: Sequence[str], inputs: Mapping[str, Array], upstream: tuple[Array, ...]
) -> dict[str, Any]:
    _, *gradients = members_of(returned).values()
    members = dict(enumerate(gradients))
    if len(members) == 1 and len(inner := members_of(gradients[0])) == len(returns):
        members = inner
    return _named(members, returns, "the function", "gradients beside the loss")


def _derivative(
    returned: Any, returns: Sequence[str], inputs: Mapping[str, Array], upstream: tuple[Array, ...]
) -> dict[str, Any]:
    (given,) = _one(upstream, "a derivative")
    slopes = _named(members_of(returned), returns, "the derivative", "slopes")
    for name, slope in slopes.items():
        if np.ndim(slope) and np.shape(slope) != given.shape:
            raise OpError(
                f"the derivative has shape {np.shape(slope)} for {name}; expected the output's, {given.shape}"
            )
    return {name: given * np.asarray(slope, dtype=given.dtype) for name, slope in slopes.items()}


def _jacobian(
    returned: Any, returns: Sequence[str], inputs: Mapping[str, Array], upstream: tuple[Array, ...]
) -> dict[str, Any]:
    (given,) = _one(upstream, "a Jacobian")
    sizes = [inputs[name].size for name in returns]
    members = _blocks(returned) if len(returns) > 1 else {returns[0]: returned}
    if len(members) == 1 and len(returns) > 1:  # all inputs side by side, as in least squares
        whole = _matrix(next(iter(members.values())), given, sum(sizes), ", ".join(returns))
        edges = np.cumsum([0, *sizes])
        members = {name: whole[:, a:b] for name, a, b in zip(returns, edges[:-1], edges[1:], strict=True)}
    named = _named(members, returns, "the function", "Jacobians")
    return {
        name: (given.reshape(-1) @ _matrix(block, given, inputs[name].size, name)).reshape(inputs[name].shape)
        for name, block in named.items()
    }


def _blocks(returned: Any) -> dict[Any, Any]:
    return {0: returned} if hasattr(returned, "toarray") else members_of(returned)


def _matrix(block: Any, given: Array, columns: int, name: str) -> Array:
    """Return a Jacobian, dense or sparse, as a matrix: a row for each element of the output."""
    matrix = np.asarray(block.toarray() if hasattr(block, "toarray") else block)
    if matrix.size != given.size * columns:
        expected = f"{given.size} by {columns}, or the output's shape and the input's"
        raise OpError(f"the Jacobian for {name} has shape {matrix.shape}; expected {expected}")
    return matrix.reshape(given.size, columns)


def _one(upstream: tuple[Array, ...], what: str) -> tuple[Array, ...]:
    if len(upstream) != 1:
        raise OpError(f"{what} is of one output; name it with 'outputs: {{differentiable: [0]}}'")
    return upstream


def pull(upstream: Any, cache: Any) -> Any:
    """Return what a closure that forward returned gives for an upstream: a backward for forwards that return one."""
    return cache(upstream)


READINGS: Mapping[Convention, Reading] = {
    "vjp": _product,
    "value_and_grad": _value_and_grad,
    "derivative": _derivative,
    "jacobian": _jacobian,
}
