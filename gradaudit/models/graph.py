"""The graph that a tape recorded, walked from a tensor back to the leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from gradaudit.models.tapes.tape import Node, Tape, TapeError, Tensor

MAX_NODES = 1_000_000
"""Most steps that are walked: a graph without end comes from a tape that makes new nodes whenever it is asked."""


@dataclass(frozen=True)
class Walk:
    """What some tensors were computed from, as the tape has it.

    Attributes:
        nodes: the steps by their identity.
        leaves: the tensors that nothing made, by their ``id``.
        depths: by identity of a step or ``id`` of a leaf, the least number of steps from a start.
        parents: by identity of a step, the identities of the steps and the ``id`` of the leaves that it names.
        ranks: by identity of a step, its place in an order in which each comes before all that it was computed from.

    """

    nodes: Mapping[int, Node]
    leaves: Mapping[int, Tensor]
    depths: Mapping[int, int]
    parents: Mapping[int, tuple[int, ...]]
    ranks: Mapping[int, int]

    def reaches(self, tensor: Tensor) -> bool:
        """Whether this leaf is among what they were computed from."""
        return id(tensor) in self.leaves

    def children(self, leaf: Tensor) -> list[Node]:
        """Return the steps that name a leaf as what they were computed from."""
        return [self.nodes[key] for key, parents in self.parents.items() if id(leaf) in parents]

    def above(self, below: int) -> frozenset[int]:
        """Return the identities of all steps that lead to a step or a leaf, itself left out."""
        if below not in self._above:
            self._above[below] = _reached(below, self._users)
        return self._above[below]

    def below(self, key: int) -> frozenset[int]:
        """Return the keys of all that a step was computed from."""
        return _reached(key, self.parents)

    @cached_property
    def _above(self) -> dict[int, frozenset[int]]:
        return {}

    @cached_property
    def _users(self) -> Mapping[int, list[int]]:
        """By key, the steps that name it as what they were computed from."""
        users: dict[int, list[int]] = {}
        for key, parents in self.parents.items():
            for parent in parents:
                users.setdefault(parent, []).append(key)
        return users


def _reached(start: int, following: Mapping[int, Sequence[int]]) -> frozenset[int]:
    """Return all that one key leads to, itself left out."""
    waiting, seen = [start], set[int]()
    while waiting:
        new = set(following.get(waiting.pop(), ())) - seen
        seen |= new
        waiting += new
    return frozenset(seen)


def walk(tape: Tape, *starts: Tensor | Node) -> Walk:
    """Walk from tensors, or steps, back to all leaves; a tensor that nothing made is its own leaf.

    Raises:
        TapeError: where the graph has a cycle, with the steps that it leads through, or has no end.

    """
    level = [start if isinstance(start, Node) else tape.node(start) or start for start in starts]
    nodes: dict[int, Node] = {}
    leaves: dict[int, Tensor] = {}
    parents: dict[int, tuple[int, ...]] = {}
    depths: dict[int, int] = {_key(start): 0 for start in level}
    first = list(depths)
    while level:
        below = []
        for each in level:
            key = _key(each)
            if not isinstance(each, Node):
                leaves[key] = each
                continue
            nodes[key] = each
            if len(nodes) > MAX_NODES:
                raise TapeError(f"the graph has more than {MAX_NODES:,} steps; does reading the tape create steps?")
            found = [parent for parent in each.parents if parent is not None]
            parents[key] = tuple(_key(parent) for parent in found)
            for parent in found:
                if _key(parent) not in depths:
                    depths[_key(parent)] = depths[key] + 1
                    below.append(parent)
        level = below
    return Walk(nodes, leaves, depths, parents, _ranks(nodes, parents, first))


def _key(each: Node | Tensor) -> int:
    return each.identity if isinstance(each, Node) else id(each)


def _ranks(nodes: Mapping[int, Node], parents: Mapping[int, tuple[int, ...]], starts: Sequence[int]) -> dict[int, int]:
    """Return the steps' places in a topological order: a walk in depth leaves each after all that it came from.

    Raises:
        TapeError: where the walk meets a step that it has not left, so that it is computed from itself.

    """
    entered: list[int] = []
    on_path: set[int] = set()
    left: dict[int, None] = {}
    waiting: list[tuple[int, bool]] = [(start, False) for start in starts]
    while waiting:
        key, leaving = waiting.pop()
        if leaving:
            entered.pop()
            on_path.discard(key)
            left[key] = None
            continue
        if key in left or key not in nodes:
            continue
        if key in on_path:
            names = " <- ".join(nodes[each].name for each in [*entered[entered.index(key) :], key])
            raise TapeError(f"the graph has a cycle: a tensor is computed from itself, {names}")
        entered.append(key)
        on_path.add(key)
        waiting.append((key, True))
        waiting += [(parent, False) for parent in parents[key]]
    return {key: rank for rank, key in enumerate(reversed(left))}
