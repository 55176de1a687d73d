"""The hunt for failing cases of one op: Hypothesis draws and shrinks them here, a worker process audits them."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, reject, settings, target
from hypothesis import seed as seeded
from hypothesis.errors import InvalidArgument

from gradaudit.audit.conclusion import failed_audit
from gradaudit.engine.executor import Lost
from gradaudit.engine.single import SingleWorker
from gradaudit.explore.allowed import Allowed
from gradaudit.explore.shapes import is_refused
from gradaudit.explore.strategies import Drawn, cases
from gradaudit.explore.trial import Trial, try_case
from gradaudit.explore.values import listed_of
from gradaudit.results import Result, Verdict
from gradaudit.spec.case import Case, RandomUpstream

SECONDS_FOR_CASE = 10.0
"""Seconds that the audit of a drawn case may take; its worker is ended a little later."""

CALLS = 1_000
"""Calls that a gradient of a drawn case may take: one that is zero, of an output that stands still, takes 600."""

ROUND = 400
"""Cases that are drawn before what has failed by then is shrunk."""

SECONDS_TO_SHRINK = 20.0
"""Seconds that shrinking may take beyond the time given."""

LIGHTER = 60
"""Cases that are lighter than what was found that are drawn to find another way down: what fails often shows in ten."""

BEGINNINGS = 2
"""How often another way is looked for."""

SLOW = 256
"""Elements of all inputs up to which a case that takes too long hangs, and is not just large."""


@dataclass(frozen=True)
class Budget:
    """How long is looked: seconds for each op, and cases drawn for each; None for any number."""

    seconds: float
    cases: int | None = None


@dataclass(frozen=True)
class Found:
    """A case that fails, the smallest of its kind.

    Attributes:
        kind: how it fails: a finding's code, ``mismatch``, ``error``, ``crash`` or ``hang``.
        case: the case.
        results: those that fail it.
        shown: whether the spec shows inputs of such axes.

    """

    kind: str
    case: Case
    results: tuple[Result, ...]
    shown: bool = True

    @property
    def weight(self) -> tuple[int, int, int]:
        """How much a person has to look at."""
        return weight(self.case, shown=self.shown)


@dataclass
class Progress:
    """What has happened so far.

    Attributes:
        op: the op.
        tried: how many cases were drawn.
        refused: how many of them forward does not take, by why.
        found: the smallest failing case of each kind.
        steps: those from line to line that cases took, by file.
        seconds: since the beginning.

    """

    op: str
    tried: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    found: dict[str, Found] = field(default_factory=dict)
    steps: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    seconds: float = 0.0


class _OutOfTimeError(BaseException):
    """There is no time for another case; no ``Exception``, which Hypothesis would take for a failing case."""


class _Failure(Exception):  # noqa: N818 (it is what Hypothesis looks for, and no error)
    """A drawn case fails."""


@cache
def _failure(kind: str) -> type[_Failure]:
    """Return a class of its own for each kind: Hypothesis shrinks each class by itself."""
    return type(kind, (_Failure,), {})


def hunt(
    op: str,
    everything: Sequence[Allowed],
    worker: SingleWorker,
    budget: Budget,
    *,
    seed: int = 0,
    files: Sequence[Path] = (),
    told: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Return what exploring an op has found.

    Args:
        op: its name.
        everything: what may be drawn.
        worker: where cases are audited.
        budget: how long is looked.
        seed: what the draws depend on.
        files: where steps from line to line are noted: cases that take new ones lead to others.
        told: told of every case.

    """
    progress = Progress(op)
    began = time.monotonic()
    deadline = began + budget.seconds

    def test(drawn: Drawn) -> None:
        case = drawn.case
        now = time.monotonic()
        if now > deadline + SECONDS_TO_SHRINK * bool(progress.found) or (now > deadline and not progress.found):
            raise _OutOfTimeError
        trial = worker.ask(try_case, replace(case, budget=CALLS, relations=True), SECONDS_FOR_CASE, tuple(files))
        progress.tried += 1
        progress.seconds = time.monotonic() - began
        found = _found(case, trial, shown=drawn.shown)
        if found is not None:
            best = progress.found.get(found.kind)
            if best is None or found.weight < best.weight:
                progress.found[found.kind] = found
        told(progress)
        _steer(progress, trial)
        if found is not None:
            raise _failure(found.kind)
        if isinstance(trial, Trial) and trial.audit is None:
            progress.refused[trial.refusal.split("\n")[0]] += 1
            reject()

    left = budget.cases
    turn = 0
    while time.monotonic() < deadline and not progress.found and (left is None or left > 0):
        count = ROUND if left is None else min(ROUND, left)
        try:
            _drawn(test, everything, count, seed + turn)
        except _OutOfTimeError:
            break
        turn += 1
        left = None if left is None else left - count
    with suppress(_OutOfTimeError):
        _begin_again(progress, test, everything, seed)
    progress.seconds = time.monotonic() - began
    return progress


