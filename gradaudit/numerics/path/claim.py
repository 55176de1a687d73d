"""What backward claims of forward around a point, with every call counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gradaudit.numerics.arrays import Array, all_finite, as_reals, cast, copied, dtype_name, joined, namespace
from gradaudit.spec.dtypes import spacing

Domain = tuple[float, float] | None
"""Lowest and highest value of an input; None where nobody said."""

Forward = Callable[[dict[str, Array]], tuple[Array, ...]]
"""Takes all inputs and returns the floating outputs that count."""

Backward = Callable[[tuple[Array, ...], dict[str, Array], tuple[Array, ...]], dict[str, Array]]
"""Takes the upstream, the inputs and what forward returned for them; returns the gradient of each input."""


class UnansweredError(Exception):
    """Forward or backward gives nothing at some inputs; its message is what the op says."""


@dataclass(frozen=True)
class Values:
    """What forward returned at some inputs: as it was, and as one vector of float64 that nobody else writes to."""

    outputs: tuple[Array, ...]
    vector: Array


@dataclass(frozen=True)
class Upstream:
    """Weights of the outputs times a scale.

    Attributes:
        arrays: one for each output.
        vector: all of them over the scale, of float64.
        scale: as above.

    """

    arrays: tuple[Array, ...]
    vector: Array
    scale: float


class PathClaim:
    """A backward that claims to be the gradient of ``<upstream, forward(inputs)>``.

    Args:
        forward: never changes what it is given; may raise ``UnansweredError``.
        backward: likewise; answers for each input in ``differentiable``.
        inputs: the point; real arrays of one framework, in the dtypes that they live in.
        upstream: one array for each output.
        differentiable: the inputs that gradients are claimed for; default: all.
        domains: lowest and highest value, by input.
        unit: unit roundoff of what gradients are computed in.

    Attributes:
        forwards: calls of forward so far.
        backwards: calls of backward so far.
        refusal: why either gave nothing where it last did so.

    """

    def __init__(
        self,
        forward: Forward,
        backward: Backward,
        inputs: Mapping[str, Array],
        upstream: tuple[Array, ...],
        differentiable: tuple[str, ...] | None = None,
        domains: Mapping[str, Domain] | None = None,
        unit: float = 0.0,
    ) -> None:
        self._forward = forward
        self._backward = backward
        self.inputs = dict(inputs)
        self.upstream = upstream
        self.given = Upstream(upstream, copied(joined(upstream)), 1.0)
        self.differentiable = tuple(inputs) if differentiable is None else differentiable
        self.domains = {name: (domains or {}).get(name) for name in inputs}
        self.unit = unit
        self.forwards = 0
        self.backwards = 0
        self.refusal = ""

    @property
    def spent(self) -> int:
        """Calls of forward or of backward so far, whichever are more."""
        return max(self.forwards, self.backwards)

    @property
    def is_half(self) -> bool:
        """Whether gradients are known to be computed in half precision."""
        return self.unit >= spacing("float16") / 2

    def values(self, inputs: dict[str, Array]) -> Values | None:
        """Return forward's outputs; None where it cannot be evaluated or gives what is not finite."""
        self.forwards += 1
        try:
            outputs = self._forward(inputs)
        except UnansweredError as error:
            self.refusal = str(error)
            return None
        vector = copied(joined(outputs))
        if all_finite(vector):
            return Values(outputs, vector)
        self.refusal = "forward is not finite"
        return None

    def scaled(self, scale: float) -> Upstream:
        """Return the upstream times a scale, rounded to as few digits as backward computes with."""
        arrays = []
        for array in self.upstream:
            wide = scale * as_reals(array)
            arrays.append(cast(rounded(wide, self.unit), dtype_name(array.dtype)).reshape(array.shape))
        return Upstream(tuple(arrays), joined(tuple(arrays)) / scale, scale)

    def gradients(
        self, inputs: dict[str, Array], values: Values, upstream: Upstream | None = None
    ) -> dict[str, Array] | None:
        """Return the claimed gradients over the upstream's scale, as vectors of float64; None where one is not usable.

        Args:
            inputs: where.
            values: what forward returned there.
            upstream: default: as given.

        """
        self.backwards += 1
        upstream = upstream or self.given
        try:
            claimed = self._backward(upstream.arrays, inputs, values.outputs)
        except UnansweredError as error:
            self.refusal = str(error)
            return None
        made = {name: as_reals(claimed[name]) for name in self.differentiable}
        if upstream.scale != 1.0:
            made = {name: gradient / upstream.scale for name, gradient in made.items()}
        broken = [name for name, gradient in made.items() if not all_finite(gradient)]
        if broken:
            self.refusal = f"backward's gradient of {', '.join(broken)} is not finite"
        return None if broken else made

    def change(self, values: Values, since: Values) -> float:
        """Return by how much the loss changed; outputs are subtracted before they are summed."""
        return float(self.given.vector @ (values.vector - since.vector))


def rounded(values: Array, unit: float) -> Array:
    """Return real numbers rounded to as few digits as a unit roundoff leaves; as they are where that is zero."""
    if not unit:
        return values
    xp = namespace(values)
    quantum = 2 * unit * 2.0 ** xp.floor(xp.log2(xp.where(values == 0, xp.ones_like(values), abs(values))))
    return xp.round(values / quantum) * quantum
