"""Which step makes gradients wrong: the one that all wrong ones and no right one pass through."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from gradaudit.flow.attribution import last_right
from gradaudit.flow.graph import key_of
from gradaudit.flow.subject import FlowSubject

T = TypeVar("T")

MOST_TRIED = 64
"""Steps among which the one is looked for whose backward is wrong."""

REWRITTEN = 1e-3
"""Share of its largest value by which an array that was changed differs, not one that was rounded as it was made."""

MOST_NAMED = 5
"""Steps that are named; where more of them are in question, little is known."""


def culprit(subject: FlowSubject, wrong: Sequence[str], right: Sequence[str]) -> str:
    """Return in words which steps are in question, empty where none is, or too many are.

    The gradient of a parameter passes along every way from the loss to it. A backward that is wrong for one of its
    inputs spoils what passes one edge of the graph, one that is wrong for all of them what passes a step: an edge, or
    a step, that is on the ways of all wrong gradients and of no right one.
    """
    graph = subject.from_loss
    edges = {name: graph.edges_from(subject.tensor(name)) for name in (*wrong, *right)}
    passed = {name: frozenset(above for above, _ in edges[name]) for name in edges}
    suspects = {above for above, _ in _only(edges, wrong, right)} | _only(passed, wrong, right)
    ordered = sorted(suspects, key=lambda key: graph.ranks[key])
    places = {key_of(subject.op.tape, made.tensor): made.place for made in subject.base.creations}
    if 1 < len(ordered) <= MOST_TRIED and (found := last_right(subject, ordered)) is not None:
        said = _said(graph.nodes[found].name, places.get(found, ""))
        behind = suspects - {found}
        others = [f"{hook} changes them" for hook in (*_hooked(subject, behind), *_hooked_leaves(subject, wrong))]
        others += _rewritten(subject, {found, *behind, *graph.parents[found]})
        why = " or ".join([*others[:1], "its backward is wrong"])
        return f"gradients are right up to the output of {said} and wrong behind it: {why}"
    if leaves := _hooked_leaves(subject, wrong):
        return f"{leaves[0]} may change its gradient"
    if not 0 < len(ordered) <= MOST_NAMED:
        return ""
    said = " or ".join(_said(graph.nodes[key].name, places.get(key, "")) for key in ordered)
    which = "the wrong gradient passes" if len(wrong) == 1 else f"all {len(wrong)} wrong gradients pass"
    return f"{which} through {said}, and no right one does so"


def _hooked(subject: FlowSubject, steps: Collection[int]) -> Iterator[str]:
    """Yield in words each hook on what one of these steps made."""
    for made in subject.base.creations:
        node = subject.op.tape.node(made.tensor)
        if node is not None and node.identity in steps and subject.op.tape.hooked(made.tensor):
            yield f"the hook on what {_said(node.name, made.place)} made"


def _rewritten(subject: FlowSubject, steps: Collection[int]) -> Iterator[str]:
    """Yield in words what these steps made whose array was changed in place afterwards, past the tape."""
    for made, value in zip(subject.base.creations, subject.base.values, strict=True):
        if made.first is None or value is None or key_of(subject.op.tape, made.tensor) not in steps:
            continue
        off = np.abs(value - made.first).max(initial=0.0) if value.shape == made.first.shape else np.inf
        if off > REWRITTEN * np.abs(made.first).max(initial=0.0):
            node = subject.op.tape.node(made.tensor)
            yield f"the array of what {_said(node.name if node else '', made.place)} made was changed in place"


def _hooked_leaves(subject: FlowSubject, wrong: Sequence[str]) -> list[str]:
    """Return in words the hook on each of these parameters, where all of them have one."""
    hooked = [name for name in wrong if subject.op.tape.hooked(subject.tensor(name))]
    return [f"the hook on {name}" for name in hooked] if len(hooked) == len(wrong) else []


def _only(ways: Mapping[str, frozenset[T]], wrong: Sequence[str], right: Sequence[str]) -> frozenset[T]:
    """Return what is on the ways of all wrong gradients and of no right one."""
    return frozenset.intersection(*(ways[name] for name in wrong)).difference(*(ways[name] for name in right))


def _said(name: str, place: str) -> str:
    return f"{name} ({place})" if place else name
