"""The ways in which JAX differentiates, each brought to one answer: the gradient for an upstream.

JAX pulls back without conjugation: its cotangents and gradients are the conjugates of ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradaudit.targets.framework_op import MOST_COLUMNS, UnusableError, split_upstream

Array = Any
Pull = Callable[[Callable[..., list[Array]], list[Array], list[Array]], list[Array]]
"""From a function, its arrays and the upstream of each output, to the gradients."""


def _reverse(function: Callable[..., list[Array]], arrays: list[Array], upstream: list[Array]) -> list[Array]:
    _, pull = jax.vjp(function, *arrays)
    return [gradient.conj() for gradient in pull([part.conj() for part in upstream])]


def _batched(function: Callable[..., list[Array]], arrays: list[Array], upstream: list[Array]) -> list[Array]:
    """Pull back two upstreams at once under ``vmap``, and return the gradients of the second."""
    _, pull = jax.vjp(function, *arrays)
    pairs = [jnp.stack([-part / 2, part]).conj() for part in upstream]
    return [gradients[1].conj() for gradients in jax.vmap(pull)(pairs)]


def _forward(function: Callable[..., list[Array]], arrays: list[Array], upstream: list[Array]) -> list[Array]:
    """Push every element's own tangent forward; its gradient is what that has in common with the upstream."""
    columns = sum(array.size for array in arrays)
    if columns > MOST_COLUMNS:
        raise UnusableError(
            f"in forward mode takes a column for each of {columns:,} elements; at most {MOST_COLUMNS:,}"
        )

    def gradient(place: int) -> Array:
        x = arrays[place]

        def slope(tangent: Array) -> Array:
            along = [tangent if k == place else jnp.zeros_like(array) for k, array in enumerate(arrays)]
            _, pushed = jax.jvp(function, tuple(arrays), tuple(along))
            return sum((u.conj() * part).real.sum() for u, part in zip(upstream, pushed, strict=True))

        basis = jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
        slopes = jax.vmap(slope)(basis)
        if jnp.iscomplexobj(x):
            slopes = slopes + 1j * jax.vmap(slope)(1j * basis)
        return slopes.reshape(x.shape).astype(x.dtype)

    return [gradient(place) for place in range(len(arrays))]


PULLS: Mapping[str, Pull] = {"reverse": _reverse, "forward": _forward, "batched": _batched}


def backward_of(
    call: Callable[[tuple[str, ...], Sequence[Array]], list[Array]], constants: frozenset[str]
) -> Callable[[tuple[str, ...], Sequence[Array]], list[Array]]:
    """Return the backward of a function as a function itself: of its inputs and of upstreams named for its outputs."""

    def backward(names: tuple[str, ...], arrays: Sequence[Array]) -> list[Array]:
        inputs, upstream = split_upstream(dict(zip(names, arrays, strict=True)))
        asked = [name for name in inputs if name not in constants and jnp.issubdtype(inputs[name].dtype, jnp.inexact)]

        def counted(*moving: Array) -> list[Array]:
            every = {**inputs, **dict(zip(asked, moving, strict=True))}
            outputs = call(tuple(every), list(every.values()))
            return [outputs[k] for k in upstream]

        return _reverse(counted, [inputs[name] for name in asked], list(upstream.values()))

    return backward
