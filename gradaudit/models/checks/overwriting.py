"""Whether a step's backward replaces the gradient of what it shares with other steps, where it should add to it.

Such a gradient is right or wrong by the order in which the steps happen to be taken. Each kind of step is asked alone:
reverse mode is begun at what it made twice over, which doubles the gradient of what it was made from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from gradaudit.models.graph import Walk
from gradaudit.models.recording import Recorded
from gradaudit.models.subject import FlowSubject
from gradaudit.results import Finding
from gradaudit.targets.op import OpError

MOST_KINDS = 32
"""Kinds of steps, by their names, that are asked."""


def overwriting_steps(subject: FlowSubject, names: list[str]) -> Iterator[tuple[str, Finding]]:
    """Yield a finding for each parameter whose gradient passes a step that replaces what others have added.

    It takes a run or two, where steps share what they are computed from, and none on a tape that adds gradients up by
    itself, as torch does.
    """
    if subject.op.tape.adds_up or not _shared(subject.from_loss):
        return
    base, spare = subject.recorded, subject.recorded.anew()
    shared = _shared(base.from_loss)
    asked: dict[str, tuple[int, bool | None]] = {}
    for key, node in base.from_loss.nodes.items():
        if node.name not in asked and len(asked) < MOST_KINDS and key in base.places and shared & base.named_by(key):
            asked[node.name] = key, replaces(base, key, shared & base.named_by(key), spare)
    if not any(replaced is False for _, replaced in asked.values()):
        return  # reverse mode itself forgets what was there before
    for key in (key for key, replaced in asked.values() if replaced):
        made, node = base.places[key], base.from_loss.nodes[key]
        where = f" at {made.place} in {made.within}" if made.place else ""
        message = (
            f"{node.name}{where}: its backward replaces the gradient of its inputs instead of adding to it: the result "
            "depends on the order of the steps that share an input"
        )
        finding = Finding("accumulation", message, {"how": "replaced", "place": made.place, "node": node.name})
        yield from ((name, finding) for name in names if key in base.from_loss.above(id(base.tensor(name))))


def _shared(graph: Walk) -> set[int]:
    """Return the keys of steps whose output several steps are computed from."""
    seen, shared = set[int](), set[int]()
    for parents in graph.parents.values():
        for key in set(parents):
            (shared if key in seen else seen).add(key)
    return {key for key in shared if key in graph.nodes}


def replaces(base: Recorded, key: int, onto: Collection[int], by: Recorded | None = None) -> bool | None:
    """Whether a step replaces the gradient of some of what it was computed from; None where that cannot be told.

    Args:
        base: a run.
        key: what a walk knows the step by.
        onto: what it knows the others by.
        by: a run with the same values to begin reverse mode in; default: a new one.

    """
    try:
        found = base.pulled_back(key, onto, times=2, by=by)
    except OpError:
        return None
    pairs = [(one, found[-1][k]) for k, one in found[0].items() if len(found) > 1 and k in found[-1] and np.any(one)]
    return any(np.allclose(one, other) for one, other in pairs) if pairs else None
