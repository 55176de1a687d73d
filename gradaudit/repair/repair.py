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
from gradaudit.repair.beyond import Outside, large, missed, outside, overflows
from gradaudit.repair.draws import ERRORS, Draw, drawn, refusal
from gradaudit.repair.edits import assignments, constants, edits, operators, other_names, without_calls
from gradaudit.repair.formula import formulas
from gradaudit.repair.parts import Parts, parts_of
from gradaudit.repair.points import FEW_PLACES, Points, Wrong, points
from gradaudit.repair.program import Program
from gradaudit.repair.repairs import Applicability, Confirmed, Repair, Repairs
from gradaudit.repair.search import Budget, Found, Search
from gradaudit.repair.surroundings import plain_surroundings
from gradaudit.results import Result, Verdict
from gradaudit.source.written import NoSourceError, standing_in
from gradaudit.spec.case import Case
from gradaudit.targets import opened
from gradaudit.time_limit import TooLongError, time_limit

Ended = Mapping[tuple[str, str], Result]
"""How each case ended for the op as it is, by the case's id and the input."""

SECONDS = 20.0
"""Time that a search may take unless said otherwise."""

MOST_SHOWN = 3
"""Repairs that are shown."""

MOST_LOOKED_AT = 32
"""Edits that are held against points beyond the spec's: the plainest of those that hold at the points of the search."""

MOST_CONFIRMED = 8
"""Edits that are audited."""

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
        try:
            op = stack.enter_context(opened(wrong[0]))
            first = drawn(wrong[0], op, 1)
            if first is None and (refused := refusal(wrong[0], op)):
                return told((), f"forward cannot be called: {refused}")
            parts = parts_of(op, dict(first.inputs) if first else None)
            repairs, message = _searched(parts, wrong, cases, ended, budget, stack)
            return told(repairs or formulas(wrong[0], _inputs_wrong(wrong[0], ended)), message)
        except NoSourceError as error:
            return told(formulas(wrong[0], _inputs_wrong(wrong[0], ended)), str(error))
        except ERRORS as error:
            return told((), f"it cannot be searched: {error}")


def _searched(
    parts: Parts, wrong: Sequence[Case], cases: Sequence[Case], ended: Ended, budget: Budget, stack: ExitStack
) -> tuple[tuple[Repair, ...], str]:
    """Search at one wrong case after the other, until something is found, and return that or why there is nothing."""
    backward, _ = parts.program.functions[0]
    message = ""
    for case in wrong[:MOST_STARTS]:
        made = points(cases, case, _indices(case, ended), backward, stack)
        refuted: frozenset[str] = frozenset()
        for _ in range(ROUNDS if made and not budget.over else 0):
            assert made is not None
            found = _found(parts, made.draws, budget, DEPTH, refuted)
            repairs, message = _concluded(found, cases, ended, made, budget)
            if repairs:
                return repairs, message
            if not found or budget.over:
                break
            refuted |= {each.program.text.text for each in found}
    if message:
        return (), message
    made = points(cases, wrong[0], {}, backward, stack, anyway=True)
    audited = list(_by_audits(parts, wrong[0], budget)) if made else []
    return _concluded(audited, cases, ended, made, budget) if made and audited else ((), RIGHT_AS_FAR_AS_SEEN)


def _is_wrong(case: Case, ended: Ended) -> bool:
    own = [result.verdict for (id_, _), result in ended.items() if id_ == case.id]
    return any(verdict in (Verdict.FAIL, Verdict.ERROR) for verdict in own)


def _inputs_wrong(case: Case, ended: Ended) -> list[str]:
    return [name for (id_, name), result in ended.items() if id_ == case.id and result.verdict is Verdict.FAIL]


def _unfitness(case: Case) -> tuple[bool, bool, int]:
    """Return how unfit a case is to be searched at: few numbers are met by chance, given ones are extreme."""
    given = any(made.differentiable and made.values is not None for made in case.inputs)
    return _size(case) < FEW_NUMBERS, given, _size(case)


def _indices(case: Case, ended: Ended) -> Wrong:
    """Return where the gradients of a case are wrong, by input."""
    own = {name: result for (id_, name), result in ended.items() if id_ == case.id}
    return {name: [mismatch.index for mismatch in result.mismatches] for name, result in own.items()}


def _size(case: Case) -> int:
    return sum(prod(made.shape) for made in case.inputs)


ROUNDS = 4
"""Searches that are made while all that one finds is refuted by audits: edits that lose digits are often plainer."""


def _found(
    parts: Parts, draws: Sequence[Draw], budget: Budget, depth: int, refuted: frozenset[str] = frozenset()
) -> list[Found]:
    """Return programs that hold at all draws; where none does, those that mend some inputs."""
    search = Search(parts.program, draws, parts.forward, budget, refuted)
    search.run()
    if search.whole or depth == 1:
        return search.whole or [found for found in search.partial if found.inputs]
    helpful = sorted(search.partial, key=lambda found: (-len(found.inputs), -found.right.sum(), found.cost))
    for found in helpful[:BEAM]:
        if budget.over:
            break
        further = _found(replace(parts, program=found.program), draws, budget, depth - 1, refuted)
        if any(made.right.all() for made in further):
            return further
    return [found for found in search.partial if found.inputs]


