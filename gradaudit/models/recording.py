"""A run of a model with what came to be while it ran, and the graph of all of that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.graph import Walk, walk
from gradaudit.models.op import ModelOp, Run
from gradaudit.models.tapes.tape import Creation, Node, Tape, TapeError, Tensor
from gradaudit.models.words import in_words

Array = NDArray[Any]


@dataclass(frozen=True)
class Recorded:
    """A run of the model, with the tensors that came to be, in order, and what they held.

    Attributes:
        op: the model.
        arrays: what it was run with.
        run: the run.
        creations: what came to be.
        values: what each held.

    """

    op: ModelOp
    arrays: Mapping[str, Array]
    run: Run
    creations: tuple[Creation, ...]
    values: tuple[Array | None, ...]

    @property
    def tape(self) -> Tape:
        """The model's tape."""
        return self.op.tape

    @cached_property
    def loss(self) -> float:
        """The value of the loss."""
        return float(self.tape.array(self.run.loss).reshape(()))

    @cached_property
    def nodes(self) -> tuple[Node | None, ...]:
        """The step that made each."""
        return tuple(made.node or self.tape.node(made.tensor) for made in self.creations)

    @cached_property
    def keys(self) -> tuple[int, ...]:
        """What a walk knows each by."""
        pairs = zip(self.nodes, self.creations, strict=True)
        return tuple(id(made.tensor) if node is None else node.identity for node, made in pairs)

    @cached_property
    def graph(self) -> Walk:
        """What all of them, and the loss, were computed from, as the tape has it.

        Raises:
            OpError: where it has a cycle or no end.

        """
        with in_words("reading the tape"):
            return walk(self.tape, self.run.loss, *[node for node in self.nodes if node is not None])

    @cached_property
    def from_loss(self) -> Walk:
        """What the loss was computed from."""
        with in_words("reading the tape"):
            return walk(self.tape, self.run.loss)

    @cached_property
    def places(self) -> Mapping[int, Creation]:
        """What came to be, by key, each as it was first made."""
        return dict(reversed(list(zip(self.keys, self.creations, strict=True))))

    @cached_property
    def gradients(self) -> Mapping[int, Array]:
        """What reverse mode leaves with all of them, and with leaves, by key; it can be run once only.

        Raises:
            OpError: where it raises.

        """
        keys, leaves = self.keys, dict(self.from_loss.leaves)  # before reverse mode, which may let go of the graph
        self.op.clear(self.run)
        self.tape.retain([made.tensor for made in self.creations])
        self.op.reverse(self.run)
        tensors = {key: made.tensor for key, made in zip(keys, self.creations, strict=True)}
        found: dict[int, Array] = {}
        for key, tensor in (tensors | leaves).items():
            with suppress(TapeError):
                if (held := self.tape.gradient(tensor)) is not None:
                    found[key] = np.array(held)
        self.op.clear(self.run)
        return found

    def anew(self) -> Recorded:
        """Return one more run with the same values.

        Raises:
            OpError: where the model cannot be run again.

        """
        return recorded(self.op, self.arrays)

    def pulled_back(
        self, key: int, onto: Collection[int], times: int = 1, by: Recorded | None = None
    ) -> list[dict[int, Array]]:
        """Return what reverse mode that begins at what a step made leaves with others, by key, after each time.

        A tape that lets go of its graph in reverse mode tells of the first time only.

        Args:
            key: what a walk knows the step by.
            onto: what it knows the others by.
            times: how often reverse mode is run, without clearing in between.
            by: the run that it begins in; default: a new one.

        Raises:
            OpError: where it raises.

        """
        run = by or self.anew()
        position = dict(reversed([(k, place) for place, k in enumerate(self.keys)]))
        leaves = {id(self.tensor(name)): run.tensor(name) for name in (*self.op.trained, *self.run.inputs)}
        leaves = {**self.from_loss.leaves, **leaves}
        tensors = {k: run.creations[position[k]].tensor if k in position else leaves.get(k) for k in onto}
        start, found = run.creations[position[key]].tensor, list[dict[int, Array]]()
        with in_words("backward"), self.tape.exact():
            self.op.clear(run.run)
            self.tape.clear([made.tensor for made in run.creations])
            while len(found) < times and (not found or self.tape.node(start) is not None):
                self.tape.backward(start)
                held = {k: self.tape.gradient(tensor) for k, tensor in tensors.items() if tensor is not None}
                found.append({k: np.array(each) for k, each in held.items() if each is not None})
            self.op.clear(run.run)
        return found

    def tensor(self, name: str) -> Tensor:
        """Return the tensor of a parameter or input."""
        return self.op.trained[name] if name in self.op.trained else self.run.inputs[name]

    def named(self, position: int) -> set[int]:
        """Return the keys of what a tensor was computed from: named by its step, or by steps that nobody noted."""
        return self.named_by(self.keys[position])

    def named_by(self, key: int) -> set[int]:
        """Return the same of a step, by its own key."""
        found: set[int] = set()
        waiting = [*self.graph.parents.get(key, ())]
        while waiting:
            parent = waiting.pop()
            if parent not in found:
                found.add(parent)
                waiting += () if parent in self.places else self.graph.parents.get(parent, ())
        return found

    def reaches(self, position: int, leaf: Tensor) -> bool:
        """Whether the tape leads from a tensor to a leaf."""
        return self.keys[position] in self.graph.above(id(leaf))

    def said(self, position: int) -> str:
        """Return the name of the step that made a tensor, and where."""
        node, made = self.nodes[position], self.creations[position]
        return step_in_words(node.name if node else "", made.place)


def step_in_words(name: str, place: str) -> str:
    """Return a step's name and its place."""
    return f"{name} ({place})" if place else name


def recorded(op: ModelOp, arrays: Mapping[str, Array]) -> Recorded:
    """Run a model and note what tensors come to be.

    Raises:
        OpError: as ``ModelOp.run`` does.

    """
    with op.tape.recording() as creations:
        run = op.run(arrays)
    return Recorded(op, arrays, run, tuple(creations), tuple(_value(op.tape, made) for made in creations))


def _value(tape: Tape, made: Creation) -> Array | None:
    """Return what a tensor holds, None where it never became one."""
    if made.value is not None:
        return made.value
    try:
        return tape.array(made.tensor).copy()
    except TapeError:
        return None


def aligned(one: Sequence[Creation], other: Sequence[Creation]) -> Iterator[tuple[int, int]]:
    """Yield the positions in two runs of what came to be at the same lines: from the front, then from the end.

    A run with other values may take other branches, so that positions behind do not correspond.
    """
    shorter = min(len(one), len(other))
    front = next((k for k in range(shorter) if one[k].place != other[k].place), shorter)
    yield from ((k, k) for k in range(front))
    back = next((k for k in range(shorter - front) if one[-1 - k].place != other[-1 - k].place), shorter - front)
    yield from ((len(one) - k, len(other) - k) for k in range(back, 0, -1))


def alike(one: Array, other: Array) -> bool:
    """Whether two arrays hold the same."""
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
