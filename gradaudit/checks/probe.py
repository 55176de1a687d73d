"""An op called again and again, each call counted: what the checks beside the gradient's own work with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gradaudit.checks.agreement import Change, change, exceeding, known
from gradaudit.checks.gradient.evaluation_point import EvaluationPoint, is_wide, widened
from gradaudit.checks.subject import Subject, broken_contract
from gradaudit.numerics.arrays import Array, cast, copied, count, dtype_name, joined, largest, like
from gradaudit.numerics.magnitude import rms
from gradaudit.results import Result, Verdict, worst
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES, is_floating, spacing
from gradaudit.targets.op import Op, OpError

Upstream = tuple[Array, ...]


@dataclass(frozen=True)
class Point:
    """Inputs, and all outputs that forward gave for them."""

    inputs: dict[str, Array]
    outputs: tuple[Any, ...]


class Probe:
    """The op of a case at the point where its gradient was audited: in float64 where its backward is generic.

    Calls are not watched for changes of what they are given: those made before this were, and what changes its inputs
    has been told of by then.

    Args:
        subject: the op, fed and called once.
        point: where its forward was differenced.
        results: what the audit of the gradient found.

    Attributes:
        point: as above.
        wide: whether the point is another than the subject's: its inputs lifted to float64.
        claimed: names of the inputs whose gradient can be compared at all.
        outputs: the counted outputs of the first forward at this point, as ``lifted`` returns them.
        gradients: what backward answered for the claimed inputs at this point when it was first asked.
        rounding: distance from 1 to the next number of the dtype that forward computes in.

    """

    def __init__(self, subject: Subject, point: EvaluationPoint, results: list[Result]) -> None:
        self.subject = subject
        self.point = point
        self.case = subject.case
        self.op: Op = subject.op
        self.results = results
        self.counted = subject.counted_of
        self.claimed = tuple(name for name in subject.gradients if _usable(subject, name))
        lifted = point.generic and point.inputs is not subject.inputs
        self.wide = wide = lifted and set(self.claimed) <= set(point.formula)
        self.inputs = point.inputs if wide else subject.inputs
        self.upstream = tuple(map(widened, subject.upstream)) if wide else subject.upstream
        self.outputs = point.outputs if wide else joined(self.counted(subject.outputs))
        formula = point.formula if wide else subject.gradients
        self.gradients = {name: _numbers(made) for name in self.claimed if (made := formula[name]) is not None}
        native = [dtype_name(x.dtype) for x in (*subject.inputs.values(), *subject.upstream) if not is_wide(x)]
        self.spacing = spacing("float64" if wide or not native else max(native, key=spacing))
        self.rounding = spacing(point.dtype)
        self._scales: dict[str, float] = {}

    @cached_property
    def base(self) -> Point:
        """The audited point."""
        return Point(self.inputs, self.forward(self.inputs) if self.wide else self.subject.outputs)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict on a gradient."""
        return worst([result.verdict for result in self.results])

    @cached_property
    def backward_inputs(self) -> frozenset[str] | None:
        """The inputs that backward is given; None where it is given outputs too, or is not known to lack anything.

        An op that is given less leans on what its last forward saved, as layers do that are classes.
        """
        args: tuple[str, ...] | None = getattr(self.op, "args", None)
        if args is None or any(word.startswith("output") for word in args if word not in self.inputs):
            return None
        return frozenset(args) & frozenset(self.inputs)

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Any, ...]:
        """Return copies of all outputs of forward.

        Raises:
            OpError: where forward gives nothing usable.

        """
        # What is no array stays None.
        return tuple(out if out is None else copied(out) for out in self.op.forward(inputs))

    def backward(self, point: Point, upstream: Upstream, *, fleeting: bool = False) -> dict[str, Array]:
        """Return the claimed gradients; where backward is told no input, its own forward is called first.

        Copies, unless they are fleeting: done with before the op is called again.

        Raises:
            OpError: where backward gives no usable gradient there.

        """
        if self.backward_inputs == frozenset():
            self.forward(point.inputs)
        return self.backward_only(point, upstream, fleeting=fleeting)

    def backward_only(self, point: Point, upstream: Upstream, *, fleeting: bool = False) -> dict[str, Array]:
        """Return the claimed gradients as ``backward`` does, whatever forward was called with last.

        Raises:
            OpError: where backward gives no usable gradient there.

        """
        made = self.op.backward(upstream, point.inputs, point.outputs)
        given = {name: gradient for name in self.claimed if (gradient := made.get(name)) is not None}
        gradients = {name: _numbers(gradient if fleeting else copied(gradient)) for name, gradient in given.items()}
        for name in self.claimed:
            if name not in gradients or gradients[name].shape != point.inputs[name].shape:
                raise OpError(f"backward returned no gradient of {name} in its second call")
        return gradients

    def roundoff_of_backward(self, point: Point, upstream: Upstream, answer: Mapping[str, Array]) -> dict[str, float]:
        """Return how far rounding takes each answer of backward: measured, as it may compute in a coarser dtype.

        At two upstreams to either side of the first a linear backward is off from it by opposites. They are one spacing
        of bfloat16 away, which every dtype has room for.

        Raises:
            OpError: where backward gives no usable gradient there.

        """
        rng = generator(self.case, "nudged upstream")
        nudges = [like(spacing("bfloat16") * rng.choice((-1.0, 1.0), tuple(part.shape)), part) for part in upstream]
        above, below = (
            self.backward(
                point, tuple(_nudged(part, side * nudge) for part, nudge in zip(upstream, nudges, strict=True))
            )
            for side in (1.0, -1.0)
        )
        return {
            name: largest(abs(widened(above[name]) + widened(below[name]) - 2 * widened(answer[name]))) / 2
            for name in self.claimed
        }

    def gradient_change(self, name: str, first: Array, second: Array) -> Change:
        """Return where two answers for an input differ by more than the order of summation may make them."""
        return change(first, second, self.natural_scale(name), self.terms)

    def change_that_matters(self, name: str, first: Array, second: Array) -> Change:
        """Return where two answers for an input differ by more than they may be off by themselves."""
        seen = self.gradient_change(name, first, second)
        if not seen or first.shape != second.shape or first.dtype != second.dtype:
            return seen
        was, now = widened(first), widened(second)
        tolerance = self.case.tolerance or DEFAULT_TOLERANCES[self.case.dtype]
        return exceeding(was, now, max(seen.allowed, tolerance.rtol * rms(was)))

    def natural_scale(self, name: str) -> float:
        """Return the magnitude that a gradient has where nothing cancels: upstream times outputs over inputs."""
        if name not in self._scales:
            self._scales[name] = self._loss_scale / (_size(self.subject.inputs[name]) or 1.0)
        return self._scales[name]

    @cached_property
    def terms(self) -> int:
        """How many terms an element of a gradient may be a sum of."""
        return max(count(out) for out in self.subject.outputs if out is not None)

    @cached_property
    def _loss_scale(self) -> float:
        outputs = self.subject.outputs
        same = self.point.inputs is self.subject.inputs
        size = self.point.size if same else _size(*(outputs[k] for k in self.subject.counted))
        return rms(joined(self.subject.upstream)) * size


def _size(*arrays: Array) -> float:
    """Return the rms of what is finite in some arrays."""
    numbers = joined(arrays)
    size = rms(numbers)
    return size if math.isfinite(size) else rms(known(numbers))


def _numbers(gradient: Array) -> Array:
    """Return a gradient as numbers that can be subtracted, which truth values cannot."""
    return gradient if is_floating(dtype_name(gradient.dtype)) else cast(gradient, "float64")


def _nudged(part: Array, nudge: Array) -> Array:
    return cast(part + part * nudge, dtype_name(part.dtype))


def _usable(subject: Subject, name: str) -> bool:
    gradient = subject.gradients[name]
    wanted = any(made.name == name and made.differentiable for made in subject.case.inputs)
    return wanted and broken_contract(name, subject.inputs[name], gradient, answered=True) is None
