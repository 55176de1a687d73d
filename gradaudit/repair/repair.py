"""From an op whose gradient is wrong to the edits that mend it, each held against everything that there is."""

from __future__ import annotations

import difflib
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from gradaudit.engine.audit import audit_case
from gradaudit.repair.draws import ERRORS, Draw, drawn
from gradaudit.repair.edits import assignments, constants, edits, operators, other_names, without_calls
from gradaudit.repair.parts import Parts, parts_of
from gradaudit.repair.points import FEW_PLACES, Points, Wrong, points
from gradaudit.repair.program import Program
from gradaudit.repair.repairs import Applicability, Confirmed, Repair, Repairs
from gradaudit.repair.search import Budget, Found, Search
from gradaudit.repair.surroundings import plain_surroundings
from gradaudit.results import Result, Verdict
from gradaudit.source.written import NoSourceError, standing_in
from gradaudit.spec.case import Case, Input
from gradaudit.spec.double_precision import in_double_precision
from gradaudit.targets import opened
from gradaudit.time_limit import TooLongError, time_limit

Ended = Mapping[tuple[str, str], Result]
"""How each case ended for the op as it is, by the case's id and the input."""

SECONDS = 20.0
"""Time that a search may take unless said otherwise."""

MOST_SHOWN = 3
"""Repairs that are shown."""

MOST_CONFIRMED = 8
"""Edits that are audited: the plainest of those that hold at the points of the search."""

FEW_NUMBERS = 8
"""Elements that a case should have at least."""

MOST_STARTS = 3
"""Failing cases that are tried as the place of the search."""

BEAM = 4
"""Programs with an edit that are searched for another, at each depth."""

DEPTH = 3
"""Most edits of a repair."""

FRESH = 3
"""Draws beyond those of the search that a repair is held against."""

ALIKE = 0.6
"""Cost by which two edits may differ and be as simple as each other."""

AUDIT_SECONDS = 30.0
"""Time that an audit with an edit may take."""


def repair(
    cases: Sequence[Case],
    ended: Ended,
    seconds: float = SECONDS,
    tell: Callable[[int, float], None] = lambda tried, share: None,
    clock: Callable[[], float] = time.monotonic,
) -> Repairs:
    """Search for edits of an op's source that make its wrong gradients right.

    The op's module is imported here, and its functions are other ones while edits are tried.

    Args:
        cases: all cases of the op.
        ended: how they end.
        seconds: time for the search; what it found is audited beyond it.
        tell: called now and then with the number of edits tried and the share of the time that is gone.
        clock: tells the time in seconds.

    """
    started = clock()
    budget = Budget(seconds, tell, clock)

    def told(repairs: tuple[Repair, ...], message: str = "") -> Repairs:
        return Repairs(cases[0].op, repairs, message, budget.tried, clock() - started)

    wrong = [case for case in cases if case.expect.verdict == "pass" and _is_wrong(case, ended)]
    if not wrong:
        return told((), "nothing is wrong, so there is nothing to repair")
    with ExitStack() as stack, np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # edits make code that Python has doubts about
        wrong = sorted(wrong, key=_unfitness)
        failing = wrong[0]
        try:
            op = stack.enter_context(opened(failing))
            first = drawn(failing, op, 1)
            parts = parts_of(op, dict(first.inputs) if first else None)
            backward, _ = parts.program.functions[0]
            made = None
            for case in wrong[:MOST_STARTS]:
                made = made or points(cases, case, _indices(case, ended), backward, stack)
        except NoSourceError as error:
            return told((), str(error))
        except ERRORS as error:
            return told((), f"it cannot be searched: {error}")
        if made is None:
            made = points(cases, failing, {}, backward, stack, anyway=True)
            found = list(_by_audits(parts, failing, budget)) if made else []
            if made is None or not found:
                return told((), RIGHT_AS_FAR_AS_SEEN)
        else:
            found = _found(parts, made.draws, budget, DEPTH)
        return told(*_concluded(found, cases, ended, made, budget))


def _is_wrong(case: Case, ended: Ended) -> bool:
    own = [result.verdict for (id_, _), result in ended.items() if id_ == case.id]
    return any(verdict in (Verdict.FAIL, Verdict.ERROR) for verdict in own)


def _unfitness(case: Case) -> tuple[bool, int]:
    """Return how unfit a case is to be searched at: a few numbers are met by chance, many take time."""
    return _size(case) < FEW_NUMBERS, _size(case)


def _indices(case: Case, ended: Ended) -> Wrong:
    """Return where the gradients of a case are wrong, by input."""
    own = {name: result for (id_, name), result in ended.items() if id_ == case.id}
    return {name: [mismatch.index for mismatch in result.mismatches] for name, result in own.items()}


