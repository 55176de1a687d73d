"""From the specs of one op to its explanation: audited as in a run, then looked at where it matters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from gradaudit.engine.events import CaseFinished, Event
from gradaudit.engine.executor import Executor, InProcess, Lost, Task
from gradaudit.engine.pool import workers
from gradaudit.engine.run import DEFAULT_TIMEOUT, run_specs
from gradaudit.explain.curve import Traced, trace_curve
from gradaudit.explain.explanation import Explanation, ModelView, Origin, Sighting, Study, ToleranceInForce, place_of
from gradaudit.explain.graph import NoGraphError, trace_graph
from gradaudit.explain.heat_map import heat_map
from gradaudit.explain.reproduce import command_for, snippet_for
from gradaudit.explain.signature import signature_of
from gradaudit.guides import Page, finding_names, finding_page, guide
from gradaudit.lint.rules import RULES
from gradaudit.repair.in_worker import search_repairs
from gradaudit.repair.repairs import Repairs
from gradaudit.results import Finding, Result, Verdict
from gradaudit.spec.case import Case, Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES
from gradaudit.spec.errors import Problem, SpecError, closest, nearest
from gradaudit.spec.level import Level, level_of
from gradaudit.spec.load import Specs
from gradaudit.spec.op_targets import HeldTarget
from gradaudit.targets import names_to_import, open_op
from gradaudit.targets.frameworks import install_command, missing_framework
from gradaudit.targets.op import OpError
from gradaudit.targets.parameters import completed

Pair = tuple[Case, Result]


class UnknownNameError(ValueError):
    """Nothing, or no case, has the name that was asked for; the message names the nearest."""


def cases_of(specs: Specs, op: str, case: str | None = None) -> Specs:
    """Return the specs with the cases of one op only, or with one of them, in each of its dtypes.

    An op may be named by a function of its target as well, with or without the function's module.

    Raises:
        UnknownNameError: where there is no such op or case.

    """
    op = _op_of_function(specs, op)
    found = tuple(made for made in specs.cases if made.op == op)
    if not found:
        known = sorted({made.op for made in specs.cases})
        hint = _did_you_mean(op, [*known, *finding_names(), *RULES]) or f"; the specs hold {_listed(known)}"
        raise UnknownNameError(f"there is no op '{op}'{hint}")
    chosen = tuple(made for made in found if case in (None, made.name))
    if not chosen:
        known = list(dict.fromkeys(made.name for made in found))
        raise UnknownNameError(f"{op} has no case '{case}'{nearest(case or '', known)}; it has {_listed(known)}")
    return replace(specs, cases=chosen, documents={op: specs.documents[op]})


def _op_of_function(specs: Specs, name: str) -> str:
    """Return the only op whose target names a function so, where no op itself has that name; else the name."""
    if any(made.op == name for made in specs.cases):
        return name
    found = {
        made.op
        for made in specs.cases
        for function in names_to_import(made.target).values()
        if name in (function, function.rpartition(":")[2])
    }
    if len(found) > 1:
        raise UnknownNameError(f"there is no op '{name}'; it is a function of {_listed(sorted(found))}")
    return next(iter(found), name)


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    """Return a hint at the known word that is near, else at those that contain the word, or the part nearest to it."""
    if hint := nearest(word, known):
        return hint
    containing = [name for name in known if word.lower() in name.lower()] if word else []
    parts = {name: re.split("[-_]", name) for name in known}
    part = closest(word, chain.from_iterable(parts.values()))
    containing = containing or [name for name in known if part in parts[name]]
    return f"; did you mean {_listed(containing, 'or')}?" if containing else ""


def _listed(names: Sequence[str], last: str = "and", most: int = 8) -> str:
    shown = [f"'{name}'" for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} {last} {len(names) - most} more"
    return f" {last} ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def explain(
    specs: Specs, *, jobs: int | None = None, timeout: float = DEFAULT_TIMEOUT, repair_seconds: float = 0.0
) -> Explanation:
    """Audit the cases of one op and explain what was found.

    Args:
        specs: the op's, as ``cases_of`` returns them.
        jobs: worker processes, 0 for none.
        timeout: seconds that a case may take, and again its curve.
        repair_seconds: seconds for the search for repairs; 0 for none.

    Raises:
        SpecError: where a framework, module or function that the specs name cannot be imported.
        KeyboardInterrupt: where the user interrupts the audit.

    """
    _refuse_missing_frameworks(specs)
    pairs = _audited(specs, jobs, timeout)
    document = specs.documents[specs.cases[0].op].locate(())
    explanation = explain_results(specs.cases, pairs, jobs=jobs, timeout=timeout)
    location, repairs = f"{document.file}:{document.line}", _repairs(specs, pairs, jobs, repair_seconds)
    return replace(explanation, location=location, repairs=repairs)


def explain_results(
    cases: Sequence[Case], pairs: list[Pair], *, jobs: int | None = None, timeout: float = DEFAULT_TIMEOUT
) -> Explanation:
    """Explain what was found in cases of one op that were audited already.

    Args:
        cases: the cases.
        pairs: each result, and the case that it is of.
        jobs: worker processes for the curves, 0 for none.
        timeout: seconds that a curve may take.

    """
    studied = _studied(_gravest_of_each_input(pairs))
    first = cases[0]
    sightings = _sightings(pairs)
    return Explanation(
        op=first.op,
        module=first.module,
        location="",
        notes="\n\n".join(dict.fromkeys(case.notes.strip() for case in cases if case.notes.strip())),
        signature=signature_of(first),
        cases=tuple(cases),
        tolerances=tuple(_tolerances(pairs)),
        results=tuple(result for _, result in pairs),
        studies=tuple(_studies(studied, jobs, timeout)),
        sightings=sightings,
        remedies=tuple(_remedies(sightings, pairs)),
        views=tuple(_views(pairs, jobs, timeout)),
    )


def _repairs(specs: Specs, pairs: list[Pair], jobs: int | None, seconds: float) -> Repairs | None:
    if not seconds:
        return None
    return search_repairs(specs.cases, [result for _, result in pairs], seconds=seconds, jobs=jobs)


def _refuse_missing_frameworks(specs: Specs) -> None:
    missing = [(case, framework) for case in specs.cases if (framework := missing_framework(case.target))]
    problems = [
        Problem(
            specs.locate(case, ("target", framework)),
            f"target.{framework}: {framework} is not installed: {install_command(framework)}",
        )
        for case, framework in missing
    ]
    if problems:
        raise SpecError(problems)


def _audited(specs: Specs, jobs: int | None, timeout: float) -> list[Pair]:
    pairs: list[Pair] = []
    cases = {case.id: case for case in specs.cases}
    interrupted = False

    def collect(event: Event) -> None:
        nonlocal interrupted
        if isinstance(event, CaseFinished):
            pairs.extend((cases[event.id], result) for result in event.results)
        interrupted = interrupted or getattr(event, "interrupted", False)

    run_specs(specs, collect, jobs=jobs, timeout=timeout)
    if interrupted:
        raise KeyboardInterrupt
    return pairs


def _gravest_of_each_input(pairs: Iterable[Pair]) -> list[Pair]:
    """Return the first of the worst results for each input."""
    gravest: dict[str, Pair] = {}
    for case, result in pairs:
        known = gravest.get(result.input)
        if known is None or result.verdict.severity > known[1].verdict.severity:
            gravest[result.input] = (case, result)
    return list(gravest.values())


MAX_OF_MODEL = 4
"""Most parameters of a model that are looked at closely: it may have hundreds."""


def _studied(gravest: list[Pair]) -> list[Pair]:
    """Return what to look at closely: each input of an op; of a model what did not pass, else what came nearest."""
    if level_of(gravest[0][0].target) is Level.UNIT:
        return gravest
    compared = [(case, result) for case, result in gravest if not result.training]
    wrong = [(case, result) for case, result in compared if result.verdict is not Verdict.PASS]
    nearest_to_wrong = sorted(compared, key=lambda pair: -np.nan_to_num(pair[1].worst_ratio))
    return wrong[:MAX_OF_MODEL] or nearest_to_wrong[:1] or gravest[:1]


@dataclass(frozen=True)
class _Trace:
    """The case with all its inputs, and what was traced of it."""

    case: Case
    traced: Traced


def _trace(case: Case, result: Result) -> _Trace:
    try:
        case = completed(case, open_op(case))
        return _Trace(case, trace_curve(case, result))
    except OpError as error:
        return _Trace(case, Traced(None, str(error)))


def _studies(pairs: list[Pair], jobs: int | None, timeout: float) -> Iterator[Study]:
    traces = [_Trace(case, Traced(None, "nothing was compared")) for case, _ in pairs]
    drawn = [k for k, (_, result) in enumerate(pairs) if result.verdict is not Verdict.ERROR]
    place: AbstractContextManager[Executor] = nullcontext(InProcess()) if jobs == 0 else workers(1, timeout)
    with place if drawn else nullcontext(InProcess()) as tasks:
        for position, outcome in tasks.map(_trace, [Task(pairs[k]) for k in drawn]):
            case = pairs[drawn[position]][0]
            traces[drawn[position]] = (
                _Trace(case, Traced(None, outcome.cause)) if isinstance(outcome, Lost) else outcome
            )
    for (case, result), trace in zip(pairs, traces, strict=True):
        shape = next((made.shape for made in trace.case.inputs if made.name == result.input), ())
        curve = trace.traced.curve
        yield Study(
            case=case,
            result=result,
            curve=curve,
            no_curve=trace.traced.trouble,
            heat_map=heat_map(result, shape),
            path=trace.traced.path,
            command="" if _is_at_hand(case) else command_for(case),
            snippet=snippet_for(case, result.input, curve) if curve and not _is_at_hand(case) else "",
        )


def _is_at_hand(case: Case) -> bool:
    """Whether a case is of an op that no spec names, so that nothing can audit it from there."""
    return isinstance(case.target, HeldTarget)


MAX_VIEWS = 2
"""Most cases of which the graph is drawn: those of a model differ in their data, and little in their graph."""


def _views(pairs: list[Pair], jobs: int | None, timeout: float) -> Iterator[ModelView]:
    """Yield the graphs of a model in the cases that ended worst."""
    models = [pair for pair in pairs if level_of(pair[0].target) is not Level.UNIT]
    gravest_first = sorted(models, key=lambda pair: -pair[1].verdict.severity)
    cases = list({case.id: case for case, _ in gravest_first}.values())[:MAX_VIEWS]
    if not cases:
        return
    place: AbstractContextManager[Executor] = nullcontext(InProcess()) if jobs == 0 else workers(1, timeout)
    with place as tasks:
        made = dict(tasks.map(_view, [Task((case,)) for case in cases]))
    for k, case in enumerate(cases):
        outcome = made[k]
        yield ModelView(case.name, case.dtype, None, outcome.cause) if isinstance(outcome, Lost) else outcome


def _view(case: Case) -> ModelView:
    try:
        return ModelView(case.name, case.dtype, trace_graph(case))
    except NoGraphError as error:
        return ModelView(case.name, case.dtype, None, str(error))


def _tolerances(pairs: list[Pair]) -> Iterator[ToleranceInForce]:
    used: dict[tuple[float, float, Origin, str], list[tuple[str, str]]] = {}
    for case, result in pairs:
        if result.verdict is not Verdict.ERROR and not result.training:
            given, default = case.tolerance, DEFAULT_TOLERANCES[case.dtype]
            origin: Origin = "spec" if given else _origin_unasked(result, default)
            key = (result.rtol, result.atol, origin, given.reason if given else "")
            used.setdefault(key, []).append(place_of(result))
    for (rtol, atol, origin, reason), places in used.items():
        yield ToleranceInForce(rtol, atol, origin, reason, tuple(places))


def _origin_unasked(result: Result, default: Tolerance) -> Origin:
    """Return where a tolerance is from that nobody asked for."""
    return "native" if result.rtol != default.rtol else "default"


def _sightings(pairs: list[Pair]) -> tuple[Sighting, ...]:
    """Return the first finding of each code for each input; those that fail a case come first.

    What is said of several inputs of a model in the same words is said once.
    """
    seen: dict[tuple[str, str], tuple[Finding, list[tuple[str, str]]]] = {}
    for case, result in pairs:
        for finding in result.findings:
            about = result.input if level_of(case.target) is Level.UNIT else finding.message
            places = seen.setdefault((finding.code, about), (finding, []))[1]
            if place_of(result) not in places:
                places.append(place_of(result))
    ordered = sorted(seen.values(), key=lambda entry: not entry[0].fails)
    return tuple(Sighting(finding, tuple(places)) for finding, places in ordered)


def _remedies(sightings: tuple[Sighting, ...], pairs: list[Pair]) -> Iterator[Page]:
    codes = dict.fromkeys(made.finding.code for made in sightings)
    yield from (finding_page(code) for code in codes if code in finding_names())
    verdicts = {result.verdict for _, result in pairs}
    if Verdict.FAIL in verdicts or Verdict.ERROR in verdicts:
        yield guide("debugging")
    if Verdict.INCONCLUSIVE in verdicts:
        yield guide("tolerance")
