"""What became of a model in training: frozen data that a spec's expectations are held against."""

from __future__ import annotations

from dataclasses import dataclass

from gradaudit.results import Measured


@dataclass(frozen=True)
class Moment:
    """A step of training: its epoch, and which batch of that epoch; both count from 1."""

    epoch: int
    batch: int

    def __str__(self) -> str:
        return f"epoch {self.epoch}, batch {self.batch}"


@dataclass(frozen=True)
class Passage:
    """What became of one parameter.

    Attributes:
        shape: its sizes.
        answered: steps after which it held a gradient.
        told: steps after which that gradient was not zero everywhere.
        pull: the sum over all steps of the largest element of the gradient, by magnitude.
        nonfinite: the first step whose gradient was not finite, None for none.
        moved: the largest change of any of its elements, from the first value to the last.
        spacing: from its largest element to the next number of its dtype: what a smaller change is lost in.
        norms: of its gradient, from the first step to the last, 0 for none; rms over some steps where they are many.

    """

    shape: tuple[int, ...]
    answered: int
    told: int
    pull: float
    nonfinite: Moment | None
    moved: float
    spacing: float
    norms: tuple[float, ...] = ()


@dataclass(frozen=True)
class Course:
    """What was seen while a model was trained.

    Attributes:
        measured: loss and accuracy over all data, before the first epoch and after some of the others, the last too.
        parameters: what became of each, by its path.
        steps: how often the parameters were changed.
        forwards: how often the model was called.
        seconds: processor time that training took.
        diverged: the step at which the loss was not finite any more, where training ended; None where it never was.

    """

    measured: tuple[Measured, ...]
    parameters: dict[str, Passage]
    steps: int
    forwards: int
    seconds: float
    diverged: Moment | None = None