def _begin_again(progress: Progress, test: Callable[[Drawn], None], everything: Sequence[Allowed], seed: int) -> None:
    """Draw cases that are lighter than all that were found, and shrink what fails.

    Shrinking goes down one way only: of what fails at 17 rows or at 2 by 3, it may end at the 17.
    """
    for turn in range(1, BEGINNINGS + 1):
        lightest = min((found.weight for found in progress.found.values()), default=(0, 0, 0))
        if lightest[:2] <= (1, 0):
            return

        _drawn(_of_lighter(test, lightest), everything, LIGHTER, seed - turn, most=lightest[0])


def _of_lighter(test: Callable[[Drawn], None], lightest: tuple[int, int, int]) -> Callable[[Drawn], None]:
    """Return a test of cases alone that have fewer elements, or as many and fewer unusual features."""

    def lighter(drawn: Drawn) -> None:
        if weight(drawn.case, shown=drawn.shown)[:2] >= lightest[:2]:
            reject()
        test(drawn)

    return lighter


def _steer(progress: Progress, trial: Trial | Lost) -> None:
    """Let Hypothesis look for cases that take more steps than others, and note those that were taken."""
    if isinstance(trial, Trial) and trial.trace:
        target(float(sum(map(len, trial.trace.values()))), label="steps of the op")
        for file, steps in trial.trace.items():
            progress.steps.setdefault(file, set()).update(steps)


def _drawn(
    test: Callable[[Drawn], None], everything: Sequence[Allowed], count: int, seed: int, most: int | None = None
) -> None:
    """Call a test with drawn cases, smaller and smaller ones where it fails; none with more elements than the most."""
    chosen = settings(
        max_examples=count,
        database=None,  # failing cases are kept as specs, which outlast a change of what is drawn
        deadline=None,
        phases=(Phase.generate, Phase.target, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=True,
        verbosity=Verbosity.quiet,
        print_blob=False,
    )
    run: Any = seeded(seed)(chosen(given(cases(everything, most))(test)))
    try:
        run()
    except _Failure:
        pass
    except BaseExceptionGroup as several:  # of kinds of failures, and of time that ended while one was shrunk
        if several.subgroup(_OutOfTimeError):
            raise _OutOfTimeError from None
    except Exception as error:
        # What Hypothesis says of a case that fails at times only, or that there is nothing to draw, is no failure here.
        if type(error).__module__.partition(".")[0] != "hypothesis" or isinstance(error, InvalidArgument):
            raise


def _found(case: Case, trial: Trial | Lost, *, shown: bool = True) -> Found | None:
    """Return what a trial has found; None where nothing is wrong."""
    if isinstance(trial, Lost):
        hangs = trial.seconds > 0
        if hangs and sum(math.prod(made.shape) for made in case.inputs) > SLOW:
            return None
        return Found("hang" if hangs else "crash", case, failed_audit(case, trial.cause).results)
    if not trial.wrong or (not shown and is_refused(trial.wrong)):
        return None
    first = trial.wrong[0]
    failing = next((finding.code for finding in first.findings if finding.fails), None)
    if any("relation" in finding.evidence for one in trial.wrong for finding in one.findings):
        case = replace(case, relations=True)  # which its spec has to ask for
    return Found(failing or ("error" if first.verdict is Verdict.ERROR else "mismatch"), case, trial.wrong, shown)


def weight(case: Case, *, shown: bool) -> tuple[int, int, int]:
    """Return how much a person has to look at: elements, unusual features, and the length of what is written down."""
    elements = sum(math.prod(made.shape) for made in case.inputs)
    unusual = sum(made.layout != "contiguous" for made in case.inputs) + isinstance(case.upstream, RandomUpstream)
    values = [listed_of(made.values, made.dtype) for made in case.inputs if made.values is not None]
    return elements, unusual + (not shown), len(str(values) + str(case.seed or ""))


def alone(worker: SingleWorker, case: Case) -> Found | None:
    """Return what a case shows in a process that has seen no other; None where nothing is wrong there."""
    worker.renew()
    return _found(case, worker.ask(try_case, case, SECONDS_FOR_CASE))
