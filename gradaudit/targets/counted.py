"""An op whose calls are counted where they happen, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gradaudit.numerics.arrays import namespace
from gradaudit.targets.calls import Calls
from gradaudit.targets.op import Array, Op, OpOfMany, StackableOp


class CountingOp(Op, Protocol):
    """An op that counts its own calls, and keeps to the limits that these are given.

    ``unused`` are inputs that forward does not depend on, for which None is the gradient zero.
    """

    calls: Calls
    unused: frozenset[str]


class CountedOp:
    """An op that behaves as another does, and counts its calls.

    Attributes:
        calls: how many there were.
        unused: inputs for which None is the gradient zero.

    """

    def __init__(self, op: Op) -> None:
        self._op = op
        self.calls = Calls()
        self.unused = frozenset[str]()

    def __getattr__(self, name: str) -> Any:
        """Return what else the op has, such as the parameters of a module."""
        return getattr(self._op, name)

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return all outputs for these inputs."""
        self.calls.count(forwards=1)
        return self._op.forward(inputs)

    def differentiable_outputs(self, outputs: tuple[Array, ...]) -> tuple[int, ...]:
        """Return the positions of the outputs that upstream gradients belong to."""
        return self._op.differentiable_outputs(outputs)

    def backward(
        self, upstream: tuple[Array, ...], inputs: Mapping[str, Array], outputs: tuple[Array, ...]
    ) -> dict[str, Array | None]:
        """Return the vector-Jacobian product for each input that backward answers for."""
        self.calls.count(backwards=1)
        made = self._op.backward(upstream, inputs, outputs)
        none = [name for name in self.unused if made.get(name) is None]
        return {**made, **{name: namespace(inputs[name]).zeros_like(inputs[name]) for name in none}} if none else made

    def forward_stacked(self, inputs: Mapping[str, Array], varied: str, points: Array) -> tuple[Array | None, ...]:
        """Return all outputs at several points, stacked, as an op that is ``stackable`` does; each point counts."""
        self.calls.count(forwards=len(points))
        stackable: StackableOp = self._op  # type: ignore[assignment]
        return stackable.forward_stacked(inputs, varied, points)


class CountedOpOfMany(CountedOp):
    """The same for an op that evaluates forward at several points at once."""

    def forward_many(
        self, inputs: Mapping[str, Array], varied: str, points: Array
    ) -> Sequence[tuple[Array, ...] | None]:
        """Return all outputs at each of several points."""
        self.calls.count(forwards=len(points))
        many: OpOfMany = self._op  # type: ignore[assignment]
        return many.forward_many(inputs, varied, points)


def counting(op: Any) -> CountingOp:
    """Return an op with its calls counted; one that counts them already as it is."""
    if isinstance(getattr(op, "calls", None), Calls):
        counts: CountingOp = op
        return counts
    return CountedOpOfMany(op) if hasattr(op, "forward_many") else CountedOp(op)
