"""A case of a spec at the point where it was audited, to be called by hand: in a debugger, or at a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.numerics.arrays import on_host
from gradaudit.spec.case import Case
from gradaudit.spec.draw import draw_inputs, draw_upstream
from gradaudit.spec.errors import nearest
from gradaudit.spec.expand import Overrides
from gradaudit.spec.load import load_specs
from gradaudit.targets import open_op
from gradaudit.targets.op import Op
from gradaudit.targets.parameters import completed

Array = Any


@dataclass(frozen=True)
class Point:
    """An op with the inputs and the upstream that its case draws.

    Attributes:
        case: the case.
        op: its op, opened.
        inputs: the drawn inputs by name, in the case's dtype.
        outputs: what forward returned for them.
        upstream: one gradient for each output that counts.

    """

    case: Case
    op: Op
    inputs: Mapping[str, Array]
    outputs: tuple[Array, ...]
    upstream: tuple[Array, ...]

    def gradient(self, name: str) -> Array:
        """Call backward; return what it gives for an input, of the input's shape.

        Raises:
            OpError: where backward fails.

        """
        return self.op.backward(self.upstream, dict(self.inputs), self.outputs)[name]

    def difference(self, name: str, index: tuple[int, ...], step: float, *, narrow: bool = False) -> complex:
        """Return the central difference of forward at one index; of a complex input in both directions.

        Args:
            name: the input.
            index: the index.
            step: by how much the element is moved to either side.
            narrow: whether forward is called in the case's dtype, rather than in double precision.

        Raises:
            OpError: where forward fails.

        """
        real = self._difference(name, index, step, narrow)
        if self.inputs[name].dtype.kind != "c":
            return real
        return complex(real, self._difference(name, index, 1j * step, narrow))

    def _difference(self, name: str, index: tuple[int, ...], step: complex, narrow: bool) -> float:
        up, down = (self._outputs_at(name, index, sign * step, narrow) for sign in (1, -1))
        pairs = zip(self.upstream, up, down, strict=True)
        return float(sum(np.vdot(widened(on_host(u)), a - b).real for u, a, b in pairs)) / (2 * abs(step))

    def _outputs_at(self, name: str, index: tuple[int, ...], step: complex, narrow: bool) -> list[Array]:
        drawn = draw_inputs(self.case)
        moved = {key: (array if narrow else widened(array)).copy("K") for key, array in drawn.items()}
        moved[name][index] += step if moved[name].dtype.kind == "c" else step.real
        outputs = self.op.forward(moved)
        counted = self.op.differentiable_outputs(self.outputs)
        return [widened(on_host(outputs[k])).copy() for k in counted]


def point(spec: str | Path, case: str, *, seed: int | None = None) -> Point:
    """Return a case of a spec file at the point that it draws, forward called once.

    Args:
        spec: the file.
        case: the case's name as reports write it: ``module/op::case[dtype]``.
        seed: the seed to draw with, instead of the spec's.

    Raises:
        SpecError: where the file cannot be read.
        ValueError: where it has no such case; the message names the nearest.
        OpError: where forward fails.

    """
    dtype = case.rpartition("[")[2].removesuffix("]")
    cases = load_specs([Path(spec)], Overrides(dtypes=(dtype,), seed=seed)).cases
    found = next((made for made in cases if made.id == case), None)
    if found is None:
        raise ValueError(f"{spec} has no case '{case}'{nearest(case, [made.id for made in cases])}")
    op = open_op(found)
    found = completed(found, op)
    inputs = draw_inputs(found)
    outputs = op.forward(inputs)
    counted = op.differentiable_outputs(outputs)
    upstream = tuple(draw_upstream(found, k, outputs[k].shape, outputs[k].dtype) for k in counted)
    return Point(found, op, inputs, outputs, upstream)
