"""Wrong steps of a tape that is known by its description only: none can be taken again alone.

Where the tape keeps gradients on the way, each step must balance: what reverse mode hands to its output, times how that
moves, is what arrives at its inputs, times how they move. Steps that share an input balance together; which of them is
wrong is found by beginning reverse mode at each. Where a tape keeps none, reverse mode is begun at what came to be on
the way: where the gradients that it leaves with parameters are right, so is every step behind. So the steps in question
are halved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.checks.overwriting import replaces
from gradaudit.models.motion import AGREED, Motion, motion_of_one
from gradaudit.models.steps import WrongStep, step_of
from gradaudit.targets.op import OpError

Array = NDArray[Any]

MOST_MOVED = 8
"""Inputs of a group of steps, or parameters, that are moved one by one, each for two runs."""

MOST_TRIED = 48
"""Tensors at which reverse mode is begun."""

MOST_NAMED = 3
"""Steps that are named where no more is known than that one of them is wrong."""

HEARD = 1e-3
"""Share of a tensor's motion that the sum of its elements must show, to say anything: a softmax's never changes."""

OVERWRITES = "its backward replaces the gradient of its inputs instead of adding to it"


def wrong_on_tape(moving: Motion, wrong: Sequence[str]) -> list[tuple[WrongStep, ...]]:
    """Return the wrong steps, each with those that it cannot be told from.

    Args:
        moving: the model.
        wrong: the parameters whose gradients are wrong.

    Raises:
        OpError: where the model cannot be run again.

    """
    if _keeps_gradients(moving):
        groups = [group for group in _groups(moving) if not _balances(moving, group)]
        return [_told_apart(moving, _sharing_all(moving, group)) for group in groups]
    found: dict[tuple[int, ...], tuple[WrongStep, ...]] = {}
    for name in wrong[:MOST_MOVED]:
        own = motion_of_one(moving, id(moving.base.tensor(name)))
        left = _halved(own, name) if own is not None else []
        if 0 < len(left) <= MOST_NAMED:
            found.setdefault(tuple(left), tuple(step_of(moving.base, key) for key in left))
    alone = {steps[0].node.identity for steps in found.values() if len(steps) == 1}
    return [each for each in found.values() if len(each) == 1 or not any(s.node.identity in alone for s in each)]


@dataclass(frozen=True)
class _Group:
    """Steps that share inputs, directly or through each other: by the keys of a walk, each with its inputs."""

    steps: Mapping[int, tuple[int, ...]]

    @property
    def inputs(self) -> list[int]:
        return list(dict.fromkeys(key for keys in self.steps.values() for key in keys))


def _keeps_gradients(moving: Motion) -> bool:
    graph, held = moving.base.from_loss, moving.base.gradients
    inner = [key for key in graph.nodes if graph.depths[key] > 0 and key in moving.made]
    return sum(key in held and bool(np.any(held[key])) for key in inner) > len(inner) / 2


def _groups(moving: Motion) -> Iterator[_Group]:
    """Yield the steps that balance together, those nearest the loss first."""
    base, graph = moving.base, moving.base.from_loss
    noted = sorted((key for key in graph.nodes if key in base.places), key=lambda key: graph.ranks[key])
    inputs = {key: tuple(_inputs(moving, key)) for key in noted}
    users: dict[int, list[int]] = {}
    for key, parents in inputs.items():
        for parent in parents:
            users.setdefault(parent, []).append(key)
    seen: set[int] = set()
    for first in noted:
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
        yield _Group({key: inputs[key] for key in steps})


def _inputs(moving: Motion, key: int) -> list[int]:
    """Return what a step was computed from and can have a gradient: steps, and leaves that are differentiated."""
    base = moving.base
    nodes = base.from_loss.nodes
    return [k for k in base.named_by(key) if k in moving.leaves or (k in base.places and k in nodes)]


def _sharing_all(moving: Motion, group: _Group) -> _Group:
    """Return the steps of a group that share all of its inputs whose gradients are wrong: each is moved alone."""
    inputs = group.inputs
    if len(group.steps) == 1 or len(inputs) > MOST_MOVED:
        return group
    wrong = set()
    for key in inputs:
        with suppress(OpError):
            alone = motion_of_one(moving, key, [other for other in inputs if other != key])
            if alone is not None and not _balances(alone, _Group(dict.fromkeys(group.steps, (key,)))):
                wrong.add(key)
    left = {key: own for key, own in group.steps.items() if wrong <= set(own)}
    return _Group(left) if wrong and left else group


def _balances(moving: Motion, group: _Group) -> bool:
    held = moving.base.gradients
    before, after = (_terms(moving, keys, held) for keys in (group.steps, group.inputs))
    return len(before) < len(group.steps) or len(after) < len(group.inputs) or _balanced(before, after)


def _balanced(before: Sequence[Array], after: Sequence[Array]) -> bool:
    """Whether the sums of the terms of two derivatives along a direction are the same, or not finite."""
    one, other = (np.concatenate([np.zeros(1), *each]) for each in (before, after))
    scale = max(float(np.linalg.norm(one)), float(np.linalg.norm(other)), abs(float(one.sum())))
    return not abs(float(one.sum()) - float(other.sum())) > AGREED * scale


def _terms(moving: Motion, keys: Iterable[int], held: Mapping[int, Array]) -> list[Array]:
    """Return the terms of gradients times how their tensors move, real parts, where both are known."""
    pairs = [(held.get(key), moving.of(key)) for key in keys]
    known = [(g, m) for g, m in pairs if g is not None and m is not None and g.shape == m.shape]
    return [np.asarray((np.conj(g) * m).real, dtype=np.float64).ravel() for g, m in known]


def _told_apart(moving: Motion, group: _Group) -> tuple[WrongStep, ...]:
    """Return the step of a group that is wrong, by beginning reverse mode at each; all where that fails."""
    if len(group.steps) > 1:
        for key in group.steps:
            if _wrong_alone(moving, key):
                return (step_of(moving.base, key),)
        for key in group.steps:
            if replaces(moving.base, key, _inputs(moving, key)):
                return (step_of(moving.base, key, OVERWRITES),)
    return tuple(step_of(moving.base, key) for key in group.steps)


def _wrong_alone(moving: Motion, key: int) -> bool:
    inputs, graph = _inputs(moving, key), moving.base.graph
    if any(a in graph.above(b) for a in inputs for b in inputs):
        return False
    return _is_right_onto(moving, key, inputs) is False


def _halved(moving: Motion, name: str) -> list[int]:
    """Return the steps on a parameter's way one of which makes its gradient wrong; none where it is right."""
    base = moving.base
    above = base.from_loss.above(id(base.tensor(name)))
    left = sorted((key for key in above if key in base.places), key=lambda key: -base.from_loss.ranks[key])
    if not left or _is_right(moving, left[-1]):
        return []
    silent: set[int] = set()
    while len(left) > 1 and len(silent) < MOST_TRIED:
        asked = [key for key in left[:-1] if key not in silent]
        if not asked:
            break
        key = asked[len(asked) // 2]
        right = _is_right(moving, key)
        if right is None:
            silent.add(key)
        else:
            behind = {key, *base.graph.below(key)}
            left = [each for each in left if (each in behind) is not right]
    return left


def _is_right(moving: Motion, key: int) -> bool | None:
    """Whether reverse mode from what a step made is right; None where that cannot be told."""
    moved = moving.made.get(key)
    if moved is None or not abs(float(moved.real.sum())) > HEARD * float(np.linalg.norm(moved)):
        return None
    return _is_right_onto(moving, key, [*moving.leaves])


def _is_right_onto(moving: Motion, key: int, onto: Sequence[int]) -> bool | None:
    """Whether reverse mode from what a step made leaves with others what their motion makes of the step's own."""
    moved = moving.made.get(key)
    if moved is None:
        return None
    try:
        (held,) = moving.base.pulled_back(key, onto)
    except OpError:
        return None
    return _balanced([moved.real.ravel()], _terms(moving, onto, held))
