"""Where forward is differenced: in float64 if it can be, else in the case's own dtype."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks.subject import Snapshot, Subject, mutations
from gradaudit.numerics.loss import Floats, lifted
from gradaudit.results import Finding
from gradaudit.spec.draw import laid_out
from gradaudit.spec.dtypes import is_complex, is_floating, spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

WIDE = (np.dtype(np.float64), np.dtype(np.complex128))


@dataclass
class Ground:
    """A point and a dtype to difference forward in.

    Attributes:
        subject: the op and its case.
        inputs: lifted to float64 where forward is generic in dtype, else as the case has them.
        outputs: the counted outputs there, as ``lifted`` returns them.
        upstream: likewise.
        dtype: name of the coarsest dtype that forward returns there.
        findings: what was noticed while forward was called here.

    """

    subject: Subject
    inputs: Mapping[str, Array]
    outputs: Floats
    upstream: Floats
    dtype: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def generic(self) -> bool:
        """Whether forward gives float64 for float64, so that it is differenced there."""
        return self.dtype == "float64"

    def evaluate(self) -> Floats:
        """Call forward on the present inputs and return its counted outputs, NaN where it raises.

        Inputs that forward changes are put back and reported, so that the next call sees what it should.

        Raises:
            OpError: where the outputs have another size than at the unperturbed point.

        """
        before = Snapshot.of(self.inputs)
        try:
            outputs = self.subject.op.forward(self.inputs)
        except OpError:  # a perturbed value may have left the domain of an op that raises there
            return np.full_like(self.outputs, np.nan)
        finally:
            changed = mutations("forward", before)
            if changed and not self.findings:
                self.findings += changed
        flat = lifted(tuple(outputs[k] for k in self.subject.counted))
        if flat.shape != self.outputs.shape:
            raise OpError(f"forward returned {flat.size} numbers at a perturbed input, {self.outputs.size} before")
        return flat


def find_ground(subject: Subject) -> Ground:
    """Return the float64 ground where forward gives float64 for it, else the case's own."""
    upstream = lifted(subject.upstream)
    native = tuple(subject.outputs[k] for k in subject.counted)
    wide = {made.name: laid_out(widened(subject.inputs[made.name]), made.layout) for made in subject.case.inputs}
    try:
        outputs = subject.op.forward(wide)
        lifts = tuple(outputs[k] for k in subject.counted)
    except (OpError, IndexError):
        lifts = native
    if all(out.dtype in WIDE for out in lifts) and [out.shape for out in lifts] == [out.shape for out in native]:
        return Ground(subject, wide, lifted(lifts), upstream, "float64")
    coarsest = max((out.dtype.name for out in native), key=spacing)
    inputs = {name: array.copy() for name, array in subject.inputs.items()}
    return Ground(subject, inputs, lifted(native), upstream, coarsest)


def widened(array: Array) -> Array:
    """Return a floating array in double precision, another as it is."""
    name = array.dtype.name
    return array.astype(WIDE[is_complex(name)]) if is_floating(name) else array
