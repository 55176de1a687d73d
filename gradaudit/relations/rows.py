"""Rows, which are places along the first axis, in another order, by themselves, and beside other rows.

Forward says which ops keep rows apart, as a layer does those of a batch, and which mind no order: it is called with
rows exchanged, at values that are near those of the case and hit no kink or tie. Where it keeps to a relation there,
backward has to. An upstream 1,024 times as large in the other rows shows what little of it ends up in a row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from gradaudit.checks import compared
from gradaudit.checks.agreement import Change, change
from gradaudit.checks.gradient.beside import inside
from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.checks.linearity import LARGE_UPSTREAM
from gradaudit.checks.probe import Point, Probe, Upstream
from gradaudit.numerics.arrays import Array, all_finite, dtype_name, largest, lifted, on_host, same_bits
from gradaudit.numerics.magnitude import rms
from gradaudit.numerics.margins import SMALL_SAMPLE
from gradaudit.results import Finding
from gradaudit.spec.draw import generator, laid_out
from gradaudit.spec.dtypes import floating_info, largest_value, spacing
from gradaudit.spec.op_targets import LibraryTarget
from gradaudit.targets.op import OpError

NEAR = 1 / 16
"""Part of itself by which a value is smaller near a case: it stays in every range that has a zero."""

STAIRS = ("straight-through", "discontinuity")
"""Findings of forwards that stay the same over some distance: that rows leave each other alone then says nothing."""

Index = NDArray[np.int64]
Inputs = Mapping[str, Array]


class Agreement(IntEnum):
    """How far two outputs are the same."""

    NONE = 0
    ROUNDED = 1
    EXACT = 2


@dataclass(frozen=True)
class Rows:
    """Rows of an op's inputs and outputs.

    Attributes:
        probe: the op.
        names: the inputs that have rows; the others belong to all of them, as weights do.
        count: how many rows.

    """

    probe: Probe
    names: frozenset[str]
    count: int

    @property
    def kept(self) -> int:
        """How many rows, the first ones, stay where they are while the others are exchanged."""
        return self.count - self.count // 2

    @property
    def all(self) -> Index:
        """All rows in their order."""
        return np.arange(self.count)

    @property
    def order(self) -> Index:
        """All rows in another order, in which none is where it was."""
        return np.roll(self.all, self.count // 2)

    @property
    def beside(self) -> Index:
        """The first rows in their places, and again in those of the others."""
        return self.all % self.kept

    @property
    def others(self) -> Index:
        """The others in all places."""
        return self.kept + self.all % (self.count - self.kept)

    def inputs(self, inputs: Inputs, index: Index) -> dict[str, Array]:
        """Return inputs with some of their rows."""
        plans = {plan.name: plan.layout for plan in self.probe.case.inputs}
        chosen = {name: laid_out(on_host(inputs[name])[index], plans[name]) for name in self.names}
        return {name: self.probe.subject.placed(chosen[name]) if name in chosen else inputs[name] for name in inputs}

    def outputs(self, outputs: Sequence[Array], index: Index) -> list[Array]:
        """Return outputs with some of their rows; those that have none stay as they are."""
        return [on_host(out)[index] if self.has_rows(out) else on_host(out) for out in outputs]

    def upstream(self, index: Index, times: float = 1.0) -> Upstream:
        """Return the upstream with some of its rows, so many times as large in all but the first of them."""
        chosen = self.outputs(self.probe.subject.upstream, index)
        for part in chosen:
            if self.has_rows(part) and times != 1.0:
                part[self.kept :] *= part.dtype.type(times)
        return tuple(map(self.probe.subject.placed, chosen))

    def has_rows(self, array: Array) -> bool:
        """Whether an output has these rows."""
        return tuple(array.shape[:1]) == (self.count,)


@dataclass(frozen=True)
class Called:
    """A point near the case, and how forward answers there when rows are exchanged.

    Attributes:
        point: its inputs and outputs.
        exchanged: the same with rows in another order.
        apart: how far each row of the outputs goes along with that of the inputs, whatever rows are beside it.
        ordered: how far outputs are the same in another order, or have no rows and stay as they are.

    """

    point: Point
    exchanged: Point
    apart: Agreement
    ordered: Agreement


def rows_apart(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose gradient depends on other rows, or on their order, where no output does.

    Raises:
        OpError: where forward gives nothing usable near the case, or backward where rows are exchanged.

    """
    if any(finding.code in STAIRS for result in probe.results for finding in result.findings):
        return
    here = nudged(probe)
    outputs = probe.forward(here)
    for rows in _candidates(probe):
        with suppress(OpError):
            called = _called(rows, Point(here, outputs))
            if called.ordered:
                yield from _broken(rows, called)
                return


