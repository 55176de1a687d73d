"""Where the tape loses a parameter, found from both ends, at every place on the way to the loss.

From the parameter, the model is run a second time with other values in it: of the tensors that come to be while it
runs, those that change are computed from the parameter, whatever the tape says. The tape is cut at each of them that
names none of the others as what it was computed from, if the loss changes with it: the model is run once more with that
tensor displaced as the parameter has displaced it. What the loss changes by then is the part of the gradient that is
lost there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.models.recording import Recorded, aligned, alike, recorded
from gradaudit.models.tapes.tape import Creation
from gradaudit.numerics.magnitude import rms
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.op import OpError

Array = NDArray[Any]

NUDGES = (2.0**-20, 2.0**-7)
"""How far a parameter is moved, relative to the rms of its values or absolutely: so little that masks and choices
hardly change with it; and so much that no rounding hides it, where the first is lost in that."""

ROUNDINGS = 64.0
"""Roundings of the loss by which it may change without depending on anything."""

MOST_TRIED = 12
"""Tensors that are displaced to see whether the loss changes with them."""

WHOLE = 1 - 1e-5
"""Share of a gradient that is all of it, as far as one direction can tell."""


TOLD = 5e-3
"""Share of a gradient from which on it is told that what is lost would have gone the other way."""


@dataclass(frozen=True)
class Cut:
    """A place where the tape loses some parameters.

    Attributes:
        made: the tensor at which the tape begins anew.
        position: its place among what came to be.
        node: the name of the step that made it, empty where the tape has none.
        last: the last step before it that the tape still leads from to the parameters, with its place; empty for none.
        before: the position of what that step made; -1 for none.
        share: the part of the change of the loss along one direction that passes here; NaN where it is not known.

    """

    made: Creation
    position: int
    node: str = ""
    last: str = ""
    before: int = -1
    share: float = float("nan")

    def in_words(self) -> str:
        """Say where the tape is cut."""
        where = f" at {self.made.place} in {self.made.within}" if self.made.place else ""
        if self.node:
            said = f"{self.node}{where} computes from it but does not name it among its parents"
        else:
            said = f"the tensor made{where} is computed from it but is on no tape"
        return said + (f"; the last step that still leads to it is {self.last}" if self.last else "")

    def in_part(self) -> str:
        """Say the same where another part of the gradient arrives, and how much is lost here."""
        if not np.isfinite(self.share) or -TOLD < self.share <= 0.0:
            return self.in_words()
        if 0.0 < self.share < WHOLE:
            return f"{self.in_words()} ({_percent(self.share)} of the gradient is lost)"
        return f"{self.in_words()} (the lost part is {100.0 * self.share:.0f}% of the gradient)"


@dataclass(frozen=True)
class Way:
    """What becomes of some parameters on the way to the loss.

    Attributes:
        depends: whether the loss changes with them.
        used: whether anything that the model computes changes with them.
        cuts: where the tape loses them, in order from them to the loss.
        steps: the names and places of the steps that compute from them, whatever the tape says.

    """

    depends: bool
    used: bool
    cuts: tuple[Cut, ...] = ()
    steps: frozenset[tuple[str, str]] = frozenset()

    @property
    def places(self) -> list[Cut]:
        """The cuts, those at one line as one: it is passed many times in a loop."""
        found: dict[str, Cut] = {}
        for cut in self.cuts:
            said = f"{cut.made.place} {cut.node}"
            found[said] = replace(found[said], share=found[said].share + cut.share) if said in found else cut
        return list(found.values())

    def in_words(self) -> str:
        """Say where the tape is cut, at every place."""
        if not self.cuts:
            return "the place where the tape loses it was not found"
        if len(self.places) == 1:
            return self.places[0].in_words()
        listed = "; ".join(f"({k}) {cut.in_words()}" for k, cut in enumerate(self.places, 1))
        return f"the tape is cut at {len(self.places)} places on the way to the loss: {listed}"

    def in_part(self) -> str:
        """Say the same of parameters whose gradient arrives in part."""
        if len(self.places) == 1:
            return f"part of the gradient is lost: {self.places[0].in_part()}"
        listed = "; ".join(f"({k}) {cut.in_part()}" for k, cut in enumerate(self.places, 1))
        return f"parts of the gradient are lost at {len(self.places)} places on the way to the loss: {listed}"

    def evidence(self) -> dict[str, Any]:
        """Return the same for tools: the first place, and all of them."""
        first = self.cuts[0] if self.cuts else None
        told: dict[str, Any] = {
            "depends": self.depends,
            "place": first.made.place if first else "",
            "node": first.node if first else "",
            "last": first.last if first else "",
        }
        shares = [{"place": cut.made.place, "node": cut.node, "share": cut.share} for cut in self.places]
        return told | ({"cuts": shares} if shares else {})


def find_way(names: Collection[str], base: Recorded, along: Mapping[str, Array]) -> Way:
    """Return where the tape loses some parameters or inputs; it takes a run or two, and one or two for each place.

    Args:
        names: of those that are lost.
        base: a run of the model.
        along: directions to tell shares of the gradient along, where it is known: random ones tell another share.

    Raises:
        OpError: where the model cannot be run on other values.

    """
    rounding = ROUNDINGS * spacing(base.tape.array(base.run.loss).dtype.name) * abs(base.loss)
    changed, change = _displaced(base, names, {}, rounding)
    passing = {k: _passing(base, k, changed[k]) for k in list(_roots(base, changed, names))[:MOST_TRIED]}
    cuts = [k for k, passed in passing.items() if not abs(passed) <= rounding]
    steps = frozenset((node.name, base.creations[k].place) for k in changed if (node := base.nodes[k]) is not None)
    depends = bool(cuts) or abs(change) > rounding
    told = changed
    if cuts and any(name in along for name in names):  # which may leave unmoved what a cut is at, such as a mean
        told, change = _displaced(base, names, along, rounding)
        passing = {k: _passing(base, k, told[k]) if k in told else 0.0 for k in cuts}
    shares = {k: passing[k] / change if change else float("nan") for k in cuts}
    return Way(depends, bool(changed), tuple(_cut(base, changed, k, names, shares[k]) for k in cuts), steps)


def _displaced(
    base: Recorded, names: Collection[str], along: Mapping[str, Array], rounding: float
) -> tuple[dict[int, Array], float]:
    """Return what comes to be otherwise where parameters are moved, by position, and what the loss changes by."""
    for nudge in NUDGES:
        nudged = {name: _nudged(base.arrays[name], nudge, along.get(name)) for name in names}
        moved = recorded(base.op, {**base.arrays, **nudged})
        changed, change = _changed(base, moved, names), moved.loss - base.loss
        if not changed or abs(change) > rounding:
            break
    return changed, change


def _changed(base: Recorded, moved: Recorded, names: Collection[str]) -> dict[int, Array]:
    """Return what came to be otherwise, by position, with what it is now."""
    lost = {id(base.tensor(name)) for name in names}
    found: dict[int, Array] = {}
    for k, other in aligned(base.creations, moved.creations):
        before, after = base.values[k], moved.values[other]
        if before is None or after is None or id(base.creations[k].tensor) in lost or before.shape != after.shape:
            continue
        if not alike(before, after):
            found[k] = after
    return found


def _roots(base: Recorded, changed: Mapping[int, Array], names: Collection[str]) -> Iterator[int]:
    """Yield what is computed from some parameters, and names nothing that is computed from them.

    What has no derivative by its nature, such as a mask or a choice, is left out, with what is made of it alone. So is
    what is made of untracked tensors, tracked itself or not: the first of these is where the tape was cut.
    """
    tape, lost = base.tape, [base.tensor(name) for name in names]
    keys = {base.keys[k] for k in changed} | {id(tensor) for tensor in lost}
    loose: dict[int, bool] = {}
    """By ``id`` of an untracked tensor, whether it has no derivative by its nature."""
    since = False
    for k in sorted(changed):
        made, node = base.creations[k], base.nodes[k]
        if base.named(k) & keys:
            since = since and not any(base.reaches(k, tensor) for tensor in lost)
            continue
        natural = changed[k].dtype.kind not in "fcV"
        before = [loose[id(each)] for each in made.given if id(each) in loose]
        follows = bool(before)
        if node is None and not tape.tracked(made.tensor):
            follows = follows or (since and not made.told and not made.direct)
            loose[id(made.tensor)] = natural or (bool(before) and all(before))
            since = since or not loose[id(made.tensor)]
        if not natural and not follows:
            yield k


def _passing(base: Recorded, position: int, value: Array) -> float:
    """Return what the loss changes by with another value in what comes to be at a position; NaN for not known."""
    try:
        return float(base.op.loss_with({position: value}, base.arrays).reshape(())) - base.loss
    except OpError:
        return float("nan")


def _cut(base: Recorded, changed: Collection[int], position: int, names: Collection[str], share: float) -> Cut:
    lost = [base.tensor(name) for name in names]
    before = (k for k in sorted(changed, reverse=True) if k < position and base.nodes[k] is not None)
    last = next((k for k in before if any(base.reaches(k, tensor) for tensor in lost)), -1)
    node, said = base.nodes[position], base.said(last) if last >= 0 else ""
    return Cut(base.creations[position], position, node.name if node else "", said, last, share)


def _nudged(array: Array, nudge: float, along: Array | None) -> Array:
    scale = nudge * max(1.0, spacing(array.dtype.name) / spacing("float64") * 2.0**-19) if nudge < NUDGES[1] else nudge
    rng = np.random.default_rng(array.size)
    drawn = rng.choice([-1.0, 1.0], array.shape) * rng.uniform(0.5, 1.5, array.shape)  # no symmetry that cancels
    way = drawn if along is None or not rms(along) > 0.0 else along / rms(along)
    return np.asarray(array + (min(scale, NUDGES[1]) * (rms(array) or 1.0) * way)).astype(array.dtype)


def _percent(share: float) -> str:
    """Return a share in percent, to as many digits as tell it from all and from nothing."""
    least = 100.0 * min(share, 1.0 - share)
    digits = 0 if least >= 1.0 else next((k for k in range(1, 7) if 10.0**-k < least), 7)
    return f"{100.0 * share:.{digits}f}%"
