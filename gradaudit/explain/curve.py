"""How the error of a central difference depends on its step: the picture behind every numerical gradient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.gradient.evaluation_point import EvaluationPoint, find_point, widened
from gradaudit.checks.subject import Subject, examine
from gradaudit.explain.path_curve import PathCurve, follow_path
from gradaudit.numerics.arrays import count, on_host
from gradaudit.numerics.axes import Axes
from gradaudit.numerics.derivative import (
    Difference,
    Differences,
    Estimate,
    Sampler,
    estimate_at_steps,
    estimate_derivatives,
)
from gradaudit.numerics.judging import judge
from gradaudit.numerics.loss import Loss
from gradaudit.numerics.magnitude import power_of_two
from gradaudit.results import Mismatch, Result
from gradaudit.spec.case import Case
from gradaudit.spec.draw import UndrawableError, generator
from gradaudit.targets import opened
from gradaudit.targets.op import LostOpError, OpError

Array = NDArray[Any]
Branch = Literal["truncation", "rounding"]

FINEST = -40
"""Doublings of the element's scale at which the curve begins, 1e-12: finer steps are lost in any float64."""

BELOW_CHOSEN = -12
"""Doublings of the chosen step that the curve begins at where that is finer still."""

MAX_POINTS = 60
"""Most differences in a curve: where the range is wider, steps are left out."""


class UntraceableError(Exception):
    """There is no curve, for the reason given."""


@dataclass(frozen=True)
class Point:
    """A central difference: its step, what it is off by, what rounding may do to it, and which error rules there."""

    step: float
    error: float
    rounding: float
    branch: Branch


@dataclass(frozen=True)
class StepCurve:
    """The error of a central difference at one index against its step.

    Attributes:
        index: where.
        part: the direction within the number, ``imaginary`` for that part of a complex one.
        dtype: what forward was differenced in.
        analytical: the claim there; of a complex one, that part.
        estimate: the best estimate of the truth, which errors are measured from.
        bound: what it may be off by.
        chosen_step: the finest step that the audit's own estimate was made with.
        tolerance: the difference allowed there.
        points: the curve, finest step first.

    """

    index: tuple[int, ...]
    part: Literal["real", "imaginary"]
    dtype: str
    analytical: float
    estimate: float
    bound: float
    chosen_step: float
    tolerance: float
    points: tuple[Point, ...]

    @property
    def difference(self) -> float:
        """What the claim and the estimate differ by."""
        return abs(self.analytical - self.estimate)


@dataclass(frozen=True)
class Traced:
    """What was traced of a gradient: the curve, or in ``trouble`` why there is none, and a path."""

    curve: StepCurve | None
    trouble: str = ""
    path: PathCurve | None = None


def trace_curve(case: Case, result: Result) -> Traced:
    """Return the curve at the worst index of a result, at the largest gradient where none is wrong, and a path."""
    with np.errstate(all="ignore"):
        try:
            with opened(case) as op:
                subject = examine(case, op)
                point = find_point(subject).on_host
                try:
                    return Traced(_traced(subject, point, result), path=follow_path(point, result))
                except UntraceableError as error:
                    return Traced(None, str(error), follow_path(point, result))
        except (OpError, LostOpError, UndrawableError, MemoryError) as error:
            return Traced(None, str(error) or "out of memory")


def _traced(subject: Subject, point: EvaluationPoint, result: Result) -> StepCurve:
    claimed = widened(_claim(subject, result))
    index = _place(claimed, result)
    loss = Loss(point.evaluate, point.inputs[result.input], point.upstream, point.outputs, point.spacing)
    loss.measure_noise(generator(subject.case, "noise"), index if result.method == "search" else None)
    part = _part(claimed[index], result.mismatches[:1])
    axes = loss.along(loss.place_of(index), 1j if part == "imaginary" else 1.0)
    number = complex(claimed[index])
    value = number.imag if part == "imaginary" else number.real
    start = subject.case.step or loss.step_at(index)
    chosen, best = _estimates(axes, value, start, result, fixed=subject.case.step is not None)
    if not math.isfinite(best.value):
        raise UntraceableError(f"forward is not finite, or jumps, around index {index}")
    return StepCurve(
        index=index,
        part=part,
        dtype=point.dtype,
        analytical=value,
        estimate=best.value,
        bound=best.bound,
        chosen_step=chosen.step,
        tolerance=result.atol + result.rtol * abs(best.value),
        points=_points(
            partial(axes.at, 0), best.value, _steps(float(abs(point.inputs[result.input][index])), chosen.step)
        ),
    )


def _claim(subject: Subject, result: Result) -> Array:
    claimed = subject.gradients.get(result.input)
    if claimed is None or claimed.shape != subject.inputs[result.input].shape:
        raise UntraceableError(f"backward gave no gradient of {result.input}'s shape")
    if not count(claimed):
        raise UntraceableError(f"{result.input} has no elements")
    return on_host(claimed)


def _place(claimed: Array, result: Result) -> tuple[int, ...]:
    if result.mismatches:
        return result.mismatches[0].index
    magnitudes = np.nan_to_num(np.abs(claimed), nan=0.0, posinf=0.0)
    return tuple(int(k) for k in np.unravel_index(int(np.argmax(magnitudes)), claimed.shape))


def _part(claimed: complex, worst: tuple[Mismatch, ...]) -> Literal["real", "imaginary"]:
    off = claimed - worst[0].numerical if worst else claimed
    return "imaginary" if abs(complex(off).imag) > abs(complex(off).real) else "real"


def _estimates(axes: Axes, claimed: float, start: float, result: Result, *, fixed: bool) -> tuple[Estimate, Estimate]:
    """Return the estimate that the audit decides by, and the best that can be had."""
    differences, one = (Differences(axes, np.array([step])) for step in (power_of_two(start), start))
    every = np.ones(1, np.bool_)

    def settled(made: Estimate) -> Any:
        judged = judge(claimed, made.value, made.bound, result.atol + result.rtol * abs(made.value))
        return judged.right | judged.wrong

    best = estimate_derivatives(differences, lambda _: ~every, every)
    chosen = estimate_at_steps(one) if fixed else estimate_derivatives(one, settled, every)
    chosen, best = chosen.at(0), best.at(0)
    return chosen if math.isfinite(chosen.step) else best, best


def _steps(size: float, chosen: float) -> list[float]:
    scale = power_of_two(max(1.0, size))
    last = round(math.log2(scale))
    first = last + FINEST
    if math.isfinite(chosen):
        first = min(first, round(math.log2(chosen)) + BELOW_CHOSEN)
    stride = -(-(last - first + 1) // MAX_POINTS)
    return [math.ldexp(1.0, power) for power in range(first, last + 1, stride)]


def _points(sample: Sampler, truth: float, steps: list[float]) -> tuple[Point, ...]:
    made = [(step, sample(step)) for step in steps]
    seen = [
        (step, difference)
        for step, difference in made
        if difference and math.isfinite(difference.central + difference.rounding)
    ]
    if not seen:
        raise UntraceableError("no step gives a finite difference on both sides")

    def total(entry: tuple[float, Difference]) -> float:
        return float(abs(entry[1].central - truth) + entry[1].rounding)

    best = min(seen, key=total)[0]
    return tuple(
        Point(step, abs(made.central - truth), made.rounding, "truncation" if step > best else "rounding")
        for step, made in seen
    )