def nudged(probe: Probe) -> dict[str, Array]:
    """Return inputs a little smaller than those of a case, each element by another part of itself; zeros larger."""
    made = dict(probe.subject.inputs)
    for plan in probe.case.inputs:
        if plan.differentiable:
            rng, array = generator(probe.case, f"near {plan.name}"), on_host(made[plan.name])
            wide, part = widened(array), NEAR * rng.random(tuple(array.shape))
            moved = np.where(wide == 0, part * (rms(wide) or 1.0), wide * (1 - part))
            moved = inside(np.asarray(moved), wide, plan.range)
            made[plan.name] = probe.subject.placed(laid_out(moved.astype(array.dtype), plan.layout))
    return made


def _candidates(probe: Probe) -> Iterator[Rows]:
    """Yield the rows that there may be: those of every input that has so many, and those of the first alone."""
    first_output = probe.counted(probe.subject.outputs)[0]
    sizes = [*first_output.shape[:1]] or [array.shape[0] for array in probe.subject.inputs.values() if array.ndim][:1]
    names = [name for name, array in probe.subject.inputs.items() if list(array.shape[:1]) == sizes]
    if sizes and sizes[0] > 1:
        for some in dict.fromkeys((frozenset(names), frozenset(names[:1]))):
            yield Rows(probe, some, sizes[0])


def _called(rows: Rows, point: Point) -> Called:
    """Call forward with rows exchanged: all in another order, and the first or the others of them in all places.

    That outputs go along in all three says that each row is made of its own alone, if not all rows are the same. Of
    rows that are divided by the largest element of any, one of the two halves goes along.
    """
    was = rows.probe.counted(point.outputs)
    exchanged = Point(inputs := rows.inputs(point.inputs, rows.order), rows.probe.forward(inputs))
    ordered = _agreement(rows.outputs(was, rows.order), rows.probe.counted(exchanged.outputs))
    apart = Agreement.NONE
    if ordered and all(map(rows.has_rows, was)) and not _agreement(was, rows.outputs(was, rows.order)):
        halves = [(index, rows.probe.forward(rows.inputs(point.inputs, index))) for index in (rows.beside, rows.others)]
        along = [_agreement(rows.outputs(was, index), rows.probe.counted(made)) for index, made in halves]
        apart = min(ordered, *along)
    return Called(point, exchanged, apart, ordered)


def _agreement(first: Sequence[Array], second: Sequence[Array]) -> Agreement:
    """Return how far outputs are the same; those of a coarse dtype are either the same or not."""
    if not all(map(all_finite, [*first, *second])) or [one.shape for one in first] != [two.shape for two in second]:
        return Agreement.NONE
    pairs = list(zip(first, second, strict=True))
    if any(one.dtype != other.dtype or not _has_digits(one) for one, other in pairs):
        return Agreement.NONE
    if all(same_bits(one, other) for one, other in pairs):
        return Agreement.EXACT
    coarse = max(spacing(dtype_name(one.dtype)) for one, _ in pairs)
    if coarse > spacing("float32") or any(change(one, other, 0.0, 1) for one, other in pairs):
        return Agreement.NONE
    return Agreement.ROUNDED


def _has_digits(output: Array) -> bool:
    """Whether an output is more than zero, or what is left of it where it underflows: that is the same whatever is."""
    name = dtype_name(output.dtype)
    return bool(largest(output) > float(floating_info(name).smallest_normal) / spacing(name) ** 0.5)


def _broken(rows: Rows, called: Called) -> list[Finding]:
    """Return what breaks one of the relations that forward keeps to, of inputs that it can be seen to depend on."""
    upstream = rows.upstream(rows.all)
    asked = compared.Asked(called.point, upstream, rows.probe.backward(called.point, upstream))
    found = _leaks(rows, called.apart) if called.apart else []
    if not found and called.apart and not isinstance(rows.probe.case.target, LibraryTarget):  # whose params have sizes
        found = _first_row_alone(rows, asked)
    found = found or _in_another_order(rows, called.exchanged, asked)
    found = [finding for finding in found if _is_heard(rows, called.point, finding.evidence["array"])]
    return found if found and _is_no_chance(rows, called.point) else []


