"""An op whose child process takes several points of forward in one message: far fewer of them for an audit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from gradaudit.targets.op import OpError
from gradaudit.targets.process_op import Array, ProcessOp

MESSAGE = 2**24
"""Bytes of inputs, or of outputs, that several points in one message may come to."""

SHARE = 0.1
"""Part of the time for an answer that several points may take if each takes as long as the last one by itself."""


@dataclass
class Pace:
    """What one forward came to: the seconds until the answer, and the bytes of it."""

    seconds: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class ProcessOpOfMany(ProcessOp):
    """An op whose child process takes several points of forward in one message.

    Attributes:
        most: points that it takes.
        pace: what the last forward at one point came to.

    """

    most: int = field(kw_only=True)
    pace: Pace = field(default_factory=Pace, kw_only=True, repr=False, compare=False)

    def forward(self, inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return the outputs at one point, and learn from it how many to ask for at once."""
        started = time.monotonic()
        outputs = super().forward(inputs)
        self.pace.seconds = time.monotonic() - started
        self.pace.size = sum(out.nbytes for out in outputs)
        return outputs

    def forward_many(self, inputs: Mapping[str, Array], varied: str, points: Array) -> list[tuple[Array, ...] | None]:
        """Return the outputs at each of several points, asked for in as few messages as are of a reasonable size."""
        made: list[tuple[Array, ...] | None] = []
        while len(made) < len(points):
            some = points[len(made) : len(made) + self._at_once(inputs[varied].nbytes)]
            made += self._one_by_one(inputs, varied, some) if len(some) == 1 else self._together(inputs, varied, some)
        return made

    def _at_once(self, size: int) -> int:
        in_bytes = MESSAGE // max(size, self.pace.size, 1)
        in_time = SHARE * self.child.seconds / max(self.pace.seconds, 1e-9)
        return max(1, int(min(self.most, in_bytes, in_time)))

    def _together(self, inputs: Mapping[str, Array], varied: str, points: Array) -> list[tuple[Array, ...] | None]:
        try:
            answer = self._ask("forward", {**inputs, varied: points}, points=str(len(points)), varied=varied)
        except OpError:  # which one of them it is the fault of is not known
            return self._one_by_one(inputs, varied, points)
        outputs = self._outputs(answer)
        for k, out in enumerate(outputs):
            if out.shape[:1] != (len(points),):
                found = f"output[{k}] of shape {out.shape}; expected a first axis of {len(points)}"
                raise OpError(f"forward was asked for {len(points)} points and answered {found}")
        return [tuple(out[k, ...] for out in outputs) for k in range(len(points))]

    def _one_by_one(self, inputs: Mapping[str, Array], varied: str, points: Array) -> list[tuple[Array, ...] | None]:
        return [self._if_any({**inputs, varied: points[k, ...]}) for k in range(len(points))]

    def _if_any(self, inputs: Mapping[str, Array]) -> tuple[Array, ...] | None:
        try:
            return self.forward(inputs)
        except OpError:
            return None
