"""What a path test found: material for a verdict, never one by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Resolution:
    """The smallest errors that would surely have been seen, relative to what matters; infinite where nothing would.

    Attributes:
        index: at a single element, relative to the larger of its gradient and the input's rms gradient: the worst; no
            less than an error that all elements may share with what is tolerated.
        blocks: a relative error that all elements of a block share: the worst block.
        whole: one that all elements of the input share.

    """

    index: float
    blocks: float
    whole: float


@dataclass(frozen=True)
class Culprit:
    """Part of an input where the claim is wrong, shown on fresh paths that moved this part alone.

    Attributes:
        input: its name.
        kind: ``index``, ``block`` or ``input``.
        places: positions in C order of the elements that were moved.
        error: what is claimed less the truth, on average along paths: at an index; else over the truth, as a sum over
            its elements, infinite where that is next to nothing.
        scattered: whether the error is a root mean square over blocks instead, relative to what they claim.
        bound: of that error.
        trend: root mean square of what these elements add to the loss along a path beyond what is claimed.
        reach: of their displacements along it, one each.
        worst: position of the element whose displacements the trend follows most closely.

    """

    input: str
    kind: Literal["index", "block", "input"]
    places: NDArray[np.intp]
    error: float
    bound: float
    trend: float
    reach: Floats
    worst: int
    scattered: bool = False


@dataclass(frozen=True)
class InputReport:
    """What the paths say of one input's gradient; arrays have its shape and are NumPy's.

    Attributes:
        name: of the input.
        estimate: what is claimed less the truth, if no other element of the same block is wrong.
        bound: how large an error forward's noise, quadrature and rounding may hide at each element; infinite where no
            path moved the element.
        resolution: at three levels.
        undecided: elements where an error above the goal could be.

    """

    name: str
    estimate: Floats
    bound: Floats
    resolution: Resolution
    undecided: int


@dataclass(frozen=True)
class PathReport:
    """What a path test found.

    Attributes:
        inputs: by name.
        culprits: where the claim is wrong for sure.
        unexplained: what is left open: a sentence each, empty where nothing is.
        paths_needed: how many paths of each group would reach the goal at every index, by input; None where no number
            would.
        paths: how many there were, by input.
        noise: scatter of forward's loss along a path, a standard deviation: many times what rounding to its dtype comes
            to where forward itself jumps. What paths say is no accusation then, unless differences say it too.
        forwards: calls made.
        backwards: likewise.

    """

    inputs: dict[str, InputReport]
    culprits: tuple[Culprit, ...]
    unexplained: tuple[str, ...]
    paths: dict[str, int]
    paths_needed: dict[str, int | None]
    noise: float
    forwards: int
    backwards: int

    @property
    def passes(self) -> bool:
        """Whether no trend was seen, and none could have been hidden at any element."""
        return not self.culprits and not self.unexplained
