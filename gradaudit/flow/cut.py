"""Where the tape loses a parameter, found from both ends.

From the loss, the tape is walked back. From the parameter, the model is run a second time with other values in it: of
the tensors that come to be while it runs, those that change are computed from the parameter, whatever the tape says.
The cut is at the first of them that the loss's tape holds and that names none of them as what it was computed from.
Where a gradient arrives on one way and is lost on another, that is a cut as well.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.flow.graph import Walk, key_of, walk
from gradaudit.numerics.magnitude import rms
from gradaudit.targets.model import ModelOp, Run
from gradaudit.targets.tapes.tape import Creation, Node, Tape, TapeError, Tensor
from gradaudit.targets.words import in_words

Array = NDArray[Any]

NUDGE = 2.0**-7
"""How far a parameter is moved, relative to the rms of its values or absolutely: no rounding hides it."""


@dataclass(frozen=True)
class Recorded:
    """A run of the model, with the tensors that came to be, in order, and what they held."""

    run: Run
    creations: tuple[Creation, ...]
    values: tuple[Array | None, ...]


@dataclass(frozen=True)
class Cut:
    """What became of some parameters on the way to the loss.

    Attributes:
        depends: whether the loss changes with them.
        made: the tensor at which the tape begins anew; None where it could not be seen.
        node: the name of the step that made it, empty where the tape has none.
        last: the last step before it that the tape still leads from to the parameters, with its place; empty for none.

    """

    depends: bool
    made: Creation | None = None
    node: str = ""
    last: str = ""

    def in_words(self) -> str:
        """Say where the tape is cut."""
        if self.made is None:
            return "where the tape loses it could not be seen"
        where = f" at {self.made.place} in {self.made.within}" if self.made.place else ""
        if self.node:
            said = f"{self.node}{where} computes from it and does not name it among its parents"
        else:
            what = f"the tensor made{where}" if where else "a buffer or another tensor that the model keeps"
            said = f"{what} is computed from it and is attached to nothing"
        return said + (f"; the last step that still leads to it is {self.last}" if self.last else "")

    def evidence(self) -> dict[str, Any]:
        """Return the same for tools."""
        place = self.made.place if self.made else ""
        return {"depends": self.depends, "place": place, "node": self.node, "last": self.last}


def recorded(op: ModelOp, arrays: Mapping[str, Array]) -> Recorded:
    """Run a model and note what tensors come to be.

    Raises:
        OpError: as ``ModelOp.run`` does.

    """
    with op.tape.recording() as creations:
        run = op.run(arrays)
    return Recorded(run, tuple(creations), tuple(_value(op.tape, made.tensor) for made in creations))


def _value(tape: Tape, tensor: Tensor) -> Array | None:
    """Return what a tensor holds, None where it never became one."""
    try:
        return tape.array(tensor).copy()
    except TapeError:
        return None


def find_cut(op: ModelOp, arrays: Mapping[str, Array], names: Collection[str], base: Recorded) -> Cut:
    """Return where the tape loses some parameters or inputs; it takes one run.

    Args:
        op: the model.
        arrays: what the base was run with.
        names: of those that are lost.
        base: a run with these arrays.

    """
    moved = recorded(op, {**arrays, **{name: _nudged(arrays[name]) for name in names}})
    lost = _tensors(op, base.run, names)
    changed = [
        made
        for made, one, other in zip(base.creations, base.values, moved.values, strict=False)
        if one is not None and other is not None and not _alike(one, other)
        if not any(made.tensor is tensor for tensor in lost)
    ]
    loss = base.run.loss
    depends = not _alike(op.tape.array(loss), op.tape.array(moved.run.loss))
    with in_words("reading the tape"):
        noted = {key_of(op.tape, made.tensor) for made in base.creations}
        return _cut(op.tape, _Named(walk(op.tape, loss), noted), loss, changed, lost, depends=depends)


def _tensors(op: ModelOp, run: Run, names: Collection[str]) -> list[Tensor]:
    held = {**run.inputs, **op.trained}
    return [held[name] for name in names]


@dataclass(frozen=True)
class _Named:
    """A walk, and the keys of what was noted as it came to be: of some steps nobody sees a tensor."""

    walk: Walk
    noted: Collection[int]

    def holds(self, key: int) -> bool:
        return key in self.walk.nodes or key in self.walk.leaves

    def parents(self, key: int) -> set[int]:
        """Return what a step was computed from: what it names, and what is named by steps that were not noted."""
        found: set[int] = set()
        waiting = [*self.walk.parents.get(key, ())]
        while waiting:
            parent = waiting.pop()
            if parent not in found:
                found.add(parent)
                waiting += () if parent in self.noted else self.walk.parents.get(parent, ())
        return found


def _cut(
    tape: Tape, from_loss: _Named, loss: Tensor, changed: list[Creation], lost: list[Tensor], *, depends: bool
) -> Cut:
    keys = {key_of(tape, made.tensor) for made in changed} | {id(tensor) for tensor in lost}
    for position, made in enumerate(changed):
        key = key_of(tape, made.tensor)
        on_tape = made.tensor is loss or from_loss.holds(key)
        source = _detached_source(tape, made, changed)
        lost_in_part = source is not made and made.watched
        if not on_tape or (from_loss.parents(key) & keys and not lost_in_part):
            continue
        before = ((k, said) for k in reversed(range(position)) if (said := _leads(tape, changed[k], lost)))
        after, last = next(before, (-1, ""))
        source = _first_detached(tape, source, changed[after + 1 : position])
        node = tape.node(source.tensor)
        return Cut(depends, source, node.name if node else "", last)
    return Cut(depends)


def _first_detached(tape: Tape, made: Creation, before: list[Creation]) -> Creation:
    """Return the first tensor that the tape does not track, where those made from such ones are not tracked either."""
    if tape.node(made.tensor) is not None or tape.tracked(made.tensor):
        return made
    loose = (each for each in before if tape.node(each.tensor) is None and not tape.tracked(each.tensor))
    return next(loose, made)


def _detached_source(tape: Tape, made: Creation, changed: list[Creation]) -> Creation:
    """Return what a tensor was made from where the tape keeps no leaf of it; else the tensor itself."""
    given = {id(tensor) for tensor in made.given if tape.node(tensor) is None}
    return next((each for each in changed if id(each.tensor) in given), made)


def _leads(tape: Tape, made: Creation, lost: list[Tensor]) -> str:
    """Return the step that made a tensor, where the tape leads from it to what is lost; else nothing."""
    node: Node | None = tape.node(made.tensor)
    if node is None or not any(walk(tape, made.tensor).reaches(tensor) for tensor in lost):
        return ""
    return f"{node.name} ({made.place})" if made.place else node.name


def _nudged(array: Array) -> Array:
    signs = np.where(np.arange(array.size).reshape(array.shape) % 3 == 1, -1.0, 1.0)  # no symmetry that cancels
    return np.asarray(array + (NUDGE * (rms(array) or 1.0) * signs)).astype(array.dtype)


def _alike(one: Array, other: Array) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
