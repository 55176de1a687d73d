"""Whether an op rounds what it is given to a coarser dtype than it is given, as autocast and mixed precision do.

A function that begins by rounding its inputs cannot tell numbers that round alike apart: nudged by less than half the
spacing of the coarser dtype, around numbers that it has, they give the same outputs bit by bit. Outputs with few bits
prove nothing; a difference of large numbers has them too.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradaudit.checks.subject import Subject
from gradaudit.numerics.arrays import Array, cast, copied, dtype_name, joined, like
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import is_complex, is_floating, spacing
from gradaudit.targets.op import OpError

COARSER = ("bfloat16", "float16")
"""Dtypes that inputs may be rounded to, the coarsest first; TF32 has the digits of float16."""

INSIDE = 0.25
"""Largest nudge, in spacings of the coarser dtype at the least number of a binade: less than half at any other."""


def narrowed_to(subject: Subject) -> str | None:
    """Return the dtype that forward or backward rounds its arguments to first, if that is coarser than the case's."""
    given = spacing(subject.case.dtype)
    for dtype in COARSER:
        if spacing(dtype) <= given:
            continue
        nudged = _alike(subject, dtype, nudged=True)
        if any(nudged) and any(near and not far for near, far in zip(nudged, _alike(subject, dtype), strict=True)):
            return dtype
    return None


def _alike(subject: Subject, dtype: str, *, nudged: bool = False) -> tuple[bool, bool]:
    """Return whether forward, and backward, answer alike at rounded arguments and at others: nudged, else wide off."""
    rng = generator(subject.case, f"nudge {dtype}")
    size = INSIDE if nudged else 1.0 / spacing(dtype) / 8

    def near(array: Array) -> Array:
        name = dtype_name(array.dtype)
        if not is_floating(name) or is_complex(name):
            return copied(array)
        nudge = like(rng.uniform(0.1, 0.9, tuple(array.shape)), array) * size * spacing(dtype)
        return cast(array + array * cast(nudge, name), name)

    inputs = {name: _rounded(x, dtype) for name, x in subject.inputs.items()}
    upstream = tuple(_rounded(part, dtype) for part in subject.upstream)
    others = {name: near(x) for name, x in inputs.items()}
    try:
        outputs, there = subject.op.forward(inputs), subject.op.forward(others)
        forward = _same([outputs[k] for k in subject.counted], [there[k] for k in subject.counted])
        here = subject.op.backward(upstream, inputs, outputs)
        made = subject.op.backward(tuple(map(near, upstream)), others, there)
    except (OpError, IndexError):
        return False, False
    return forward, _same(*(_gradients(gradients) for gradients in (here, made)))


def _gradients(made: Mapping[str, Array | None]) -> list[Array]:
    return [gradient for gradient in made.values() if gradient is not None]


def _same(first: list[Array], second: list[Array]) -> bool:
    one, other = joined(tuple(map(copied, first))), joined(tuple(map(copied, second)))
    return one.shape == other.shape and bool((one == other).all())


def _rounded(array: Array, dtype: str) -> Array:
    name = dtype_name(array.dtype)
    return cast(cast(array, dtype), name) if is_floating(name) and not is_complex(name) else copied(array)
