"""What a gradient would have to be, as a formula: where there is no source to edit, or no edit is found."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from gradaudit.numerics.arrays import on_host
from gradaudit.repair.draws import ERRORS, Draw, drawn, other_draws
from gradaudit.repair.holes import Hole
from gradaudit.repair.program import edit_cost
from gradaudit.repair.proposals import proposals
from gradaudit.repair.repairs import Applicability, Confirmed, Repair
from gradaudit.repair.responses import Response
from gradaudit.repair.scope import Scopes
from gradaudit.source.text import SourceText
from gradaudit.spec.case import Case
from gradaudit.spec.other_shapes import distinct_shapes, other_shapes, small_shapes
from gradaudit.targets import opened

LARGEST = 150
"""Elements of a gradient up to which a formula is looked for."""

MOST_TRIED = 200
"""Formulas of a gradient that are held against other points."""

DRAWS = 5
SHAPES = 3
"""Further draws, and further shapes, that a formula is held against."""

GRADIENT = "gradient"
"""What a formula calls that which backward returns now."""


@dataclass(frozen=True)
class Point:
    """What a formula may be made of at one draw, and the draw."""

    scope: Mapping[str, Any]
    draw: Draw

    def meets(self, text: str, name: str) -> bool:
        """Whether a formula is the gradient of an input there."""
        k = self.draw.names.index(name)
        try:
            value = eval(text, {"np": np}, {**self.scope, GRADIENT: self.scope[GRADIENT][name]})
            array = np.broadcast_to(value, self.draw.inputs[name].shape)
        except Exception:  # whatever NumPy raises where shapes do not fit
            return False
        own = np.full(len(self.draw.numerical), np.nan, self.draw.numerical.dtype)
        own[self.draw.owners == k] = array.reshape(-1)[self.draw.places[name]]
        return bool(self.draw.right(own)[self.draw.owners == k].all())


def formulas(case: Case, names: Sequence[str]) -> tuple[Repair, ...]:
    """Return the plainest formula of the gradient of each of some inputs, where one holds at all draws and shapes.

    Args:
        case: a case whose gradients are wrong.
        names: the inputs.

    """
    with ExitStack() as stack, suppress(*ERRORS):
        here = _point(case, stack)
        if here is None:
            return ()
        shaped = (*distinct_shapes(case), *small_shapes(case), *other_shapes(case))
        draws = [one for other in other_draws(case, DRAWS) if (one := _point(other, stack))]
        shapes = list(islice((one for other in shaped if (one := _point(other, stack))), SHAPES))
        found = ((name, _formula(here, [*draws, *shapes], name)) for name in names if name in here.draw.places)
        by = Confirmed(0, len(draws), len(shapes))
        return tuple(Repair(text, Applicability.HINT, "", 0, (name,), by) for name, text in found if text)
    return ()


def _point(case: Case, stack: ExitStack) -> Point | None:
    with suppress(*ERRORS):
        op = stack.enter_context(opened(case))
        draw = drawn(case, op, LARGEST)
        if draw is None or not np.isfinite(draw.slack).any():
            return None
        answer = op.backward(draw.upstream, {name: np.array(x) for name, x in draw.inputs.items()}, draw.outputs)
        gradients = {name: np.asarray(on_host(made)) for name, made in answer.items() if made is not None}
        return Point({**draw.inputs, **_named(draw, op), GRADIENT: gradients}, draw)
    return None


def _named(draw: Draw, op: Any) -> dict[str, Any]:
    outputs = [on_host(draw.outputs[k]) for k in op.differentiable_outputs(draw.outputs)]
    if len(outputs) == 1:
        return {"output": outputs[0], "upstream": on_host(draw.upstream[0])}
    pairs = zip(outputs, draw.upstream, strict=True)
    return {
        name: on_host(array)
        for k, (output, upstream) in enumerate(pairs)
        for name, array in ((f"output_{k}", output), (f"upstream_{k}", upstream))
    }


def _formula(here: Point, others: Sequence[Point], name: str) -> str:
    """Return the plainest formula of a gradient that holds at all points; nothing where none of those tried does."""
    tried = islice(dict.fromkeys(_proposed(here, name)), MOST_TRIED)
    held = [text for text in tried if all(point.meets(text, name) for point in (here, *others))]
    words = frozenset({GRADIENT, *here.scope})
    return min(held, key=lambda text: edit_cost(GRADIENT, text, words), default="")


def _proposed(here: Point, name: str) -> Iterator[str]:
    """Yield formulas that a gradient is at one point, as far as a fit tells."""
    draw = here.draw
    own = draw.owners == draw.names.index(name)
    gradient, wanted = here.scope[GRADIENT].get(name), draw.numerical[own]
    shape = draw.inputs[name].shape
    known = bool(np.isfinite(draw.slack[own]).all()) and not np.iscomplexobj(wanted)
    if gradient is None or gradient.shape != shape or not known or len(wanted) != gradient.size:
        return
    now = gradient.reshape(-1).astype(np.float64)
    everywhere = np.ones(len(now), bool)
    made = Response([gradient * 1.0], now, wanted - now, np.eye(len(now)), True, wanted, everywhere)
    scope = {**here.scope, GRADIENT: gradient}
    atoms = Scopes({"np": np}, (), prefix="np").atoms([scope])
    text = SourceText(GRADIENT)
    node = ast.parse(GRADIENT, mode="eval").body
    yield from proposals(Hole(node), made, atoms, text)
