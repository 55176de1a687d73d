"""The kinds of faults that the diagnosis has a name for, each as a function of a call of backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from planted import Call, Fault

Array = Any


def flipped_sign(call: Call) -> Array:
    return -call.gradient()


def doubled(call: Call) -> Array:
    return 2.0 * call.gradient()


def halved(call: Call) -> Array:
    return 0.5 * call.gradient()


def any_factor(call: Call) -> Array:
    """A factor without a name, which a single index could not tell from any other mistake."""
    return 1.37 * call.gradient() if np.count_nonzero(call.gradient()) > 1 else None


def lost_param(call: Call) -> Array:
    """The gradient without one over what dropout keeps, or without the first number among the params."""
    numbers = [v for v in getattr(call.op, "params", {}).values() if isinstance(v, float) and v not in (0.0, 1.0)]
    return call.gradient() / (1 - numbers[0] if numbers[0] < 1 else numbers[0]) if numbers else None


def lost_size(call: Call) -> Array:
    return call.gradient() * call.gradient().size if call.gradient().size > 1 else None


def lost_batch(call: Call) -> Array:
    return call.gradient() / call.gradient().shape[0] if call.gradient().ndim and len(call.gradient()) > 1 else None


def lost_root(call: Call) -> Array:
    gradient = call.gradient()
    return gradient * math.sqrt(gradient.shape[-1]) if gradient.ndim and gradient.shape[-1] > 1 else None


def unbiased(call: Call) -> Array:
    size = call.gradient().shape[0] if call.gradient().ndim else 1
    return call.gradient() * (size - 1) / size if size > 2 else None


def _spread(values: Array, axis: int, ndim: int) -> Array:
    return values.reshape(tuple(-1 if k == axis else 1 for k in range(ndim)))


def _long_axis(call: Call, least: int = 2) -> int | None:
    axes = [axis for axis, size in enumerate(call.gradient().shape) if size >= least]
    rng = np.random.default_rng(call.rng.integers(2**31))  # what is drawn afterwards does not depend on the shape
    chosen = int(rng.choice(axes)) if axes else None
    return call.memory.setdefault("axis", chosen)


def scaled_axis(call: Call) -> Array:
    """Factors between 1.5 and 3 along a random axis."""
    gradient, axis = call.gradient(), _long_axis(call)
    if axis is None or np.count_nonzero(gradient) < 3 * gradient.shape[axis]:
        return None
    return gradient * _spread(call.rng.uniform(1.5, 3.0, gradient.shape[axis]), axis, gradient.ndim)


def scaled_by_input(call: Call) -> Array:
    """The gradient without a factor that is another input of lower or equal rank: what a lost gamma looks like."""
    gradient = call.gradient()
    for name, array in call.inputs.items():
        if name != call.input and array.ndim == 1 and array.dtype.kind == "f" and array.size > 1 and array.all():
            for axis, size in enumerate(gradient.shape):
                if size == array.size:
                    return gradient * _spread(array.astype(np.float64), axis, gradient.ndim)
    return None


def swapped_axes(call: Call) -> Array:
    gradient = call.gradient()
    pairs = [(i, j) for i in range(gradient.ndim) for j in range(i) if gradient.shape[i] == gradient.shape[j] > 1]
    return gradient.swapaxes(*pairs[0]) if pairs else None


def reversed_axis(call: Call) -> Array:
    axis = _long_axis(call, 3)
    return None if axis is None else np.flip(call.gradient(), axis)


def reread(call: Call) -> Array:
    gradient = call.gradient()
    return gradient.T.reshape(gradient.shape) if gradient.ndim > 1 and min(gradient.shape[:2]) > 1 else None


def rolled(call: Call) -> Array:
    shift = int(call.rng.integers(1, 3))
    gradient, axis = call.gradient(), _long_axis(call, 3)
    return None if axis is None else np.roll(gradient, shift, axis)


def added_mean(call: Call) -> Array:
    gradient, axis = call.gradient(), _long_axis(call, 3)
    return None if axis is None else gradient + gradient.mean(axis=axis, keepdims=True)


def lost_residual(call: Call) -> Array:
    same = [u for u in call.upstream if u.shape == call.gradient().shape]
    return call.gradient() - same[0] if same else None


def decayed(call: Call) -> Array:
    return call.gradient() + 0.1 * call.inputs[call.input] if call.gradient().size > 2 else None


def projected(call: Call) -> Array:
    """A gradient with its component along the normalised input put in twice."""
    gradient, axis = call.gradient(), _long_axis(call, 3)
    x = call.inputs[call.input].astype(np.float64)
    if axis is None:
        return None
    deviation = x - x.mean(axis=axis, keepdims=True)
    z = deviation / np.sqrt(np.square(deviation).mean(axis=axis, keepdims=True))
    return gradient + z * (gradient * z).mean(axis=axis, keepdims=True)


def left_behind() -> Fault:
    """A buffer that another call has used before."""
    buffer: list[Array] = []

    def accumulate(call: Call) -> Array:
        gradient = call.gradient()
        if not buffer:
            buffer.append(call.rng.normal(size=gradient.shape))
        buffer[0] = buffer[0] + gradient
        return buffer[0]

    return accumulate


def stale() -> Fault:
    """A first answer that belongs to other inputs."""
    asked: list[int] = []

    def answer(call: Call) -> Array:
        asked.append(1)
        if len(asked) > 1:
            return call.gradient()
        inputs = dict(call.inputs)
        for name, array in call.inputs.items():
            if array.dtype.kind == "f":
                inputs[name] = (array * call.rng.uniform(0.7, 0.9, array.shape)).astype(array.dtype)
        return call.gradient(inputs=inputs, outputs=call.op.forward(inputs))

    return answer


def ones_for_upstream(call: Call) -> Array:
    return call.gradient(upstream=tuple(np.ones_like(u) for u in call.upstream))


def border(call: Call) -> Array:
    gradient, axis = call.gradient().copy(), _long_axis(call, 3)
    if axis is None:
        return None
    np.moveaxis(gradient, axis, 0)[call.rng.choice([0, -1])] *= call.rng.choice([-1.0, 0.0, 2.0])
    return gradient


def half_space(call: Call) -> Array:
    gradient, x = call.gradient(), call.inputs[call.input].astype(np.float64)
    threshold = call.memory.setdefault("threshold", np.median(x))
    return np.where(x < threshold, gradient * call.rng.choice([-1.0, 0.5, 2.0]), gradient)


def every_second(call: Call) -> Array:
    gradient, axis = call.gradient().copy(), _long_axis(call, 4)
    if axis is None:
        return None
    np.moveaxis(gradient, axis, 0)[::2] *= 2.0
    return gradient


def few(call: Call) -> Array:
    gradient = call.gradient().copy()
    if gradient.size < 12:
        return None
    for k in call.rng.choice(gradient.size, 2, replace=False):
        gradient.reshape(-1)[k] *= 1.0 + call.rng.random()  # not a constant added: that would not be linear
    return gradient


def made_once(fault: Fault) -> Callable[[], Fault]:
    return lambda: fault


FAULTS: Mapping[str, tuple[Callable[[], Fault], ...]] = {
    "sign-flipped": (made_once(flipped_sign),),
    "constant-factor": tuple(
        made_once(fault)
        for fault in (lost_param, lost_size, lost_batch, lost_root, unbiased, doubled, halved, any_factor)
    ),
    "factor-per-axis": (made_once(scaled_axis), made_once(scaled_by_input)),
    "transposed": tuple(map(made_once, (swapped_axes, reversed_axis, reread))),
    "shifted": (made_once(rolled),),
    "missing-term": tuple(map(made_once, (added_mean, lost_residual, decayed, projected))),
    "accumulated": (left_behind,),
    "captured-state": (stale,),
    "upstream-ignored": (made_once(ones_for_upstream),),
    "wrong-subset": tuple(map(made_once, (border, half_space, every_second, few))),
}
"""By the code that should name them, faults: each is made anew for every audit, as some have a state."""
