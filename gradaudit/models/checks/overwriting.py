"""Whether a step's backward replaces the gradient of what it shares with other steps, where it should add to it.

Such a gradient is right or wrong by the order in which the steps happen to be taken. Each kind of step is asked alone:
reverse mode is begun at what it made twice over, which doubles the gradient of what it was made from.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gradaudit.models.graph import Walk
from gradaudit.models.recording import Recorded
from gradaudit.models.subject import FlowSubject
from gradaudit.models.words import in_words
from gradaudit.results import Finding
from gradaudit.targets.op import OpError

MOST_KINDS = 32
"""Kinds of steps, by their names, that are asked."""


def overwriting_steps(subject: FlowSubject, names: list[str]) -> Iterator[tuple[str, Finding]]:
    """Yield a finding for each parameter whose gradient passes a step that replaces what others have added.

    It takes one run, where steps share what they are computed from, and none on a tape that adds gradients up by
    itself, as torch does.
    """
    if subject.op.tape.adds_up or not _shared(subject.from_loss):
        return
    base = subject.recorded_anew()
    shared = _shared(base.from_loss)
    asked: dict[str, tuple[int, bool | None]] = {}
    for key, node in base.from_loss.nodes.items():
        if node.name not in asked and len(asked) < MOST_KINDS and key in base.places and shared & base.named_by(key):
            asked[node.name] = key, _replaces(base, key, shared)
    if not any(replaces is False for _, replaces in asked.values()):
        return  # reverse mode itself forgets what was there before
    for key in (key for key, replaces in asked.values() if replaces):
        made, node = base.places[key], base.from_loss.nodes[key]
        where = f" at {made.place} in {made.within}" if made.place else ""
        message = (
            f"{node.name}{where}: its backward replaces the gradient of what it was computed from, where it should add "
            "to it: whether it is right depends on the order of the steps that share it"
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


def _replaces(base: Recorded, key: int, shared: set[int]) -> bool | None:
    """Whether a step replaces the gradient of what it shares with others; None where that cannot be told."""
    tensors = [base.places[k].tensor for k in base.named_by(key) & shared if k in base.places]
    start, tape = base.places[key].tensor, base.tape
    try:
        tape.clear([made.tensor for made in base.creations])
        with in_words("backward"), tape.exact():
            tape.backward(start)
            first = [tape.gradient(tensor) for tensor in tensors]
            first = [None if each is None else np.array(each) for each in first]
            tape.backward(start)
            again = [tape.gradient(tensor) for tensor in tensors]
    except OpError:
        return None
    pairs = [(a, b) for a, b in zip(first, again, strict=True) if a is not None and b is not None and np.any(a)]
    return any(np.allclose(a, b) for a, b in pairs) if pairs else None
