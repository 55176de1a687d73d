"""Which steps of a model have a wrong backward: each is taken again, alone, and held against its own differences.

A step is a function of few tensors. Its backward is asked for a random upstream, and must say what that makes of the
outputs when the inputs are displaced a little. What the steps before and behind it do is of no importance, so that
every wrong one is found at once, however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.op import ModelOp, Run
from gradaudit.models.recording import Recorded
from gradaudit.models.tapes.tape import Node, Replay
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

SMALLEST_STEP = 2.0**-18
"""Displacement of an element in units of its own size, in float64: few cross a kink, and rounding is far below."""

AGREED = 1e-5
"""Relative error of a derivative along a direction up to which a backward is taken to be right."""

ROUNDINGS = 64.0
"""Roundings that differences of a step, and its backward, are allowed."""

WRONG = "its backward is wrong"

DIRECTIONS = 2
"""Directions that have to contradict a backward: the second shows the first to be no accident."""


@dataclass(frozen=True)
class WrongStep:
    """A step whose backward is wrong.

    Attributes:
        name: what the framework calls it.
        place: ``file:line`` of its call; empty where it is not known.
        within: the function that this line is in.
        source: ``file:line`` of its backward, where a user wrote that.
        node: its node.
        keys: what a walk knows the inputs by for which it is wrong.
        why: what is wrong, beside the backward's numbers.

    """

    name: str
    place: str
    within: str
    source: str
    node: Node
    keys: tuple[int, ...]
    why: str = ""

    def in_words(self) -> str:
        """Say where the step is called, and where its backward is written."""
        where = f" at {self.place} in {self.within}" if self.place and self.within else f" at {self.place}"
        written = f" (written at {self.source})" if self.source else ""
        return f"{self.name}{where if self.place else ''}: {self.why or WRONG}{written}"


def step_of(base: Recorded, key: int, why: str = "") -> WrongStep:
    """Return a step of a run as one that is wrong, for all that it was computed from."""
    made, node = base.places[key], base.from_loss.nodes[key]
    return WrongStep(node.name, made.place, made.within, "", node, tuple(base.named_by(key)), why)


def look_at_steps(op: ModelOp, arrays: Mapping[str, Array]) -> tuple[Run, Sequence[WrongStep]] | None:
    """Return a run of a model, and which of its steps are wrong, in order; None where no step can be taken again.

    Raises:
        OpError: as ``ModelOp.run`` does.

    """
    wrong: list[WrongStep] = []
    users: list[Replay] = []

    def look(step: Replay) -> None:
        if places := _wrong_inputs(step):
            wrong.append(_as_wrong(step, places))
        elif step.source:
            users.append(step)

    with op.tape.replaying(look) as able:
        if not able:
            return None
        run = op.run(arrays)
    if users:
        wrong += _otherwise_inside(op, run, users)
    return run, wrong


def _as_wrong(step: Replay, places: Sequence[int], why: str = "") -> WrongStep:
    keys = tuple(step.keys[k] for k in places)
    return WrongStep(step.name, step.place, step.within, step.source, step.node, keys, why)


def _otherwise_inside(op: ModelOp, run: Run, users: Sequence[Replay]) -> list[WrongStep]:
    """Return the steps whose backward answers otherwise in the model than it does alone: it uses what others left."""
    try:
        op.clear(run)
        op.reverse(run)
    except OpError:
        return []
    found = []
    for step in users:
        if (seen := step.inside()) is None:
            continue
        upstreams, inside = seen
        alone = _answered(step, upstreams)
        pairs = enumerate(zip(inside, alone or (), strict=False))
        if places := [k for k, (one, other) in pairs if one is not None and other is not None and _differ(one, other)]:
            why = "its backward returns another gradient in the model than alone: it uses values saved by another call"
            found.append(_as_wrong(step, places, why))
    return found


def _differ(one: Array, other: Array) -> bool:
    allowed = ROUNDINGS * max(spacing(one.dtype.name), spacing(other.dtype.name)) * np.abs(other).max(initial=0.0)
    return one.shape == other.shape and bool((np.abs(one - other) > allowed).any())


def _wrong_inputs(step: Replay) -> list[int]:
    """Return the positions of the inputs for which a step's backward is wrong; none where that cannot be told."""
    together = [k for k, value in enumerate(step.inputs) if value.size]
    rng = np.random.default_rng(step.inputs[0].size)
    if not _contradicted(step, together, rng):
        return []
    if len(together) == 1:
        return together
    return [k for k in together if _contradicted(step, [k], rng)] or together


def _contradicted(step: Replay, moved: Sequence[int], rng: np.random.Generator) -> bool:
    return all(_off(step, moved, rng) for _ in range(DIRECTIONS))


