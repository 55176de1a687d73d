"""A model with many parameters displaced along a random direction, each run in the same memory.

A direction keeps a byte an element, and what is handed to the model is written anew for each run: block by block, from
the parameters themselves, so that a model that writes into its parameters, or keeps them, leaves nothing behind.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.op import ModelOp, Run
from gradaudit.numerics.arrays import IN_CACHE, in_cache, inner
from gradaudit.numerics.root_test import random_bits
from gradaudit.targets.structure import leaves

Array = NDArray[Any]

LEAST = 64
"""Magnitudes are whole numbers from this to twice it, less one: each element moves, and no two must cancel."""


@dataclass(frozen=True)
class Direction:
    """How one parameter is displaced: each element by a random part of a scale, with a random sign.

    Attributes:
        moves: by element, sign and magnitude as int8; as float32 where some are displaced farther.
        scale: of the largest magnitude.
        claim: its gradient, flat; elements where this is small are displaced farther.
        typical: the rms of the gradient.
        farthest: how many times as far at most.

    """

    moves: NDArray[np.int8] | NDArray[np.float32]
    scale: float
    claim: Array
    typical: float
    farthest: float

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, claim: Array, *, scale: float, typical: float, farthest: float
    ) -> Direction:
        """Return a random direction for a parameter with this gradient."""
        codes = random_bits(rng, claim.size, np.int8)
        signs = codes >> 7  # 0 or -1: what a number's bits are flipped by, and then its negative is off by
        codes &= LEAST - 1
        codes += LEAST
        codes ^= signs
        codes -= signs
        flat = claim.reshape(-1)
        moves = codes if farthest == 1.0 or typical == 0.0 else _stretched(codes, flat, typical, farthest)
        return cls(moves, scale, flat, typical, farthest)

    def write(self, where: slice, out: Array, step: float) -> None:
        """Write a displacement of some elements, this direction times a step, to an array in float64."""
        np.multiply(self.moves[where], step * self.scale / (2 * LEAST - 1), out=out)

    @cached_property
    def slope(self) -> float:
        """What the loss changes by along it, as the gradient has it."""
        moved, total = np.empty(IN_CACHE), 0.0
        for where in in_cache(self.claim):
            d = moved[: where.stop - where.start]
            self.write(where, d, 1.0)
            total += inner(self.claim[where], d)
        return total

    def rounding(self, spacing: float) -> float:
        """Return by how much roundings of the gradient, relative to its elements and their rms, change that at most."""
        return spacing * self.farthest * 2.0 * self.scale * self.typical * math.sqrt(self.claim.size)


def _stretched(codes: NDArray[np.int8], claim: Array, typical: float, farthest: float) -> NDArray[np.float32]:
    """Return displacements of so many times their length as a gradient is smaller than is typical, at most so many."""
    moves = np.empty(codes.shape, np.float32)
    with np.errstate(divide="ignore", over="ignore"):
        for where in in_cache(claim):
            factors = np.divide(typical, np.abs(claim[where]), out=moves[where], casting="same_kind")
            np.clip(factors, 1.0, farthest, out=factors)
            factors *= codes[where]
    return moves


@dataclass(frozen=True)
class Ran:
    """What a run left.

    Attributes:
        loss: its value.
        outputs: copies of the tensors that the model returned, in order.

    """

    loss: float
    outputs: tuple[Array, ...]


class Displaced:
    """A model in double precision, to be run at displacements of some of its parameters and inputs.

    Args:
        op: the model.
        arrays: the batch and the parameters, in their own dtypes.
        wide: the same in double precision; what is another array there is written to.
        names: those that may be displaced.

    """

    def __init__(
        self, op: ModelOp, arrays: Mapping[str, Array], wide: Mapping[str, Array], names: Iterable[str]
    ) -> None:
        self.op = op
        self.arrays = {name: arrays[name] for name in names}
        self.held = {
            name: np.empty(each.shape) if wide[name] is each else np.require(wide[name], requirements=("C", "W"))
            for name, each in self.arrays.items()
        }
        self.others = {name: each for name, each in wide.items() if name not in self.held}

    def run(self, along: Mapping[str, Direction], step: float) -> Ran:
        """Run the model with its parameters displaced along directions by some step.

        Raises:
            OpError: as ``ModelOp.run`` does.

        """
        for name, x in self.arrays.items():
            self._write(self.held[name].reshape(-1), x.reshape(-1), along.get(name), step)
        run = self.op.run_with({}, {**self.others, **self.held}, lent=True)
        return Ran(loss_in(self.op, run), outputs_of(self.op, run))

    def _write(self, held: Array, x: Array, along: Direction | None, step: float) -> None:
        if along is None:
            held[...] = x
            return
        for where in in_cache(held):
            here = held[where]
            along.write(where, here, step)
            here += x[where]


def loss_in(op: ModelOp, run: Run) -> float:
    """Return the value of the loss of a run."""
    return float(op.tape.array(run.loss).reshape(()))


def outputs_of(op: ModelOp, run: Run) -> tuple[Array, ...]:
    """Return copies of the tensors that a model returned."""
    return tuple(op.tape.array(each).copy() for each in leaves(run.output) if op.tape.is_tensor(each))
