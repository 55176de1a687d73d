"""What a diagnosis has to go by: a claimed gradient, the places where the true one is known, and all that it is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

MOST_BITS = 20.0
"""Most that agreement at one index counts for: beyond, digits say the same thing again."""


def _unknown(times: int) -> Array | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What backward claims at one point, and what it is made of. All arrays are in double precision, or integer.

    Attributes:
        name: the input's name.
        analytical: what backward claims, of the input's shape.
        places: the indices that are looked at, one a row: shape (n, axes).
        inputs: all inputs of the op, by name.
        upstream: the upstream gradients that backward was called with.
        outputs: what forward returned for the inputs.
        params: the op's params.
        conjugated: the conjugate of what backward answers for the upstream's; None where nothing is complex.
        answers: what backward answers when forward and backward are called once more, for a multiple of the upstream;
            None where that is not known.

    """

    name: str
    analytical: Array
    places: NDArray[np.intp]
    inputs: Mapping[str, Array] = field(default_factory=dict)
    upstream: tuple[Array, ...] = ()
    outputs: tuple[Array, ...] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    conjugated: Array | None = None
    answers: Callable[[int], Array | None] = _unknown

    def at_places(self, array: Array) -> Array:
        """Return the values of an array of the gradient's shape at the places: shape (n,)."""
        picked: Array = np.asarray(array[tuple(self.places.T)]).reshape(-1)
        return picked

    @cached_property
    def claimed(self) -> Array:
        """The analytical gradient at the places."""
        return self.at_places(self.analytical)


@dataclass(frozen=True, kw_only=True)
class Evidence(Claim):
    """A wrong gradient, the true one at the places, and what is known around it.

    Attributes:
        numerical: the numerical gradient at the places: shape (n,).
        bounds: what it may be off by there: shape (n,).
        rtol, atol: the tolerance in force.
        wrong_inputs: which other inputs' gradients are wrong too.
        right_inputs: which other inputs' gradients are right.
        complete: whether every index that is wrong is among the places.
        again: what backward answers when forward and backward are called once more; None where not known.
        doubled: what backward answers for twice the upstream; None where not known.
        earlier: what an earlier call of backward answered; None where not known.

    """

    numerical: Array
    bounds: Floats
    rtol: float
    atol: float
    wrong_inputs: tuple[str, ...] = ()
    right_inputs: tuple[str, ...] = ()
    complete: bool = True
    again: Array | None = None
    doubled: Array | None = None
    earlier: Array | None = None

    def only(self, mask: Mask) -> Evidence:
        """Return the same evidence with only some of the places."""
        return replace(self, places=self.places[mask], numerical=self.numerical[mask], bounds=self.bounds[mask])

    @cached_property
    def allowed(self) -> Floats:
        """The tolerance at the places."""
        return np.asarray(self.atol + self.rtol * np.abs(self.numerical), np.float64)

    @cached_property
    def slack(self) -> Floats:
        """How far a prediction may be from the numerical gradient: what is allowed, and what that may be off by."""
        return self.allowed + self.bounds

    @cached_property
    def mismatch(self) -> Floats:
        """How far the analytical gradient is from the numerical one."""
        return np.asarray(np.abs(self.claimed - self.numerical), np.float64)

    @cached_property
    def wrong(self) -> Mask:
        """Where the mismatch exceeds tolerance and bound."""
        return self.mismatch - self.bounds > self.allowed

    @cached_property
    def right(self) -> Mask:
        """Where the mismatch and its bound stay within the tolerance."""
        return self.mismatch + self.bounds <= self.allowed

    @cached_property
    def telling(self) -> Mask:
        """Where there is a gradient at all: one that is zero is right under most mistakes."""
        return np.asarray(np.maximum(np.abs(self.claimed), np.abs(self.numerical)) > 2 * self.slack)

    @cached_property
    def bits(self) -> Floats:
        """How much it says if a prediction is met at a place: a guess as wide as the mismatch would by chance."""
        with np.errstate(divide="ignore", invalid="ignore"):
            bits = np.log2(self.mismatch / self.slack)
        clipped = np.clip(np.nan_to_num(bits, posinf=MOST_BITS), 0.0, MOST_BITS)
        return np.asarray(np.where(self.wrong, clipped, 0.0), np.float64)

    @cached_property
    def repeated(self) -> Mask:
        """Where claim and truth are those of another place: a term that fits the one by chance fits both."""
        order = np.argsort(self.claimed, kind="stable")
        near = [np.abs(np.diff(values[order])) <= self.slack[order][1:] for values in (self.claimed, self.numerical)]
        repeated = np.zeros(len(order), bool)
        repeated[order[1:]] = near[0] & near[1]
        return repeated

    @cached_property
    def probes(self) -> NDArray[np.intp]:
        """The wrong places that say most, at most sixteen: where a prediction fails first."""
        order = np.argsort(-self.bits, kind="stable")[:16]
        return order[self.wrong[order]]
