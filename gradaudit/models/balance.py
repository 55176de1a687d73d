"""Wrong steps of a tape that is known by its description only, from the gradients that it leaves on the way.

What reverse mode hands to a step's output, times how that moves, must be what arrives at its inputs, times how they
move. Where several steps share an input, only the sum over all of them can be told: such steps balance together, and
which of them is wrong is found by running reverse mode from each alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.motion import AGREED, Motion, motion_of_one
from gradaudit.models.recording import Recorded, recorded
from gradaudit.models.steps import WrongStep
from gradaudit.models.tapes.tape import TapeError, Tensor
from gradaudit.models.words import in_words
from gradaudit.targets.op import OpError

Array = NDArray[Any]

MOST_MOVED = 8
"""Inputs of a group of steps that are moved one by one, each for two runs."""

OVERWRITES = "its backward replaces the gradient of what it was computed from, where it should add to it"


@dataclass(frozen=True)
class _Group:
    """Steps that share inputs, directly or through each other: by the keys of a walk, each with its inputs."""

    steps: Mapping[int, tuple[int, ...]]

    @property
    def inputs(self) -> list[int]:
        return list(dict.fromkeys(key for keys in self.steps.values() for key in keys))


def wrong_by_balance(moving: Motion, arrays: Mapping[str, Array]) -> list[tuple[WrongStep, ...]] | None:
    """Return the wrong steps, each with those that it cannot be told from; None where a tape keeps no gradients.

    Args:
        moving: the model, whose reverse mode has been run.
        arrays: what it was run with.

    """
    held = moving.base.gradients
    if not _keeps_gradients(moving, held):
        return None
    wrong = [group for group in _groups(moving) if not _balances(moving, group, held)]
    return [_told_apart(moving, _narrowed(moving, group, arrays), arrays) for group in wrong]


def _keeps_gradients(moving: Motion, held: Mapping[int, Array]) -> bool:
    graph = moving.base.from_loss
    inner = [key for key in graph.nodes if graph.depths[key] > 0 and key in moving.made]
    return sum(key in held and bool(np.any(held[key])) for key in inner) > len(inner) / 2


def _groups(moving: Motion) -> Iterator[_Group]:
    """Yield the steps that balance together, those nearest the loss first."""
    base, graph = moving.base, moving.base.from_loss
    noted = [key for key in graph.nodes if key in base.places]
    position = {key: k for k, key in enumerate(base.keys)}
    inputs = {key: [x for x in base.named(position[key]) if _counts(moving, x)] for key in noted}
    users: dict[int, list[int]] = {}
    for key, parents in inputs.items():
        for parent in parents:
            users.setdefault(parent, []).append(key)
    left = sorted(noted, key=lambda key: graph.ranks[key])
    seen: set[int] = set()
    for first in left:
        if first in seen:
            continue
        steps, waiting = [first], [first]
        seen.add(first)
        while waiting:
            for other in (other for parent in inputs[waiting.pop()] for other in users[parent]):
                if other not in seen:
                    seen.add(other)
                    steps.append(other)
                    waiting.append(other)
        yield _Group({key: tuple(inputs[key]) for key in steps})


def _counts(moving: Motion, key: int) -> bool:
    """Whether what a step was computed from can have a gradient: it is a step, or a leaf that is differentiated."""
    return key in moving.leaves or (key in moving.base.places and key in moving.base.from_loss.nodes)


def _narrowed(moving: Motion, group: _Group, arrays: Mapping[str, Array]) -> _Group:
    """Return the steps of a group that share all of its inputs whose gradients are wrong: each is moved alone."""
    inputs, held = group.inputs, moving.base.gradients
    if len(group.steps) == 1 or len(inputs) > MOST_MOVED:
        return group
    wrong = set()
    for key in inputs:
        with suppress(OpError):
            alone = motion_of_one(moving, arrays, key, [other for other in inputs if other != key])
            if alone is not None and not _balances(alone, _Group(dict.fromkeys(group.steps, (key,))), held):
                wrong.add(key)
    left = {key: own for key, own in group.steps.items() if wrong <= set(own)}
    return _Group(left) if wrong and left else group


def _balances(moving: Motion, group: _Group, held: Mapping[int, Array]) -> bool:
    before, after = ([_flow(moving, key, held) for key in keys] for keys in (group.steps, group.inputs))
    if any(each is None for each in (*before, *after)):
        return True
    return balanced([each for each in before if each is not None], [each for each in after if each is not None])


def balanced(before: Sequence[Array], after: Sequence[Array]) -> bool:
    """Whether the sums of the terms of two derivatives along a direction are the same, or not finite."""
    one, other = (np.concatenate([np.zeros(1), *each]) for each in (before, after))
    scale = max(float(np.linalg.norm(one)), float(np.linalg.norm(other)), abs(float(one.sum())))
    return not abs(float(one.sum()) - float(other.sum())) > AGREED * scale


def _flow(moving: Motion, key: int, held: Mapping[int, Array]) -> Array | None:
    """Return the terms of a gradient times how its tensor moves; None where either is not known."""
    made, moved = held.get(key), moving.of(key)
    if made is None or moved is None or made.shape != moved.shape:
        return None
    return terms(made, moved)


def terms(gradient: Array, moved: Array) -> Array:
    """Return the terms of a gradient times a motion, real parts where they are complex."""
    return np.asarray((np.conj(gradient) * moved).real, dtype=np.float64).ravel()


def _told_apart(moving: Motion, group: _Group, arrays: Mapping[str, Array]) -> tuple[WrongStep, ...]:
    """Return the step of a group that is wrong, by running reverse mode from each alone; all where that fails."""
    if len(group.steps) > 1:
        for why in ("", OVERWRITES):
            wrong = [key for key in group.steps if _wrong_alone(moving, key, arrays, overwriting=bool(why))]
            if wrong:
                return (_as_step(moving, wrong[0], why),)
    return tuple(_as_step(moving, key) for key in group.steps)


def _wrong_alone(moving: Motion, key: int, arrays: Mapping[str, Array], *, overwriting: bool) -> bool:
    """Whether a step is wrong when reverse mode begins at it; or whether it replaces what it should add to."""
    op = moving.base.op
    try:
        run = recorded(op, arrays)
        position = moving.base.keys.index(key)
        parents = _parents(run, position)
        op.clear(run.run)
        with in_words("backward"), op.tape.exact():
            op.tape.backward(run.creations[position].tensor)
            first = [_held(op.tape, tensor) for _, tensor in parents]
            if overwriting:
                op.tape.backward(run.creations[position].tensor)
                again = [_held(op.tape, tensor) for _, tensor in parents]
                return any(one.any() and np.allclose(one, other) for one, other in zip(first, again, strict=True))
        if any(a in run.graph.above(b) for a, _ in parents for b, _ in parents):
            return False
    except (OpError, TapeError, ValueError, IndexError):
        return False
    motions = [moving.of(moving.base.keys[run.keys.index(k)] if k in run.places else k) for k, _ in parents]
    after = [terms(g, m) for g, m in zip(first, motions, strict=True) if m is not None and m.shape == g.shape]
    moved = moving.made.get(key)
    return moved is not None and not balanced([moved.real.ravel()], after)


def _parents(run: Recorded, position: int) -> list[tuple[int, Tensor]]:
    """Return the key and the tensor of what a step was computed from, of what can have a gradient."""
    made = [(key, run.places[key].tensor) for key in run.named(position) if key in run.places]
    leaves = [(key, run.graph.leaves[key]) for key in run.named(position) if key in run.graph.leaves]
    return [*(each for each in made if each[0] in run.graph.nodes), *leaves]


def _held(tape: Any, tensor: Any) -> Array:
    held = tape.gradient(tensor)
    return np.zeros(()) if held is None else np.array(held)


def _as_step(moving: Motion, key: int, why: str = "") -> WrongStep:
    made, node = moving.base.places[key], moving.base.from_loss.nodes[key]
    return WrongStep(node.name, made.place, made.within, "", node, tuple(moving.base.named_by(key)), why)