def _off(step: Replay, moved: Sequence[int], rng: np.random.Generator) -> bool:
    """Whether differences along a random direction contradict a step's backward, over all that they may be off by."""
    base = _taken(step, step.inputs)
    if base is None:
        return False
    along = {k: _direction(step.inputs[k], rng) for k in moved}
    coarsest = max(spacing(each.dtype.name) for each in (*base, *step.inputs))
    size = SMALLEST_STEP * (coarsest / spacing("float64")) ** (1 / 3)
    weights = [_weights(made, rng) for made in base]
    claims = _answered(step, weights)
    if claims is None:
        return False
    terms = np.concatenate([_products(claims[k], along[k]) for k in moved])
    near, far = (_differences(step, along, weights, base, factor * size) for factor in (1.0, 2.0))
    if near is None or far is None:
        return False
    claim, scale = float(terms.sum()), max(float(np.linalg.norm(terms)), abs(near.slope))
    rounding = ROUNDINGS * coarsest * (near.magnitude / size + float(np.abs(terms).sum()) / max(terms.size, 1) ** 0.5)
    allowed = AGREED * scale + 4 * abs(far.slope - near.slope) + near.bent + rounding
    return not abs(near.slope - claim) <= allowed  # NaN is no agreement


@dataclass(frozen=True)
class _Differences:
    """A central difference of the weighted outputs; by how much the sides differ; the magnitude of what was added."""

    slope: float
    bent: float
    magnitude: float


def _differences(
    step: Replay, along: Mapping[int, Array], weights: Sequence[Array], base: Sequence[Array], size: float
) -> _Differences | None:
    inputs = step.inputs
    up = _taken(step, [x + size * along[k] if k in along else x for k, x in enumerate(inputs)])
    down = _taken(step, [x - size * along[k] if k in along else x for k, x in enumerate(inputs)])
    if up is None or down is None or not [a.shape for a in up] == [a.shape for a in down] == [a.shape for a in base]:
        return None
    with np.errstate(all="ignore"):
        ahead = np.concatenate([_products(w, _less(a, b)) for w, a, b in zip(weights, up, base, strict=True)])
        behind = np.concatenate([_products(w, _less(b, a)) for w, a, b in zip(weights, down, base, strict=True)])
    values = np.concatenate([_products(np.abs(w), _finite(np.abs(b))) for w, b in zip(weights, base, strict=True)])
    values *= (ahead != 0.0) | (behind != 0.0)  # what does not change was not rounded otherwise
    slope, bent = float((ahead + behind).sum()) / (2 * size), abs(float((ahead - behind).sum())) / (2 * size)
    return _Differences(slope, bent, float(np.linalg.norm(values)))


def _less(one: Array, other: Array) -> Array:
    """Return a difference, nothing where neither is finite: a masked score stays what it is."""
    return np.asarray(np.where(np.isfinite(one) & np.isfinite(other), one - other, 0.0))


def _finite(x: Array) -> Array:
    return np.asarray(np.where(np.isfinite(x), x, 0.0))


def _products(one: Array | None, other: Array) -> Array:
    """Return the terms of a product of a gradient and a displacement, real parts where they are complex."""
    if one is None:
        return np.zeros(other.size)
    return np.asarray((np.conj(one) * other).real, dtype=np.float64).ravel()


def _direction(x: Array, rng: np.random.Generator) -> Array:
    """Return a displacement of each element by its own size: those that are zero, or not finite, stay."""
    finite = np.isfinite(x)
    own = np.where(finite, np.abs(x), 0.0)
    drawn = rng.choice([-1.0, -0.5, 0.5, 1.0], x.shape)
    if np.any(own) and not (own == 0.0).mean() > 0.5:
        return np.asarray(own * drawn)
    return np.asarray(np.where(finite, (rms(own) or 1.0) * drawn, 0.0))


def _weights(made: Array, rng: np.random.Generator) -> Array:
    drawn = rng.normal(size=made.shape)
    return drawn + 1j * rng.normal(size=made.shape) if made.dtype.kind == "c" else drawn


def _taken(step: Replay, inputs: Sequence[Array]) -> list[Array] | None:
    """Return a step's outputs; None where it cannot be taken alone."""
    try:
        return step.forward(inputs)
    except Exception:  # whatever a user's function raises when it is called alone
        return None


def _answered(step: Replay, upstreams: Sequence[Array]) -> list[Array | None] | None:
    """Return a step's gradients; None where it cannot be taken alone."""
    try:
        return step.backward(upstreams)
    except Exception:  # likewise
        return None
