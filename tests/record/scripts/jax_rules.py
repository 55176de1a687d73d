"""Functions of JAX with rules of their own, which training calls inside of jit, grad, vmap and checkpoint alone."""

from functools import partial

import jax
import jax.numpy as jnp


@jax.custom_vjp
def softplus(x):
    return jnp.logaddexp(x, 0.0)


softplus.defvjp(lambda x: (softplus(x), x), lambda x, g: (g * jax.nn.sigmoid(x),))


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def scaled_tanh(x, scale):
    return scale * jnp.tanh(x)


def scaled_tanh_fwd(x, scale):
    return scaled_tanh(x, scale), x


def scaled_tanh_bwd(scale, x, g):
    return (g * (1 - jnp.tanh(x) ** 2),)  # wrong: the scale is lost


scaled_tanh.defvjp(scaled_tanh_fwd, scaled_tanh_bwd)


@jax.custom_vjp
def linear(params, x):
    return x @ params["w"] + params["b"]


def linear_fwd(params, x):
    return linear(params, x), (params, x)


def linear_bwd(kept, g):
    params, x = kept
    return {"w": x.T @ g, "b": g.sum(0)}, g @ params["w"].T


linear.defvjp(linear_fwd, linear_bwd)


def rms(x, weight):
    return x * weight / jnp.sqrt(jnp.mean(x**2) + 1e-6)


rms = jax.custom_vjp(rms)


def rms_fwd(x, weight):
    r = 1 / jnp.sqrt(jnp.mean(x**2) + 1e-6)
    return x * weight * r, (x, weight, r)


def rms_bwd(kept, g):
    x, weight, r = kept
    return r * g * weight, g * x * r  # wrong: r is a function of x


rms.defvjp(rms_fwd, rms_bwd)


def loss(params, weight, x):
    hidden = jax.checkpoint(scaled_tanh, static_argnums=1)(softplus(linear(params, x)), 2.0)
    return jnp.mean(jax.vmap(rms, in_axes=(0, None))(hidden, weight) ** 3)


params = {"w": jax.random.normal(jax.random.PRNGKey(0), (4, 4)), "b": jnp.zeros(4)}
weight, x = jnp.ones(4), jax.random.normal(jax.random.PRNGKey(1), (4, 4))
step = jax.jit(jax.grad(loss))
for _ in range(3):
    params = jax.tree_util.tree_map(lambda p, g: p - 0.1 * g, params, step(params, weight, x))
