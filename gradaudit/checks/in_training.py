"""What PyTorch asks a hand-written backward in training, and the calls of an audit do not.

It asks a second time over one graph, where a loss is differentiated twice; for the gradients of some inputs alone, as
the first layer's input needs none; and of some outputs alone, where a loss uses no others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from gradaudit.checks import compared
from gradaudit.checks.agreement import Change
from gradaudit.checks.probe import Point, Probe, Upstream
from gradaudit.numerics.arrays import Array, copied
from gradaudit.numerics.margins import MAX_LISTED
from gradaudit.results import Finding
from gradaudit.targets.op import Op, OpError


def asked_as_in_training(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each gradient that a hand-written ``autograd.Function`` answers otherwise then.

    Where it raises, training would tell.
    """
    of: Callable[[Mapping[str, Array]], Any] | None = getattr(probe.op, "in_training", None)
    if of is None or (op := of(probe.subject.inputs)) is None:
        return
    for ask in (_a_second_time, _for_one_input, _of_one_output):
        with suppress(OpError):
            yield from ask(probe, op)


def _a_second_time(probe: Probe, op: Any) -> Iterator[Finding]:
    answer = _answer(probe, op.again)
    for name, seen in _changes(probe, answer):
        what = f"a second backward over the same graph returns another gradient of {name}, at {seen}"
        why = "the first wrote into what forward saved; leave saved tensors as they are"
        yield _finding("stochastic-backward", name, seen, f"{what}: {why}")


def _for_one_input(probe: Probe, op: Any) -> Iterator[Finding]:
    for name in probe.claimed[:MAX_LISTED] if len(probe.claimed) > 1 else ():
        answer = _answer(probe, op.for_input(name))
        for _, seen in _changes(probe, {name: answer[name]}):
            what = f"backward returns another gradient of {name} where no other input needs one, at {seen}"
            why = f"check ctx.needs_input_grad[{list(probe.subject.inputs).index(name)}], and what is computed by it"
            yield _finding("missing-gradient", name, seen, f"{what}: {why}")


def _of_one_output(probe: Probe, op: Any) -> Iterator[Finding]:
    subject, total = probe.subject, dict[str, Array]()
    if not 1 < len(subject.counted) <= MAX_LISTED:
        return
    for k, part in zip(subject.counted, subject.upstream, strict=True):
        alone = _answer(probe, op.of_output(k), (part,))
        total = {name: alone[name] + total[name] if name in total else copied(alone[name]) for name in alone}
    for name, seen in _changes(probe, total):
        what = f"gradients of {name} for each output alone do not add up to that for all, at {seen}"
        why = "check what backward does where an output gets no upstream"
        yield _finding("nonlinear-upstream", name, seen, f"{what}: {why}")


def _answer(probe: Probe, op: Op, upstream: Upstream | None = None) -> dict[str, Array]:
    subject = probe.subject
    subject.op.calls.count(backwards=1)
    made = op.backward(subject.upstream if upstream is None else upstream, subject.inputs, subject.outputs)
    return {name: gradient for name in probe.claimed if (gradient := made.get(name)) is not None}


def _changes(probe: Probe, answer: Mapping[str, Array]) -> Iterator[tuple[str, Change]]:
    subject = probe.subject
    here = compared.Asked(Point(subject.inputs, subject.outputs), subject.upstream, subject.gradients)
    for name, now in answer.items():
        if seen := compared.change(probe, name, compared.claim(probe, name), now, here):
            yield name, seen


def _finding(code: str, name: str, seen: Change, message: str) -> Finding:
    return Finding(code, message, {"array": name, **seen.evidence})
