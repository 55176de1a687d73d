"""The graph that a tape recorded of a model, from the loss back to its leaves, and how large gradients are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradaudit.flow.tape import Node, Tape, Tensor
from gradaudit.numerics.magnitude import rms


@dataclass(frozen=True)
class Leaf:
    """A tensor that a gradient is asked for, or that steps use and nothing made.

    Attributes:
        name: the path of the parameter or input; empty for a constant.
        shape: its sizes.
        gradient: rms of the gradient that it holds; None where it holds none.

    """

    name: str
    shape: tuple[int, ...]
    gradient: float | None


@dataclass(frozen=True)
class GraphStep:
    """A step that the tape recorded: its name, the steps that it takes from by their position, and its leaves."""

    name: str
    parents: tuple[int, ...]
    leaves: tuple[Leaf, ...]


@dataclass(frozen=True)
class Graph:
    """What was recorded.

    Attributes:
        steps: every step once, the loss's own first; none where the loss is attached to nothing.
        unreached: the leaves with a name that no step takes.

    """

    steps: tuple[GraphStep, ...]
    unreached: tuple[Leaf, ...]


def trace_graph(tape: Tape, loss: Tensor, named: Mapping[str, Tensor]) -> Graph:
    """Return the graph from a loss whose backward has been run.

    Args:
        tape: that recorded it.
        loss: where it ends.
        named: the parameters and inputs that it should begin with, by their path.

    """
    root = tape.node(loss)
    found = list(_walked(root)) if root else []
    position = {node.identity: k for k, node in enumerate(found)}
    names = {id(tensor): name for name, tensor in named.items()}
    reached: set[str] = set()

    def leaf(tensor: Tensor) -> Leaf:
        name = names.get(id(tensor), "")
        reached.add(name)
        return _leaf(tape, name, tensor)

    steps = [
        GraphStep(
            name=node.name,
            parents=tuple(dict.fromkeys(position[one.identity] for one in node.parents if isinstance(one, Node))),
            leaves=tuple(leaf(one) for one in node.parents if one is not None and not isinstance(one, Node)),
        )
        for node in found
    ]
    unreached = [_leaf(tape, name, tensor) for name, tensor in named.items() if name not in reached]
    return Graph(tuple(steps), tuple(unreached))


def _walked(root: Node) -> Iterator[Node]:
    """Yield each node once, in the order in which they are met."""
    seen, waiting = {root.identity}, [root]
    while waiting:
        node = waiting.pop()
        yield node
        for parent in node.parents:
            if isinstance(parent, Node) and parent.identity not in seen:
                seen.add(parent.identity)
                waiting.append(parent)


def _leaf(tape: Tape, name: str, tensor: Any) -> Leaf:
    if not tape.is_tensor(tensor):
        return Leaf(name, np.shape(tensor), None)
    gradient = tape.gradient(tensor) if name else None
    return Leaf(name, np.shape(tape.array(tensor)), None if gradient is None else rms(np.asarray(gradient)))
