"""Whether forward and backward answer the same when they are asked the same again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gradaudit.checks.agreement import Change, change, exceeding
from gradaudit.checks.gradient.evaluation_point import widened
from gradaudit.checks.linearity import large, scaled_by
from gradaudit.checks.probe import Probe
from gradaudit.numerics.arrays import Array, copied, count, dtype_name, largest, lifted, namespace, on_host
from gradaudit.numerics.margins import SIGNIFICANT, SLOPE_RTOL
from gradaudit.results import Finding
from gradaudit.spec.dtypes import spacing
from gradaudit.targets.unwritten import FIRST, SECOND, Fill, unwritten


def stochastic_forward(probe: Probe) -> Iterator[Finding]:
    """Yield a finding where forward gives other outputs for the same inputs.

    The second time other numbers are in memory that nobody writes. Where those alone decide on an output, that is why.
    """
    subject = probe.subject

    def outputs(fill: Fill) -> tuple[Array, ...]:
        with unwritten(fill):
            return probe.counted(probe.op.forward(subject.inputs))

    first, again = probe.counted(subject.outputs), outputs(SECOND)
    if seen := worst_change(first, again, subject.inputs):
        again = tuple(map(copied, again))  # the next call may write to them
        drawn = bool(worst_change(again, outputs(SECOND), subject.inputs))
        if not drawn and not worst_change(first, outputs(FIRST), subject.inputs):
            pairs = [(change(*pair, 0.0, 1), *pair) for pair in zip(first, again, strict=True)]
            forgotten, one, other = max(pairs, key=lambda pair: pair[0].count)
            yield _unwritten("forward", "output", one, other, forgotten)
        else:
            yield _forward_differs(seen, drawn=drawn)
    elif probe.wide and (
        seen := worst_change([probe.outputs], [lifted(probe.counted(probe.base.outputs))], subject.inputs)
    ):
        yield _forward_differs(seen, drawn=True)  # few outputs may be drawn alike once


def _forward_differs(seen: Change, *, drawn: bool) -> Finding:
    why = "its outputs depend on earlier calls; they must depend on its inputs alone"
    if drawn:
        why = (
            "it draws new random numbers at each call, so the numerical gradient is meaningless; draw the mask or "
            "noise once and make it an input"
        )
    return stochastic("forward", "outputs for the same inputs", seen, why, drawn=drawn)


def stochastic_backward(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose gradient is another when backward is asked again, or is added up.

    In between other numbers are in memory that nobody writes. Where those alone decide on a gradient, that is why.
    """

    def gradients(fill: Fill) -> dict[str, Array]:
        with unwritten(fill):
            return probe.backward(probe.base, probe.upstream)

    second = gradients(SECOND)
    seen = {name: probe.gradient_change(name, probe.gradients[name], second[name]) for name in probe.claimed}
    if not any(seen.values()):
        return
    third, fourth = gradients(SECOND), gradients(FIRST)
    times = large(probe)  # what hundreds of calls have added up to leaves no digits for one more, unless it is large
    upstream = scaled_by(probe.upstream, times)
    more = [probe.backward(probe.base, upstream) for _ in range(3)]
    for name in (name for name in probe.claimed if seen[name]):
        native = probe.subject.gradients[name]  # the first answer of all
        drawn = bool(probe.gradient_change(name, second[name], third[name]))
        unlike = bool(probe.gradient_change(name, third[name], fourth[name]))
        if unlike and not drawn and not probe.gradient_change(name, probe.gradients[name], fourth[name]):
            yield _unwritten("backward", f"gradient of {name}", third[name], fourth[name], seen[name])
        elif _adds_up(second[name], third[name], fourth[name]):
            yield _accumulated(name, native, widened(fourth[name]) - widened(second[name]))
        elif _adds_up(*(answer[name] for answer in more)):
            yield _accumulated(name, native, (widened(more[-1][name]) - widened(more[0][name])) / times)
        else:
            why = "it draws new random numbers instead of using forward's"
            why = why if drawn else "its result depends on earlier calls"
            what = f"gradients of {name} for the same arguments"
            yield stochastic("backward", what, seen[name], why, drawn=drawn, array=name)


def _unwritten(by: str, of: str, was: Array, now: Array, seen: Change) -> Finding:
    """Return the finding that an answer holds what was in memory before: that alone made it another."""
    differs = ~(abs(widened(on_host(now)) - widened(on_host(was))) <= seen.allowed)
    index = tuple(map(int, np.argwhere(differs)[0]))
    message = (
        f"{by} does not write {seen.count:,} of {seen.size:,} elements of its {of}, the first at index {index}: they "
        "change with what memory held before; write every element, or begin with zeros"
    )
    evidence = {"by": by, "array": of.rpartition(" ")[2], "changed": seen.count, "size": seen.size, "index": index}
    return Finding("unwritten-memory", message, evidence)


def _adds_up(second: Array, third: Array, fourth: Array) -> bool:
    """Whether each answer is the one before plus the same again."""
    increment = widened(third) - widened(second)
    added, whole = (largest(widened(each)) for each in (increment, fourth))
    rounding = SIGNIFICANT * spacing(dtype_name(third.dtype)) * whole
    alike = not exceeding(increment, widened(fourth) - widened(third), SLOPE_RTOL * added + rounding)
    return alike and added > rounding


def _accumulated(name: str, first: Array, added: Array) -> Finding:
    """Return the finding, given what two more of the same calls add to the first answer."""
    wide = widened(first)
    place = np.unravel_index(int(namespace(wide).argmax(abs(wide))), wide.shape)
    ratio = 1.0 + float((added[place] / wide[place]).real)
    message = (
        f"backward adds the gradient of {name} to the result of earlier calls: the third of the same calls returns "
        f"{ratio:.3g} times the first result; start from zero at every call"
    )
    return Finding("accumulated", message, {"array": name, "ratio": ratio, "changed": int((first != 0).sum())})


def stochastic(which: str, what: str, seen: Change, why: str, *, drawn: bool, **about: str) -> Finding:
    """Return the finding that forward, or backward, returns something else than before."""
    message = f"{which} returns different {what}, at {seen}: {why}"
    return Finding(f"stochastic-{which}", message, {**about, **seen.evidence, "drawn_anew": drawn})


def worst_change(first: Sequence[Array], second: Sequence[Array], inputs: Any) -> Change:
    """Return where that of several outputs changed that did so at the most elements."""
    terms = max((count(array) for array in inputs.values()), default=1)
    made = [change(one, other, 0.0, terms) for one, other in zip(first, second, strict=True)]
    return max(made, key=lambda each: each.count)
