"""Reference ops in JAX: hand-written derivatives, and what is compiled."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

Array = Any


@jax.custom_vjp
def softplus(x: Array, beta: Array) -> Array:
    """Return ``log(1 + exp(beta x)) / beta`` for x of any shape and a scalar beta, without overflow."""
    return jnp.logaddexp(beta * x, 0.0) / beta


def _softplus_forward(x: Array, beta: Array) -> tuple[Array, tuple[Array, ...]]:
    made = softplus(x, beta)
    return made, (x, beta, made)


def _softplus_backward(saved: tuple[Array, ...], upstream: Array) -> tuple[Array, Array]:
    x, beta, made = saved
    slope = jax.nn.sigmoid(beta * x)
    return upstream * slope, jnp.sum(upstream * (x * slope - made)) / beta


softplus.defvjp(_softplus_forward, _softplus_backward)


@jax.custom_jvp
def safe_norm(x: Array) -> Array:
    """Return the Euclidean norms of the rows of x; the derivative at zero is zero."""
    return jnp.sqrt(jnp.sum(x * x, axis=-1))


@safe_norm.defjvp
def _safe_norm_forward_mode(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (along,) = primals, tangents
    norm = safe_norm(x)
    inverse = jnp.where(norm > 0, 1 / jnp.where(norm > 0, norm, 1), 0)
    return norm, jnp.sum(x * along, axis=-1) * inverse


def recurrence(x: Array, weight: Array, *, decay: float) -> tuple[Array, Array]:
    """Return the last state, and all, of ``s' = decay s + (1 - decay) tanh(x W)`` over the first axis of x."""

    def step(state: Array, row: Array) -> tuple[Array, Array]:
        state = decay * state + (1 - decay) * jnp.tanh(row @ weight)
        return state, state

    last, states = jax.lax.scan(step, jnp.zeros(weight.shape[-1], weight.dtype), x)
    return last, states


def clipped_energy(x: Array) -> Array:
    """Return ``sum(x^2)``, capped at 100; it looks at the value, so it cannot be compiled."""
    energy = jnp.sum(x * x)
    return energy if energy < 100 else jnp.full_like(energy, 100)


def rotate(z: Array, angle: Array) -> Array:
    """Return complex z of shape (..., n) turned by real angles of shape (n,), and added to its conjugate's half."""
    return z * jnp.exp(1j * angle) + jnp.conj(z) / 2