def _size(case: Case) -> int:
    return sum(prod(made.shape) for made in case.inputs)


def _found(parts: Parts, draws: Sequence[Draw], budget: Budget, depth: int) -> list[Found]:
    """Return programs that hold at all draws; where none does, those that mend some inputs."""
    search = Search(parts.program, draws, parts.forward, budget)
    search.run()
    if search.whole or depth == 1:
        return search.whole or [found for found in search.partial if found.inputs]
    helpful = sorted(search.partial, key=lambda found: (-len(found.inputs), -found.right.sum(), found.cost))
    for found in helpful[:BEAM]:
        if budget.over:
            break
        further = _found(replace(parts, program=found.program), draws, budget, depth - 1)
        if any(made.right.all() for made in further):
            return further
    return [found for found in search.partial if found.inputs]


RIGHT_AS_FAR_AS_SEEN = (
    "where forward is smooth the gradient is right in double precision: what is wrong is its precision, its state, or "
    "what it gives at kinks and ties, and no small edit mends that"
)


def _by_audits(parts: Parts, failing: Case, budget: Budget) -> Iterator[Found]:
    """Yield programs with one edit that pass the audit of a case: where differences alone see nothing wrong."""
    for make in BY_AUDITS:
        for function, source in parts.program.sources.items():
            for edit in edits(make, source.body, plain_surroundings(source)):
                if budget.over:
                    return
                with suppress(SyntaxError, ValueError, TooLongError):
                    code = source.code(edit)
                    budget.count()
                    with standing_in(function, code), time_limit(AUDIT_SECONDS):
                        results = audit_case(failing).results
                    if all(result.verdict is Verdict.PASS for result in results):
                        inputs = frozenset(result.input for result in results)
                        yield Found(parts.program.edited(edit), np.ones(1, bool), inputs)


BY_AUDITS = (assignments, operators, without_calls, constants, other_names)
"""The kinds of edits that may mend what is not a formula: in place or not, what ties share, a cast."""


def _concluded(
    found: list[Found], cases: Sequence[Case], ended: Ended, made: Points, budget: Budget
) -> tuple[tuple[Repair, ...], str]:
    """Return the repairs that everything confirms, and what is to be said where there are none."""
    plainest = _plainest(found)
    confirmed: list[_Held] = []
    for each in plainest[:MOST_CONFIRMED]:
        if confirmed and each.cost > confirmed[0].found.cost + 2 * ALIKE and len(confirmed) >= MOST_SHOWN:
            break
        if (held := _held(each, cases, ended, made)) is not None:
            confirmed.append(held)
    confirmed = _sturdiest_first(confirmed, made)
    if not confirmed:
        how = "in the time allowed" if budget.over else "of those tried"
        return (), f"no edit {how} makes the gradient right ({budget.tried:,} were tried)"
    return tuple(_graded(confirmed, made)), ""


def _plainest(found: list[Found]) -> list[Found]:
    """Return what was found, without needless brackets, none twice, the plainest first."""
    first = sorted(found, key=lambda each: (-len(each.inputs), each.cost))[: 4 * MOST_CONFIRMED]
    tidied = {made.program.text.text: made for made in (replace(each, program=each.program.tidied()) for each in first)}
    return sorted(tidied.values(), key=lambda each: (-len(each.inputs), each.cost, len(each.program.text.text)))


@dataclass(frozen=True)
class _Held:
    """A program that was confirmed, and by what."""

    found: Found
    by: Confirmed


def _held(found: Found, cases: Sequence[Case], ended: Ended, made: Points) -> _Held | None:
    """Hold a program against fresh draws and against the audits of all cases; None where any speaks against it."""
    with suppress(SyntaxError, ValueError, TooLongError), found.program.installed(), _nothing_compiled():
        with ExitStack() as stack:
            fresh = list(_fresh(made.draws[0].case, stack))
            if not all(_mends(draw, found.inputs) for draw in fresh):
                return None
        audited = [case for case in cases if case.expect.verdict == "pass"]
        for case in sorted(audited, key=_size):
            with time_limit(AUDIT_SECONDS):
                results = audit_case(case).results
            if not all(_is_no_worse(case, result.input, result.verdict, found, ended) for result in results):
                return None
        return _Held(found, Confirmed(len(audited), made.seeds + len(fresh), made.shapes))
    return None


@contextmanager
def _nothing_compiled() -> Iterator[None]:
    """Let JAX forget what it compiled of other code, before and after."""
    jax = sys.modules.get("jax")
    for step in (True, False):
        if jax is not None:
            jax.clear_caches()
        if step:
            yield