def _is_no_chance(rows: Rows, point: Point) -> bool:
    """Whether outputs go along with the rows in more orders, too: a single one of few digits may do so once."""
    rng, was = generator(rows.probe.case, "orders"), rows.probe.counted(point.outputs)
    orders = [rng.permutation(rows.count) for _ in range(SMALL_SAMPLE)]
    made = [rows.probe.counted(rows.probe.forward(rows.inputs(point.inputs, order))) for order in orders]
    return all(_agreement(rows.outputs(was, order), now) for order, now in zip(orders, made, strict=True))


def _is_heard(rows: Rows, point: Point, name: str) -> bool:
    """Whether outputs change by far more than their rounding with an input alone; else they say nothing about it."""
    x = on_host(point.inputs[name])
    other = x[rows.beside] if name in rows.names else (x / 2).astype(x.dtype)
    outputs = rows.probe.forward({**point.inputs, name: rows.probe.subject.placed(other)})
    was, now = (lifted(rows.probe.counted(made)) for made in (point.outputs, outputs))
    return rms(now - was) > math.sqrt(rows.probe.rounding) * rms(was)


def _leaks(rows: Rows, apart: Agreement) -> list[Finding]:
    """Return the findings of rows that get something of others, with a large upstream."""
    probe, kept = rows.probe, rows.kept
    inputs = rows.inputs(probe.subject.inputs, rows.beside)
    outputs = probe.forward(inputs)
    was, now = probe.counted(probe.subject.outputs), probe.counted(outputs)
    if _agreement(rows.outputs(was, rows.beside), now) < apart:
        return []
    room = float(largest_value(probe.case.dtype)) ** 0.25
    times = min(LARGE_UPSTREAM, room) if apart is Agreement.EXACT else 1.0
    answer = probe.backward(Point(inputs, outputs), rows.upstream(rows.beside, -times))
    here = Point(probe.subject.inputs, probe.subject.outputs)
    asked = compared.Asked(here, probe.subject.upstream, {name: compared.claim(probe, name) for name in probe.claimed})
    found = []
    for name in filter(rows.names.__contains__, probe.claimed):
        was = compared.claim(probe, name)[:kept]
        if seen := compared.change(probe, name, was, answer[name][:kept], asked, exact=apart is Agreement.EXACT):
            what = f"changes in the first {kept} of {rows.count} rows with the other rows and their upstream"
            found.append(_finding(name, what, "rows", seen))
    return found


def _first_row_alone(rows: Rows, asked: compared.Asked) -> list[Finding]:
    """Return the findings of gradients that are others for one row, and the rest of them, than for all together."""
    probe = rows.probe
    answers = []
    for index in (rows.all[:1], rows.all[1:]):
        inputs = rows.inputs(asked.point.inputs, index)
        outputs = probe.forward(inputs)
        if not _agreement(rows.outputs(probe.counted(asked.point.outputs), index), probe.counted(outputs)):
            return []
        try:
            answers.append(probe.backward(Point(inputs, outputs), rows.upstream(index)))
        except OpError as error:
            how_many = "one row" if len(index) == 1 else f"{len(index)} rows"
            message = f"backward takes {rows.count} rows, and with {how_many} of them it {error}"
            return [
                Finding("row-dependent", message, {"array": probe.claimed[0], "relation": "one row", "raised": True})
            ]
    found = []
    for name in probe.claimed:
        one, others = (on_host(answer[name]) for answer in answers)
        together = np.concatenate([one, others]) if name in rows.names else np.asarray(one + others)
        if seen := compared.change(probe, name, on_host(asked.answers[name]), together, asked):
            what = f"for the first row alone and for the {rows.count - 1} others is not that for all of them"
            found.append(_finding(name, what, "one row", seen))
    return found


def _in_another_order(rows: Rows, exchanged: Point, asked: compared.Asked) -> list[Finding]:
    """Return the findings of gradients that are not in the order of the rows."""
    probe = rows.probe
    answer = probe.backward(exchanged, rows.upstream(rows.order))
    found = []
    for name in probe.claimed:
        was = on_host(asked.answers[name])
        was = was[rows.order] if name in rows.names else was
        if seen := compared.change(probe, name, was, on_host(answer[name]), asked):
            found.append(_finding(name, f"changes with the order of the {rows.count} rows", "order", seen))
    return found


def _finding(name: str, what: str, relation: str, seen: Change) -> Finding:
    message = (
        f"backward's gradient of {name} {what}, at {seen.count:,} of {seen.size:,} indices by up to "
        f"{seen.largest:.2g}, and forward's output does not: what is summed, scaled or stored belongs to another row"
    )
    evidence = {"array": name, "relation": relation, "changed": seen.count, "size": seen.size, "largest": seen.largest}
    return Finding("row-dependent", message, evidence)
