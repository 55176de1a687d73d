"""Kernels in JAX with backwards of their own (``custom_vjp``): softmax, RMS norm, SwiGLU, a product, a scan."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
from kernel import Kernel

Arrays = dict[str, Any]


def right(dtype: str = "bfloat16") -> Iterator[Kernel]:
    """Yield right kernels."""
    yield _kernel("softmax", dtype, {"x": (128, 256)}, 3.0, _softmax, _softmax_backward)
    yield _kernel("rms_norm", dtype, {"x": (64, 256), "w": (256,)}, 2.0, _norm, _norm_backward)
    yield _kernel("swiglu", dtype, {"a": (64, 256), "b": (64, 256)}, 2.0, _swiglu, _swiglu_backward)
    yield _kernel("matmul", dtype, {"x": (64, 96), "w": (96, 80)}, 1.0, _product, _product_backward)
    yield _kernel("running_product", dtype, {"a": (64, 48), "b": (64, 48)}, 0.95, _scan, _scan_backward)


def wrong() -> Iterator[tuple[Kernel, Kernel]]:
    """Yield each with one input's gradient off by a factor, or without a row, and what it is without its fault."""
    for kernel in right():
        name = next(iter(kernel.shapes))
        yield _broken(kernel, "x 1.02", name, lambda gradient: gradient * 1.02), kernel
        yield _broken(kernel, "a single row zero", name, lambda gradient: gradient.at[7].set(0.0)), kernel


def _kernel(
    name: str,
    dtype: str,
    shapes: dict[str, tuple[int, ...]],
    width: float,
    forward: Callable[[Arrays], Any],
    backward: Callable[[Any, Arrays], Arrays],
) -> Kernel:
    return Kernel(name, dtype, shapes, dict.fromkeys(shapes, (-width, width)), forward, backward, style="jax")


def _broken(kernel: Kernel, fault: str, name: str, change: Callable[[Any], Any]) -> Kernel:
    def backward(upstream: Any, inputs: Arrays) -> Arrays:
        made = kernel.backward(upstream, inputs)
        return {**made, name: change(made[name])}

    return replace(kernel, fault=f"{name}: {fault}", backward=backward)


def function(kernel: Kernel) -> Callable[..., Any]:
    """Return the kernel as a function of arrays of its dtype with its own backward; sums are kept in float32."""
    stored = jnp.dtype(kernel.stored)

    def read(arrays: tuple[Any, ...]) -> Arrays:
        for name, x in zip(kernel.shapes, arrays, strict=True):
            if x.dtype != stored:
                raise TypeError(f"{name}: {stored} only, found {x.dtype}")
        return {name: x.astype(jnp.float32) for name, x in zip(kernel.shapes, arrays, strict=True)}

    @jax.custom_vjp
    def made(*arrays: Any) -> Any:
        return kernel.forward(read(arrays)).astype(stored)

    def backward(arrays: tuple[Any, ...], upstream: Any) -> tuple[Any, ...]:
        gradients = kernel.backward(upstream.astype(jnp.float32), read(arrays))
        return tuple(gradients[name].astype(stored) for name in kernel.shapes)

    made.defvjp(lambda *arrays: (made(*arrays), arrays), backward)
    return made


def _softmax(i: Arrays) -> Any:
    return jax.nn.softmax(i["x"], -1)


def _softmax_backward(u: Any, i: Arrays) -> Arrays:
    p = _softmax(i)
    return {"x": p * (u - (p * u).sum(-1, keepdims=True))}


def _norm(i: Arrays) -> Any:
    return i["x"] * jax.lax.rsqrt((i["x"] ** 2).mean(-1, keepdims=True) + 1e-6) * i["w"]


def _norm_backward(u: Any, i: Arrays) -> Arrays:
    scale = jax.lax.rsqrt((i["x"] ** 2).mean(-1, keepdims=True) + 1e-6)
    h, g = i["x"] * scale, u * i["w"]
    return {"x": scale * (g - h * (g * h).mean(-1, keepdims=True)), "w": (u * h).sum(0)}


def _swiglu(i: Arrays) -> Any:
    return jax.nn.silu(i["a"]) * i["b"]


def _swiglu_backward(u: Any, i: Arrays) -> Arrays:
    s = jax.nn.sigmoid(i["a"])
    return {"a": u * i["b"] * s * (1 + i["a"] * (1 - s)), "b": u * i["a"] * s}


def _product(i: Arrays) -> Any:
    return i["x"] @ i["w"]


def _product_backward(u: Any, i: Arrays) -> Arrays:
    return {"x": u @ i["w"].T, "w": i["x"].T @ u}


def _scan(i: Arrays) -> Any:
    """Return ``h[t] = a[t] h[t - 1] + b[t]`` along rows."""

    def step(h: Any, part: tuple[Any, Any]) -> tuple[Any, Any]:
        h = part[0] * h + part[1]
        return h, h

    return jax.lax.scan(step, jnp.zeros_like(i["b"][0]), (i["a"], i["b"]))[1]


def _scan_backward(u: Any, i: Arrays) -> Arrays:
    h = _scan(i)

    def step(later: Any, part: tuple[Any, Any]) -> tuple[Any, Any]:
        mine = later + part[1]
        return mine * part[0], mine

    of_b = jax.lax.scan(step, jnp.zeros_like(u[0]), (i["a"], u), reverse=True)[1]
    before = jnp.concatenate([jnp.zeros_like(h[:1]), h[:-1]])
    return {"a": of_b * before, "b": of_b}
