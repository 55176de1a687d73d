"""An op called again and again, each call counted: what the checks beside the gradient's own work with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.contract import broken_contract
from gradaudit.checks.gradient.ground import Ground, is_wide, widened
from gradaudit.checks.subject import Subject
from gradaudit.numerics.directional import Directional
from gradaudit.numerics.loss import Floats, joined, lifted, rms
from gradaudit.results import Result, Verdict, worst
from gradaudit.spec.draw import generator
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import Op, OpError

Array = NDArray[Any]
Upstream = tuple[Array, ...]

STEP_FOR_DOUBLE = 2.0**-14
"""Step in float64, in units of the inputs: so wide that even a forward that computes in float32 inside is heard over
its rounding, so narrow that few elements cross a kink."""

STEP_FOR_NARROW = 2.0**-7
"""Likewise where forward is differenced in a narrower dtype."""

AGREED = 1e-3
"""Relative error of a directional derivative up to which a claim is borne out."""

ROUNDINGS = 16.0
"""Roundings that a directional derivative, and a claim in a narrow dtype, are allowed."""

FARTHEST = 7
"""Elements are displaced by up to so many steps, so that errors at a few of them do not cancel."""

CLOSER = 64.0
"""How much closer to the point a one-sided difference looks for the error that a central one shows."""

CONFIRMED = 0.01
"""Relative difference between what the two show of an error that is no artefact of a kink, of noise, or of the step."""


@dataclass(frozen=True)
class Point:
    """Inputs, and all outputs that forward gave for them."""

    inputs: Mapping[str, Array]
    outputs: tuple[Any, ...]


class Probe:
    """The op of a case at the point where its gradient was audited: in float64 where its backward is generic.

    Calls are not watched for changes of what they are given: those made before this were, and what changes its inputs
    has been told of by then.

    Args:
        subject: the op, fed and called once.
        ground: where its forward was differenced.
        results: what the audit of the gradient found.

    Attributes:
        wide: whether the point is another than the subject's: its inputs lifted to float64.
        claimed: names of the inputs whose gradient can be compared at all.
        outputs: the counted outputs of the first forward at this point, as ``lifted`` returns them.
        gradients: what backward answered for the claimed inputs at this point when it was first asked.
        evaluations: calls of forward so far.

    """

    def __init__(self, subject: Subject, ground: Ground, results: list[Result]) -> None:
        self.subject = subject
        self.case = subject.case
        self.op: Op = subject.op
        self.results = results
        self.claimed = tuple(name for name in subject.gradients if _usable(subject, name))
        self.wide = wide = self._lifted(ground)
        self.inputs = ground.inputs if wide else subject.inputs
        self.upstream = tuple(map(widened, subject.upstream)) if wide else subject.upstream
        self.outputs = ground.outputs if wide else joined(self.counted(subject.outputs))
        formula = ground.formula if wide else subject.gradients
        self.gradients = {name: np.asarray(formula[name]) for name in self.claimed}
        native = [array for array in (*subject.inputs.values(), *subject.upstream) if not is_wide(array)]
        self.spacing = spacing("float64" if wide or not native else max((a.dtype.name for a in native), key=spacing))
        self.evaluations = 0
        self._last: Mapping[str, Array] | None = None

    def _lifted(self, ground: Ground) -> bool:
        return ground.inputs is not self.subject.inputs and set(self.claimed) <= set(ground.formula)

    @cached_property
    def base(self) -> Point:
        """The audited point."""
        return Point(self.inputs, self.forward(self.inputs) if self.wide else self.subject.outputs)

    @property
    def verdict(self) -> Verdict:
        """The worst verdict on a gradient."""
        return worst([result.verdict for result in self.results])

    @cached_property
    def told(self) -> frozenset[str] | None:
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
        self.evaluations += 1
        self._last = inputs
        # Copies, as an op may reuse its buffers; what is no array stays None.
        return tuple(out if out is None else out.copy() for out in self.op.forward(inputs))

    def counted(self, outputs: tuple[Any, ...]) -> tuple[Array, ...]:
        """Return the outputs that upstream gradients belong to.

        Raises:
            OpError: where one is missing.

        """
        if any(k >= len(outputs) or outputs[k] is None for k in self.subject.counted):
            raise OpError("forward returned other outputs than before")
        return tuple(outputs[k] for k in self.subject.counted)

    def backward(self, point: Point, upstream: Upstream) -> dict[str, Array]:
        """Return copies of the claimed gradients; backward that is told no input is called after its own forward.

        Raises:
            OpError: where backward gives no usable gradient there.

        """
        if self.told == frozenset() and self._last is not point.inputs:
            self.forward(point.inputs)
        return self.backward_as_things_are(point, upstream)

    def backward_as_things_are(self, point: Point, upstream: Upstream) -> dict[str, Array]:
        """Return copies of the claimed gradients, whatever forward was called with last.

        Raises:
            OpError: where backward gives no usable gradient there.

        """
        made = self.op.backward(upstream, point.inputs, point.outputs)
        gradients = {name: made.get(name) for name in self.claimed}
        copies = {name: gradient.copy() for name, gradient in gradients.items() if gradient is not None}
        for name in self.claimed:
            if name not in copies or copies[name].shape != point.inputs[name].shape:
                raise OpError(f"backward gave no gradient of {name} when it was called again")
        return copies

    def natural_scale(self, name: str) -> float:
        """Return the magnitude that a gradient has where nothing cancels: upstream times outputs over inputs."""
        outputs = self.subject.outputs
        size = rms(joined(tuple(outputs[k] for k in self.subject.counted)))
        return rms(joined(self.subject.upstream)) * size / (rms(joined((self.subject.inputs[name],))) or 1.0)

    def derivative_error(self, point: Point, gradients: Mapping[str, Array], direction: str) -> float:
        """Return the relative error of what gradients say of forward's derivative along one random direction.

        Args:
            point: where they are claimed; its inputs are displaced and restored bit by bit.
            gradients: the claims, by input, of the inputs' shapes.
            direction: a name for the direction; another name is another direction.

        Returns:
            0 where the claim is borne out, the relative error where two differences agree that it is contradicted,
            NaN where forward cannot tell.

        """
        line = self._line(point, gradients)
        rng = generator(self.case, f"direction {direction}")
        along: Array = rng.integers(1, FARTHEST, line.size, np.int8, endpoint=True)  # a byte for each element
        along *= rng.integers(0, 1, line.size, np.int8, endpoint=True) * 2 - 1
        claim = float(np.linalg.norm(line.claims * along))
        step = (STEP_FOR_DOUBLE if self.spacing <= spacing("float64") else STEP_FOR_NARROW) * line.scale()
        noise = ROUNDINGS * self.spacing * line.signal() / step
        narrow = max(spacing(gradient.dtype.name) for gradient in gradients.values())
        allowed = max(AGREED, ROUNDINGS * narrow) * claim
        first = line.excess(0, along, step)
        if abs(first) <= allowed + noise:
            return 0.0 if noise <= allowed else math.nan
        if not abs(first - line.excess_one_sided(0, along, step / CLOSER)) <= CONFIRMED * abs(first):
            return math.nan
        return abs(first) / (claim or abs(first))

    def _line(self, point: Point, gradients: Mapping[str, Array]) -> Directional:
        outputs = joined(self.counted(point.outputs))

        def outputs_now() -> Floats:
            with suppress(OpError):
                now = lifted(self.counted(self.forward(point.inputs)))
                self._last = None  # forward was not called at the point itself
                if now.shape == outputs.shape:
                    return now
            return np.full_like(outputs, np.nan)

        inputs = [point.inputs[name] for name in gradients]
        claims = [widened(gradient) for gradient in gradients.values()]
        return Directional(outputs_now, inputs, claims, joined(self.upstream), outputs)


def _usable(subject: Subject, name: str) -> bool:
    gradient = subject.gradients[name]
    wanted = any(made.name == name and made.differentiable for made in subject.case.inputs)
    return wanted and broken_contract(name, subject.inputs[name], gradient, answered=True) is None


def at_other_inputs(point: Point, inputs: Mapping[str, Array]) -> Point:
    """Return a point with some of its inputs exchanged."""
    return replace(point, inputs={**point.inputs, **inputs})
