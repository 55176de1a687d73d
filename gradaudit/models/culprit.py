"""What makes gradients wrong: places where parts of them are lost, and steps whose backward is wrong."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.cut import Way
from gradaudit.models.graph import Walk
from gradaudit.models.motion import motion
from gradaudit.models.on_tape import wrong_on_tape
from gradaudit.models.recording import Recorded, step_in_words
from gradaudit.models.steps import WRONG, WrongStep, look_at_steps
from gradaudit.models.subject import FlowSubject
from gradaudit.models.tapes.tape import Tensor
from gradaudit.targets.op import OpError

Array = NDArray[Any]

REWRITTEN = 1e-3
"""Share of its largest value by which an array that was changed differs, not one that was rounded as it was made."""

MOST_NAMED = 5
"""Steps that are named; where more of them are in question, little is known."""


def _one_of(steps: Sequence[WrongStep]) -> str:
    if len(steps) == 1:
        return steps[0].in_words()
    return "one of these steps has a wrong backward: " + ", ".join(step_in_words(s.name, s.place) for s in steps)


@dataclass(frozen=True)
class _Found:
    """The wrong steps of a run, each with those that it cannot be told from.

    Attributes:
        base: the run.
        steps: the steps.
        alone: whether all of them were taken alone, those behind a cut too.

    """

    base: Recorded
    steps: Sequence[tuple[WrongStep, ...]]
    alone: bool = False

    def on_way(self, name: str, way: Way) -> tuple[tuple[WrongStep, ...], ...]:
        """Return those that a parameter's gradient passes, or would where the tape is cut."""
        tensor = self.base.tensor(name)
        beyond = way.steps if way.cuts and self.alone else ()
        return tuple(
            each
            for each in self.steps
            if any(_is_on_way(self.base.from_loss, tensor, step) or (step.name, step.place) in beyond for step in each)
        )


class Culprits:
    """What is to blame for some wrong gradients; what takes runs of the model is looked for when it is asked for.

    Args:
        subject: the model.
        wrong: the parameters whose gradients are wrong.
        along: by name, the gradients that differences show.

    """

    def __init__(self, subject: FlowSubject, wrong: Sequence[str], along: Mapping[str, Array]) -> None:
        self.subject = subject
        self.wrong = wrong
        self.along = along

    def of(self, name: str) -> str:
        """Return in words where parts of one are lost, and the wrong steps on its way; nothing where none is known."""
        way = self.subject.way(name, along=self.along)
        steps = self._steps.on_way(name, way)
        others = [] if steps else list(self._others(name))
        said = [way.in_part()] if way.cuts else []
        return "; and ".join([*said, *dict.fromkeys(map(_one_of, steps[:MOST_NAMED])), *dict.fromkeys(others)])

    def of_lost(self, name: str) -> Sequence[str]:
        """Return in words the wrong steps on the way of a parameter that no gradient reaches."""
        way = self.subject.way(name)
        steps = self._steps.on_way(name, way) if self._steps.alone else self._before_cut(name, way)
        return [*dict.fromkeys(_one_of(each) for each in steps)]

    @cached_property
    def _steps(self) -> _Found:
        subject = self.subject
        for arrays in (subject.wide, subject.arrays):
            try:
                looked = look_at_steps(subject.op, arrays)
            except OpError:
                continue
            if looked is None:
                break
            run, wrong = looked
            return _Found(Recorded(subject.op, arrays, run, (), ()), [(step,) for step in wrong], alone=True)
        held = {cut.position for name in self.wrong for cut in subject.way(name, along=self.along).cuts if not cut.node}
        return self._balancing(subject.recorded, self.wrong, held) if self.wrong else _Found(subject.recorded, [])

    def _balancing(self, base: Recorded, wrong: Sequence[str], held: Collection[int]) -> _Found:
        """Return the wrong steps of a tape whose steps cannot be taken alone."""
        try:
            found = wrong_on_tape(motion(base, held), wrong)
        except OpError:
            return _Found(base, [])
        return _Found(base, [tuple(_with_rewritten(base, step) for step in steps) for steps in found])

    def _before_cut(self, name: str, way: Way) -> Sequence[tuple[WrongStep, ...]]:
        """Return the wrong steps between a parameter and where the tape loses it: reverse mode begins there."""
        last = way.cuts[0].before if way.cuts else -1
        if last < 0:
            return []
        if last not in self._behind:
            whole = self.subject.recorded.anew()
            part = replace(whole, run=replace(whole.run, loss=whole.creations[last].tensor))
            self._behind[last] = self._balancing(part, [name], ())
        return self._behind[last].on_way(name, way)

    @cached_property
    def _behind(self) -> dict[int, _Found]:
        return {}

    def _others(self, name: str) -> Iterator[str]:
        """Yield in words what else may change a gradient: hooks, and arrays that were changed past the tape."""
        base = self.subject.recorded
        above = base.from_loss.above(id(base.tensor(name)))
        for k, made in enumerate(base.creations):
            if base.keys[k] not in above:
                continue
            if base.tape.hooked(made.tensor):
                yield f"the hook on the output of {base.said(k)} changes its gradient"
            if _rewritten(base, k):
                yield f"the output array of {base.said(k)} was changed in place"
        if base.tape.hooked(base.tensor(name)):
            yield f"the hook on {name} may change its gradient"


def _with_rewritten(base: Recorded, step: WrongStep) -> WrongStep:
    """Return a step with the word that what it was made from, or made, was changed in place, where that is so."""
    touched = {step.node.identity, *step.keys}
    changed = (k for k in range(len(base.creations)) if base.keys[k] in touched and _rewritten(base, k))
    said = next((f"the output array of {base.said(k)} was changed in place, or " for k in changed), "")
    return replace(step, why=f"{said}{step.why or WRONG}") if said else step


def _is_on_way(graph: Walk, tensor: Tensor, step: WrongStep) -> bool:
    """Whether the gradient of a tensor passes a step, back to one of the inputs for which it is wrong."""
    above = graph.above(id(tensor))
    return step.node.identity in above and any(key == id(tensor) or key in above for key in step.keys)


def _rewritten(base: Recorded, position: int) -> bool:
    """Whether what came to be was changed in place afterwards, past the tape."""
    made = base.creations[position]
    if made.first is None:
        return False
    now = base.tape.array(made.tensor)
    off = np.abs(now - made.first).max(initial=0.0) if now.shape == made.first.shape else np.inf
    return bool(off > REWRITTEN * np.abs(made.first).max(initial=0.0))
