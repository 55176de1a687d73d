"""Whether backward answers bit by bit the same however often it is asked: threads may race at a few indices, rarely."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gradaudit.checks.probe import Point, Probe
from gradaudit.numerics.arrays import on_host
from gradaudit.results import Finding


def race(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose gradient is another now and then; so many calls are made as a spec asks for.

    It fails the case where the change is more than adding in another order may make.
    """
    subject, calls = probe.subject, probe.case.repeat
    point = Point(subject.inputs, subject.outputs)
    firsts = {name: on_host(subject.gradients[name]) for name in probe.claimed} if calls else {}
    changed = {name: np.zeros(first.shape, np.int64) for name, first in firsts.items()}
    others, furthest = dict.fromkeys(firsts, 0), dict.fromkeys(firsts, 0.0)
    wrong: set[str] = set()
    for _ in range(calls):
        answer = probe.backward(point, subject.upstream)
        for name, first in firsts.items():
            now = on_host(answer[name])
            differs = (now != first) & ((now == now) | (first == first))
            if differs.any():
                seen = probe.gradient_change(name, first, now)
                changed[name] += differs
                others[name] += 1
                furthest[name] = max(furthest[name], float(np.abs(now - first)[differs].max()))
                wrong |= {name} if seen else set()
    for name in (name for name in firsts if others[name]):
        yield _finding(name, calls, others[name], changed[name], furthest[name], fails=name in wrong)


def _finding(name: str, calls: int, others: int, changed: Any, furthest: float, *, fails: bool) -> Finding:
    count, places = int((changed > 0).sum()), np.argwhere(changed == changed.max())
    index = tuple(map(int, places[0]))
    message = (
        f"{others:,} of {calls:,} calls of backward with the same arguments gave another gradient of {name}, bit by "
        f"bit: {count:,} of {changed.size:,} indices change, {index} most often ({int(changed[index]):,} times), by up "
        f"to {furthest:.2g}; "
    )
    message += "threads race" if fails else "no more than adding in another order changes"
    evidence = {"array": name, "calls": calls, "others": others, "changed": count, "size": int(changed.size)}
    return Finding("race", message, {**evidence, "index": index, "largest": furthest, "fails": fails})
