"""Wrong steps of a tape that keeps no gradients on the way: reverse mode is begun at what came to be on it.

From any tensor, reverse mode says how the sum of its elements changes with the parameters. Where that is right, so is
every step behind the tensor; where it is not, one of them is wrong. So the steps in question are halved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.balance import balanced, terms
from gradaudit.models.motion import Motion, motion_of_one
from gradaudit.models.recording import Recorded
from gradaudit.models.steps import WrongStep
from gradaudit.models.tapes.tape import TapeError
from gradaudit.models.words import in_words
from gradaudit.targets.op import OpError

Array = NDArray[Any]

MOST_TRIED = 48
"""Tensors from which reverse mode is begun."""

MOST_MOVED = 8
"""Parameters that are moved one by one."""

MOST_NAMED = 3
"""Steps that are named where no more is known than that one of them is wrong."""

HEARD = 1e-3
"""Share of a tensor's motion that the sum of its elements must show, to say anything: a softmax's never changes."""


def wrong_by_descent(moving: Motion, arrays: Mapping[str, Array], wrong: Sequence[str]) -> list[tuple[WrongStep, ...]]:
    """Return the wrong steps, each with those that it cannot be told from: two runs and some reverse modes for each.

    Args:
        moving: the model.
        arrays: what it was run with.
        wrong: the parameters whose gradients are wrong; each is moved alone.

    """
    found: dict[tuple[int, ...], tuple[WrongStep, ...]] = {}
    for name in wrong[:MOST_MOVED]:
        own = motion_of_one(moving, arrays, id(moving.base.tensor(name)), ())
        left = _narrowed(own, name) if own is not None else []
        if 0 < len(left) <= MOST_NAMED:
            found.setdefault(tuple(left), tuple(_as_step(moving.base, key) for key in left))
    alone = {steps[0].node.identity for steps in found.values() if len(steps) == 1}
    return [each for each in found.values() if len(each) == 1 or not any(s.node.identity in alone for s in each)]


def _narrowed(moving: Motion, name: str) -> list[int]:
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
            behind = {key, *_behind(base, key)}
            left = [each for each in left if (each in behind) is not right]
    return left


def _behind(base: Recorded, key: int) -> set[int]:
    """Return the keys of all steps that a step was computed from."""
    waiting, seen = [key], set()
    while waiting:
        for parent in base.graph.parents.get(waiting.pop(), ()):
            if parent not in seen:
                seen.add(parent)
                waiting.append(parent)
    return seen


def _is_right(moving: Motion, key: int) -> bool | None:
    """Whether reverse mode from what a step made is right; None where that cannot be told."""
    base, moved = moving.base, moving.made.get(key)
    op = base.op
    if moved is None or not abs(float(moved.real.sum())) > HEARD * float(np.linalg.norm(moved)):
        return None
    try:
        op.clear(base.run)
        with in_words("backward"), op.tape.exact():
            op.tape.backward(base.places[key].tensor)
        gradients: Mapping[str, Array | None] = op.gradients(base.run)
        op.clear(base.run)
    except (OpError, TapeError):
        return None
    after = [
        terms(made, along)
        for name, made in gradients.items()
        if made is not None and (along := moving.leaves.get(id(base.tensor(name)))) is not None
        if made.shape == along.shape
    ]
    return balanced([moved.real.ravel()], after)


def _as_step(base: Recorded, key: int) -> WrongStep:
    made, node = base.places[key], base.from_loss.nodes[key]
    return WrongStep(node.name, made.place, made.within, "", node, tuple(base.named_by(key)))
