"""Which step makes gradients wrong: the one that all wrong ones and no right one pass through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from gradaudit.flow.attribution import last_right
from gradaudit.flow.graph import key_of
from gradaudit.flow.subject import FlowSubject

T = TypeVar("T")

MOST_TRIED = 64
"""Steps among which the one is looked for whose backward is wrong."""

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
        return f"gradients are right up to the output of {said} and wrong behind it: its backward is wrong"
    if not 0 < len(ordered) <= MOST_NAMED:
        return ""
    said = " or ".join(_said(graph.nodes[key].name, places.get(key, "")) for key in ordered)
    which = "the wrong gradient passes" if len(wrong) == 1 else f"all {len(wrong)} wrong gradients pass"
    return f"{which} through {said}, and no right one does so"


def _only(ways: Mapping[str, frozenset[T]], wrong: Sequence[str], right: Sequence[str]) -> frozenset[T]:
    """Return what is on the ways of all wrong gradients and of no right one."""
    return frozenset.intersection(*(ways[name] for name in wrong)).difference(*(ways[name] for name in right))


def _said(name: str, place: str) -> str:
    return f"{name} ({place})" if place else name