RIGHT_AS_FAR_AS_SEEN = (
    "where forward is smooth, the gradient is right in double precision: the fault is precision, state, or the "
    "gradient at kinks and ties, and no small edit repairs that"
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
    with ExitStack() as stack:
        case, op = made.draws[0].case, made.draws[0].op
        beyond = outside(case, op, stack) if found else []
        confirmed: list[_Held] = []
        for each, wrong_at in _plainest(found, beyond):
            if len(confirmed) == MOST_SHOWN and _falls_behind(each, wrong_at, confirmed[0]):
                break
            if (by := _confirmed(each, cases, ended, made)) is not None:
                by = replace(by, beyond=len(beyond) - len(wrong_at))
                confirmed.append(_Held(each, by, wrong_at, _mended(each.inputs, ended)))
        if confirmed:
            return tuple(_graded(_sturdiest_first(confirmed, large(case, stack)), made, beyond)), ""
    how = "in the time allowed" if budget.over else "of those tried"
    return (), f"no edit {how} makes the gradient right ({budget.tried:,} were tried)"


def _mended(inputs: frozenset[str], ended: Ended) -> tuple[str, ...]:
    """Return which of the inputs whose gradients are right now had a wrong one before."""
    wrong = {name for (_, name), result in ended.items() if result.verdict is not Verdict.PASS}
    return tuple(sorted(inputs & wrong or inputs))


def _falls_behind(found: Found, wrong_at: tuple[str, ...], best: _Held) -> bool:
    """Whether an edit is not worth an audit beside the best one that was confirmed."""
    return len(wrong_at) > len(best.missed) or found.cost > best.found.cost + 2 * ALIKE


def _plainest(found: list[Found], beyond: Sequence[Outside]) -> list[tuple[Found, tuple[str, ...]]]:
    """Return what was found, without needless brackets, none twice, each with the points beyond where it is wrong.

    First comes what mends most inputs, then what is wrong at fewest points, then the plainest.
    """
    first = sorted(found, key=lambda each: (-len(each.inputs), each.cost))[:MOST_LOOKED_AT]
    tidied = {made.program.text.text: made for made in (replace(each, program=each.program.tidied()) for each in first)}
    judged = [(each, missed(each.program, beyond, each.inputs)) for each in tidied.values()]
    judged.sort(key=lambda pair: (-len(pair[0].inputs), len(pair[1]), pair[0].cost, len(pair[0].program.text.text)))
    return judged[:MOST_CONFIRMED]


@dataclass(frozen=True)
class _Held:
    """A program that was confirmed, by what, the points beyond the spec's where it is wrong, and what it mends."""

    found: Found
    by: Confirmed
    missed: tuple[str, ...]
    mended: tuple[str, ...]


def _confirmed(found: Found, cases: Sequence[Case], ended: Ended, made: Points) -> Confirmed | None:
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
        return Confirmed(len(audited), made.seeds + len(fresh), made.shapes)
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


def _graded(confirmed: list[_Held], made: Points, beyond: Sequence[Outside]) -> Iterator[Repair]:
    """Yield repairs with how sure each is: of two that are as simple, one may stand for both if they are the same."""
    best = confirmed[0]
    rivals = [
        held
        for held in confirmed[1:]
        if held.found.cost <= best.found.cost + ALIKE
        and held.found.inputs == best.found.inputs
        and len(held.missed) == len(best.missed)
    ]
    differing = [held for held in rivals if not _same_function(best.found.program, held.found.program, made, beyond)]
    also = len(rivals) - len(differing)
    if not differing:
        yield _repair(best, Applicability.CANDIDATE if best.missed else Applicability.VERIFIED, also)
        return
    for held in [best, *differing][:MOST_SHOWN]:
        yield _repair(held, Applicability.CANDIDATE, 0)


def _sturdiest_first(confirmed: list[_Held], points: Sequence[Outside]) -> list[_Held]:
    """Return repairs, those first that give finite numbers for large values where others overflow."""
    best = confirmed[0]
    near = [
        held
        for held in confirmed
        if held.found.cost <= best.found.cost + STURDY and len(held.missed) == len(best.missed)
    ]
    ordered = sorted(near, key=lambda held: (-len(held.found.inputs), overflows(held.found.program, points)))
    return [*ordered, *(held for held in confirmed if held not in near)]


STURDY = 1.2
"""Cost that an edit may have above the plainest and be preferred for not overflowing."""


def _same_function(one: Program, other: Program, made: Points, beyond: Sequence[Outside]) -> bool:
    """Whether two programs answer alike, also at points that the spec does not draw."""
    draws = [*made.draws, *(point.draw for point in beyond)]
    with one.installed():
        first = [draw.gradient() for draw in draws]
    with other.installed():
        second = [draw.gradient() for draw in draws]
    return all(
        np.allclose(a, b, rtol=1e-6, atol=1e-9 * float(np.nan_to_num(np.abs(a)).max(initial=1.0)), equal_nan=True)
        for a, b in zip(first, second, strict=True)
    )


def _repair(held: _Held, applicability: Applicability, also: int) -> Repair:
    program = held.found.program
    file = seen_from_here(program.file)
    return Repair(
        diff=unified(program.first.text, program.text.text, file),
        applicability=applicability,
        file=file,
        line=program.line,
        inputs=held.mended,
        confirmed=held.by,
        path=program.file,
        before=program.first.text,
        after=program.text.text,
        also=also,
        missed=held.missed,
    )


def seen_from_here(file: Path) -> str:
    """Return a path as seen from the current folder where it lies in it."""
    path, here = file.resolve(), Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def unified(before: str, after: str, file: str) -> str:
    """Return what differs between two texts of a file as a unified diff."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), file, file)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