def _fresh(case: Case, stack: ExitStack) -> Iterator[Draw]:
    for seed in range(case.seed + 11, case.seed + 11 + FRESH):
        again = replace(case, seed=seed)
        with suppress(*ERRORS):
            if (draw := drawn(again, stack.enter_context(opened(again)), FEW_PLACES)) is not None:
                yield draw


def _mends(draw: Draw, inputs: frozenset[str]) -> bool:
    right = draw.right_inputs(draw.gradient())
    return all(right[name] for name in inputs if name in right)


def _is_no_worse(case: Case, name: str, verdict: Verdict, found: Found, ended: Ended) -> bool:
    known = ended.get((case.id, name))
    before = known.verdict if known else Verdict.PASS
    if name in found.inputs or before is Verdict.PASS:
        return verdict is Verdict.PASS or (verdict is Verdict.INCONCLUSIVE and before is Verdict.INCONCLUSIVE)
    return verdict.severity <= before.severity


def _graded(confirmed: list[_Held], made: Points) -> Iterator[Repair]:
    """Yield repairs with how sure each is: of two that are as simple, one may stand for both if they are the same."""
    best = confirmed[0]
    rivals = [
        held
        for held in confirmed[1:]
        if held.found.cost <= best.found.cost + ALIKE and held.found.inputs == best.found.inputs
    ]
    differing = [held for held in rivals if not _same_function(best.found.program, held.found.program, made)]
    also = len(confirmed) - 1 - len(differing)
    if not differing:
        yield _repair(best, Applicability.VERIFIED, also)
        return
    for held in [best, *differing][:MOST_SHOWN]:
        yield _repair(held, Applicability.CANDIDATE, 0)


def _sturdiest_first(confirmed: list[_Held], made: Points) -> list[_Held]:
    """Return repairs, those first that give finite numbers for large values where others overflow."""
    with ExitStack() as stack:
        large = list(_stressed(made, (LARGE,), stack))

        def lost(held: _Held) -> int:
            with held.found.program.installed():
                return sum(int((~np.isfinite(draw.gradient())).sum()) for draw in large)

        near = [held for held in confirmed if held.found.cost <= confirmed[0].found.cost + STURDY]
        ordered = sorted(near, key=lambda held: (-len(held.found.inputs), lost(held)))
    return [*ordered, *(held for held in confirmed if held not in near)]


STURDY = 1.2
"""Cost that an edit may have above the plainest and be preferred for not overflowing."""

LARGE = 1000.0
"""Factor of ranges where exponentials overflow."""

STRESS = (3.0, 0.1)
"""Factors of the ranges that inputs are drawn from, to see whether two edits are the same function."""


def _same_function(one: Program, other: Program, made: Points) -> bool:
    """Whether two programs answer alike, also where values are larger and smaller than the spec's."""
    with ExitStack() as stack:
        draws = [*made.draws, *_stressed(made, STRESS, stack)]
        with one.installed():
            first = [draw.gradient() for draw in draws]
        with other.installed():
            second = [draw.gradient() for draw in draws]
    return all(
        np.allclose(a, b, rtol=1e-6, atol=1e-9 * float(np.nan_to_num(np.abs(a)).max(initial=1.0)), equal_nan=True)
        for a, b in zip(first, second, strict=True)
    )


def _stressed(made: Points, factors: Sequence[float], stack: ExitStack) -> Iterator[Draw]:
    """Yield draws with inputs from larger or smaller ranges, where forward takes them."""
    case = in_double_precision(made.draws[0].case)
    for factor in factors:
        inputs = tuple(_stretched(one, factor) for one in case.inputs)
        with suppress(*ERRORS):
            stretched = replace(case, inputs=inputs)
            if (draw := drawn(stretched, stack.enter_context(opened(stretched)), FEW_PLACES)) is not None:
                yield draw


def _stretched(made: Input, factor: float) -> Input:
    if not made.range or not made.differentiable:
        return made
    low, high = made.range
    return replace(made, range=(low * factor, high * factor), avoid=None, gap=0.0)


def _repair(held: _Held, applicability: Applicability, also: int) -> Repair:
    program = held.found.program
    file = seen_from_here(program.file)
    return Repair(
        diff=unified(program.first.text, program.text.text, file),
        applicability=applicability,
        file=file,
        line=program.line,
        inputs=tuple(sorted(held.found.inputs)),
        confirmed=held.by,
        path=program.file,
        before=program.first.text,
        after=program.text.text,
        also=also,
    )


def seen_from_here(file: Path) -> str:
    """Return a path as seen from the current folder where it lies in it."""
    path, here = file.resolve(), Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def unified(before: str, after: str, file: str) -> str:
    """Return what differs between two texts of a file as a unified diff."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), file, file)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
