"""The claim of a case's backward about its forward, to be followed along paths."""

from __future__ import annotations

import math

import numpy as np

from gradaudit.checks.gradient.evaluation_point import EvaluationPoint
from gradaudit.numerics.arrays import Array, as_reals, cast, copied, dtype_name, on_host
from gradaudit.numerics.path.claim import Domain, PathClaim, UnansweredError, rounded
from gradaudit.spec.dtypes import is_floating, spacing
from gradaudit.targets.op import OpError


class Counted(tuple[Array, ...]):
    """The outputs that count, with all that forward returned."""

    whole: tuple[Array, ...]


def path_claim(point: EvaluationPoint, names: tuple[str, ...], unit: float = 0.0) -> PathClaim:
    """Return the claim about some inputs; values stay in the ranges that the spec declares, if they are there.

    Args:
        point: where forward is called; inputs stay arrays of its framework, in its dtype.
        names: of real inputs.
        unit: unit roundoff of what backward computes in.

    """
    subject = point.subject
    wanted = [kind and tuple(kind[1]) for kind in point.kinds]
    coarse = spacing(point.narrowed) / 2 if point.narrowed else 0.0

    def read(x: Array) -> Array:
        """Return what an op reads of an array, with the digits that it rounds to: it may cut off the others instead."""
        dtype = dtype_name(x.dtype)
        rounds = coarse and is_floating(dtype)
        return cast(rounded(as_reals(x), coarse), dtype).reshape(x.shape) if rounds else copied(x)

    def forward(inputs: dict[str, Array]) -> Counted:
        try:
            outputs = subject.op.forward({name: subject.in_layout(name, read(x)) for name, x in inputs.items()})
        except OpError as error:
            raise UnansweredError(str(error)) from error
        found = [outputs[k] if k < len(outputs) else None for k in subject.counted]
        if [None if out is None else tuple(out.shape) for out in found] != wanted:
            raise UnansweredError("forward returned outputs of other shapes along a path")
        counted = Counted(copied(out) for out in found if out is not None)
        counted.whole = tuple(None if out is None else copied(out) for out in outputs)
        return counted

    def backward(upstream: tuple[Array, ...], inputs: dict[str, Array], outputs: tuple[Array, ...]) -> dict[str, Array]:
        whole = outputs.whole if isinstance(outputs, Counted) else outputs
        given = {name: subject.in_layout(name, read(x)) for name, x in inputs.items()}
        try:
            made = point.answered(upstream, given, whole, any_dtype=True)
        except OpError as error:
            raise UnansweredError(str(error)) from error
        if missing := [name for name in names if name not in made]:
            raise UnansweredError(f"backward returned no usable gradient of {', '.join(missing)} along a path")
        return {name: made[name] for name in names}

    upstream = tuple(map(on_host, subject.upstream)) if isinstance(point.outputs, np.ndarray) else subject.upstream
    upstream = tuple(map(read, upstream)) if coarse else upstream
    return PathClaim(forward, backward, point.inputs, upstream, names, _domains(point), unit)


def _domains(point: EvaluationPoint) -> dict[str, Domain]:
    """Return the declared ranges of inputs whose values lie in them."""
    found: dict[str, Domain] = {}
    for made in point.subject.case.inputs:
        x = point.inputs[made.name]
        if made.range is None or not is_floating(dtype_name(x.dtype)) or not math.prod(x.shape):
            continue
        low, high = map(float, made.range)
        if low <= float(x.min()) and float(x.max()) <= high:
            found[made.name] = low, high
    return found
