"""The graph that a tape recorded of a model, from the loss back: how large gradients are, and where it is cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gradaudit.models.op import ModelOp
from gradaudit.models.subject import FlowSubject, examine_flow
from gradaudit.models.tapes.tape import Tensor
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.case import Case
from gradaudit.spec.draw import UndrawableError
from gradaudit.targets import opened
from gradaudit.targets.op import LostOpError, OpError
from gradaudit.targets.parameters import completed

MAX_CUTS = 8
"""Most parameters that are traced to where the graph is cut, each of which takes a run of the model."""


class NoGraphError(Exception):
    """There is no graph, for the reason given."""


@dataclass(frozen=True)
class Leaf:
    """A tensor that a gradient is asked for, or that nothing on the tape made.

    Attributes:
        name: the path of the parameter or input; empty for another.
        shape: its sizes.
        gradient: rms of the gradient that it holds; None where it holds none.
        cut: where it was made, where it should be attached to what it was made of; empty for others.

    """

    name: str
    shape: tuple[int, ...]
    gradient: float | None
    cut: str = ""


@dataclass(frozen=True)
class GraphStep:
    """A step that the tape recorded.

    Attributes:
        name: what the framework calls it.
        parents: the steps that it takes from, by their position.
        leaves: what else it takes from.
        cut: what it is computed from and does not name; empty where it names everything.

    """

    name: str
    parents: tuple[int, ...]
    leaves: tuple[Leaf, ...]
    cut: str = ""


@dataclass(frozen=True)
class Graph:
    """What was recorded.

    Attributes:
        steps: every step once, the loss's own first; none where the loss is attached to nothing.
        unreached: the parameters and inputs that no step takes from.

    """

    steps: tuple[GraphStep, ...]
    unreached: tuple[Leaf, ...]


def trace_graph(case: Case) -> Graph:
    """Run the model of a case forth and back, and return its graph.

    Raises:
        NoGraphError: where it cannot be run, or its tape not be read.

    """
    with np.errstate(all="ignore"):
        try:
            with opened(case) as op:
                assert isinstance(op, ModelOp)
                return _graph(examine_flow(completed(case, op), op))
        except (OpError, LostOpError, UndrawableError, MemoryError) as error:
            raise NoGraphError(str(error) or "out of memory") from None


def _graph(subject: FlowSubject) -> Graph:
    base = subject.recorded
    found = base.from_loss
    lost = [name for name in subject.names if not found.reaches(base.tensor(name))]
    cut_steps, cut_leaves = _cuts(subject, lost)
    names = {id(base.tensor(name)): name for name in subject.names}
    names |= {id(tensor): f"{path} (unregistered)" for path, tensor in subject.op.unregistered.items()}
    position = {identity: k for k, identity in enumerate(found.nodes)}

    def leaf(tensor: Tensor) -> Leaf:
        return _leaf(subject, tensor, names.get(id(tensor), ""), cut_leaves.get(id(tensor), ""))

    steps = [
        GraphStep(
            name=node.name,
            parents=tuple(dict.fromkeys(position[key] for key in found.parents[identity] if key in position)),
            leaves=tuple(leaf(found.leaves[key]) for key in found.parents[identity] if key in found.leaves),
            cut=cut_steps.get(identity, ""),
        )
        for identity, node in found.nodes.items()
    ]
    return Graph(tuple(steps), tuple(_leaf(subject, base.tensor(name), name) for name in lost))


def _leaf(subject: FlowSubject, tensor: Tensor, name: str, cut: str = "") -> Leaf:
    tape = subject.op.tape
    gradient = subject.gradients[name] if name in subject.gradients else tape.gradient(tensor) if name else None
    return Leaf(name, np.shape(tape.array(tensor)), None if gradient is None else rms(np.asarray(gradient)), cut)


def _cuts(subject: FlowSubject, lost: list[str]) -> tuple[Mapping[int, str], Mapping[int, str]]:
    """Return where the graph loses parameters: by a step's identity whose, by a leaf's ``id`` where it was made."""
    steps: dict[int, list[str]] = {}
    leaves: dict[int, str] = {}
    for name in lost[:MAX_CUTS]:
        for cut in subject.way(name).cuts:
            node = subject.recorded.nodes[cut.position]
            if node is None:
                leaves[id(cut.made.tensor)] = cut.made.place or "an unknown place"
            else:
                steps.setdefault(node.identity, []).append(name)
    return {identity: ", ".join(names) for identity, names in steps.items()}, leaves
