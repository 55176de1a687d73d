"""Calls from two threads at once: what each answers is what it answers alone.

A buffer that lies outside of the calls, as a static array of C or a global one of Python, is shared by them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier, BrokenBarrierError

import numpy as np

from gradaudit.checks.agreement import change
from gradaudit.checks.probe import Point, Probe, Upstream
from gradaudit.numerics.arrays import Array
from gradaudit.relations.rows import nudged
from gradaudit.results import Finding

TURNS = 4
"""Calls of each thread: a buffer that both write to between its first use and its last is rarely missed by all."""

SWITCH = 1e-6
"""Seconds after which Python lets another thread run, 5 ms as a rule: longer than a call takes."""

Answer = tuple[tuple[Array, ...], Mapping[str, Array]]


def threads_apart(probe: Probe) -> Iterator[Finding]:
    """Yield a finding for each input whose gradient, or for the output, that another thread's calls change.

    Asked of ops whose functions alone hold what calls share.

    Raises:
        OpError: where an op gives no usable answer.

    """
    if not getattr(probe.op, "reentrant", False) or probe.backward_inputs == frozenset():
        return
    subject = probe.subject
    there = nudged(probe)
    tasks = ((subject.inputs, subject.upstream), (there, tuple(-part for part in subject.upstream)))
    alone = [_answer(probe, *task) for task in tasks]
    together = _together(probe, tasks)
    again = [_answer(probe, *task) for task in tasks]
    if any(_changed(probe, *pair) for pair in zip(alone, again, strict=True)):
        return  # for whatever reason: no thread was there
    seen = [
        found for was, many in zip(alone, together, strict=True) for now in many for found in _changed(probe, was, now)
    ]
    for name in dict.fromkeys(seen):
        what = f"backward's gradient of {name}" if name in probe.claimed else "forward's output"
        message = (
            f"{what} changes while another thread calls the op with other inputs, in {seen.count(name)} of "
            f"{2 * TURNS} calls: the calls share a buffer; make it inside of the call"
        )
        evidence = {"array": name or probe.claimed[0], "relation": "threads", "calls": 2 * TURNS, "fails": True}
        yield Finding("race", message, evidence)


def _answer(probe: Probe, inputs: Mapping[str, Array], upstream: Upstream, ready: Callable[[], object] = int) -> Answer:
    """Call forward and backward, each once the others are ready as well."""
    ready()
    outputs = probe.forward(inputs)
    ready()
    return probe.counted(outputs), probe.backward(Point(dict(inputs), outputs), upstream)


def _together(probe: Probe, tasks: Sequence[tuple[Mapping[str, Array], Upstream]]) -> list[list[Answer]]:
    """Return what each of some tasks answers, several times, while the others are under way.

    Raises:
        OpError: where one of them gives no usable answer.

    """
    ready = Barrier(len(tasks))

    def turns(task: tuple[Mapping[str, Array], Upstream]) -> list[Answer]:
        try:
            with np.errstate(all="ignore"):  # which is a thread's own
                return [_answer(probe, *task, ready.wait) for _ in range(TURNS)]
        except BrokenBarrierError:  # which another thread tells why
            return []
        except BaseException:
            ready.abort()
            raise

    with _switching(SWITCH), ThreadPoolExecutor(len(tasks)) as threads:
        return list(threads.map(turns, tasks))


@contextmanager
def _switching(seconds: float) -> Iterator[None]:
    """Let Python's threads take turns so often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _changed(probe: Probe, was: Answer, now: Answer) -> list[str]:
    """Return the inputs whose gradients are others, with an empty name for the output."""
    names = [name for name in probe.claimed if probe.change_that_matters(name, was[1][name], now[1][name])]
    return names or [""] * any(change(*pair, 0.0, 1) for pair in zip(was[0], now[0], strict=True))
