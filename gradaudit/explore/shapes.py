"""Shapes that no case of a spec shows: an axis more or less, or of size one and broadcast, where forward takes it.

Nobody said that the op is meant for those. A backward may refuse them, by raising or by a gradient of another shape;
what it answers has to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Case, Input
from gradaudit.spec.dtypes import is_floating
from gradaudit.spec.op_targets import LibraryTarget, ProcessTarget

Takes = Callable[[Case], bool]
"""Whether forward takes a case."""

MOST_ASKED = 16
"""Other shapes that forward is asked about, the plainest first: an op has ten, and one of many inputs hundreds."""

MORE = 2
"""Size of an axis that is added, where forward is asked whether it takes one."""

REFUSALS = ("shape-mismatch", "dtype-mismatch", "broadcast-not-reduced", "missing-gradient")
"""Findings of a backward that gives no gradient that could be taken for one."""


@dataclass(frozen=True)
class OtherShape:
    """Inputs of one shape with an axis more, at the front and of a size, one less there, or one axis of size one."""

    names: tuple[str, ...]
    change: Literal["more", "less", "one"]
    axis: int = 0
    size: int = MORE

    def of(self, case: Case) -> Case:
        """Return a case with that shape, values and upstream drawn anew."""
        inputs = tuple(self._input(made) if made.name in self.names else made for made in case.inputs)
        upstream = case.upstream if isinstance(case.upstream, str) else "random"
        return replace(case, inputs=inputs, upstream=upstream)

    def _input(self, made: Input) -> Input:
        shape = list(made.shape)
        if self.change == "more":
            shape.insert(0, self.size)
        elif self.change == "less":
            del shape[0]
        elif self.axis < len(shape):
            shape[self.axis] = 1
        return replace(drawn_anew(made), shape=tuple(shape), columns=() if self.change == "less" else made.columns)


def other_shapes(case: Case, takes: Takes) -> tuple[OtherShape, ...]:
    """Return the other shapes that forward takes; C and other processes take whatever they are given."""
    if isinstance(case.target, (LibraryTarget, ProcessTarget)):
        return ()
    candidates = [shape for _, shape in zip(range(MOST_ASKED), _candidates(case.inputs), strict=False)]
    taken = [shape for shape in candidates if takes(shape.of(case))]
    return tuple(each for shape in taken for each in ([replace(shape, size=1)] * (shape.change == "more") + [shape]))


def _candidates(inputs: Sequence[Input]) -> Iterator[OtherShape]:
    free = [made for made in inputs if (made.values is None or is_redrawn(made)) and not made.columns]
    alike = tuple(made.name for made in free if made.shape == free[0].shape)
    groups = [alike] * (len(alike) > 1) + [(made.name,) for made in free]
    axes = {made.name: len(made.shape) for made in free}
    sizes = {made.name: made.shape for made in free}
    yield from (OtherShape(names, "more") for names in groups)
    yield from (OtherShape(names, "less") for names in groups if axes[names[0]])
    for names in groups:
        yield from (OtherShape(names, "one", axis) for axis, size in enumerate(sizes[names[0]]) if size > 1)


def is_refused(results: Sequence[Result]) -> bool:
    """Whether backward answers for a shape that nobody said it takes with no gradient at all."""
    findings = [finding for one in results for finding in one.findings]
    raised = any(one.verdict is Verdict.ERROR for one in results) or any("raised" in made.evidence for made in findings)
    return raised or any(finding.code in REFUSALS for finding in findings)


def is_redrawn(made: Input) -> bool:
    """Whether other values than the explicit ones may be drawn for an input: whole numbers as large as those."""
    return not is_floating(made.dtype) and made.dtype != "bool"


def drawn_anew(made: Input) -> Input:
    """Return an input whose explicit values are whole numbers as one that draws such; others as they are."""
    if made.values is None or not is_redrawn(made) or not np.size(made.values):
        return made
    ends = (float(np.min(made.values)), float(np.max(made.values)))
    return replace(made, values=None, distribution="integers", range=ends)
