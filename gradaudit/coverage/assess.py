"""From backward passes, specs and recorded results to the coverage of a project."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gradaudit.coverage.fingerprint import states
from gradaudit.coverage.levels import CaseCounts, level_rows, model_rows
from gradaudit.coverage.match import Matching
from gradaudit.coverage.model import Coverage, Depth, InputRow, ModuleRow, Mutants, OpCoverage
from gradaudit.coverage.passes import BackwardPass, Discovery
from gradaudit.results import worst
from gradaudit.source.reach import hashed
from gradaudit.spec.case import Case, Target
from gradaudit.spec.level import Level, level_of, model_of
from gradaudit.spec.op_targets import Framework, FrameworkTarget
from gradaudit.store.records import Provenance, Record, Recorded, subject_of

TOTAL = "TOTAL"
"""Name of the row of all modules."""

SHOWN_AUDIT = 8
"""Digits of the hash that tells one audited state of an op from another."""

Needs = Callable[[Target], Framework | None]
"""Which framework the audit of a target needs that is not installed; None where nothing is missing."""

Key = tuple[str, str, str]
"""A case of an op in a dtype."""


def assess(
    found: Discovery,
    matching: Matching,
    in_models: Mapping[Level, Matching],
    cases: Sequence[Case],
    provenances: Mapping[str, Provenance],
    recorded: Recorded,
    needs: Needs,
    base: Path,
) -> Coverage:
    """Return the coverage of a project.

    Args:
        found: its backward passes.
        matching: which specs audit them.
        in_models: which of them are called by models that are audited at a level above the unit.
        cases: those of all its specs.
        provenances: what each case is about now, by its id.
        recorded: what the store holds of them.
        needs: which framework a target lacks here.
        base: the folder that the files of specs are told from.

    """
    latest: dict[Key, list[Record]] = defaultdict(list)
    for record in recorded.results:
        latest[subject_of(record.result)[:3]].append(record)
    by_op: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_op[case.op].append(case)
    ops = [_op(own, matching, provenances, latest, needs, base) for own in by_op.values()]
    about = states(cases, provenances)
    ops = [replace(op, depth=_depth(recorded, op.op, about), mutants=_mutants(recorded, op.op, about)) for op in ops]
    modules = _modules(found.passes, matching, {op: own[0].module for op, own in by_op.items()})
    rows = _rows(found.passes, matching, in_models, modules)
    missing = tuple((modules[one], one) for one in found.passes if not matching.ops[one])
    ordered = tuple(sorted(ops, key=lambda op: (op.module, op.op)))
    return Coverage(
        modules=tuple(rows),
        total=_total(rows),
        ops=ordered,
        missing=missing,
        troubles=found.troubles,
        files=found.files,
        levels=level_rows([(op.level, op.cases) for op in ordered]),
        models=model_rows((op.model, op.level, op.op) for op in ordered),
    )


def _depth(recorded: Recorded, op: str, about: Mapping[str, str]) -> Depth | None:
    known = {record.state: record for record in recorded.depths if record.op == op}
    newest = known.get(about[op]) or next(reversed(known.values()), None)
    return Depth(newest.functions, stale=newest.state != about[op]) if newest else None


def _mutants(recorded: Recorded, op: str, about: Mapping[str, str]) -> Mutants | None:
    known = {record.state: record for record in recorded.mutations if record.op == op}
    newest = known.get(about[op]) or next(reversed(known.values()), None)
    return Mutants(newest.counts, stale=newest.state != about[op]) if newest else None


def _rows(
    passes: Sequence[BackwardPass],
    matching: Matching,
    in_models: Mapping[Level, Matching],
    modules: Mapping[BackwardPass, str],
) -> list[ModuleRow]:
    count = Counter(modules[one] for one in passes)
    checked = Counter(modules[one] for one in passes if matching.ops[one])
    called = {level: Counter(modules[one] for one in passes if own.ops[one]) for level, own in in_models.items()}
    return [
        ModuleRow(module, count[module], checked[module], {level: own[module] for level, own in called.items()})
        for module in sorted(count)
    ]


def _total(rows: Sequence[ModuleRow]) -> ModuleRow:
    called: Counter[Level] = Counter()
    for row in rows:
        called.update(row.in_models)
    return ModuleRow(TOTAL, sum(row.passes for row in rows), sum(row.checked for row in rows), called)


def _modules(
    passes: Sequence[BackwardPass], matching: Matching, module_of: Mapping[str, str]
) -> dict[BackwardPass, str]:
    """Return the module that each pass counts for: its spec's, else that of most in its file, else the file's."""
    in_file: dict[object, Counter[str]] = defaultdict(Counter)
    for one in passes:
        in_file[one.file].update(module_of[op] for op in matching.ops[one])
    modules = {}
    for one in passes:
        own = [module_of[op] for op in matching.ops[one]]
        others = in_file[one.file].most_common(1)
        stem = one.file.stem if one.file.stem not in ("__init__", "mod", "lib") else one.file.parent.name
        modules[one] = own[0] if own else others[0][0] if others else stem
    return modules


def _op(
    cases: Sequence[Case],
    matching: Matching,
    provenances: Mapping[str, Provenance],
    latest: Mapping[Key, Sequence[Record]],
    needs: Needs,
    base: Path,
) -> OpCoverage:
    first = cases[0]
    file = first.location.file.resolve()
    shown = file.relative_to(base) if file.is_relative_to(base) else file
    current: dict[str, list[Record]] = {}
    for case in cases:
        known = latest.get((case.op, case.name, case.dtype), ())
        fitting = [record for record in known if record.provenance.spec == provenances[case.id].spec]
        newest = max((record.run for record in fitting or known), default=0)
        current[case.id] = [record for record in fitting or known if record.run == newest]
    codes = Counter(
        code for own in current.values() for code in {made.code for record in own for made in record.result.findings}
    )
    about = sorted({(id_, r.provenance.source, r.provenance.spec) for id_, own in current.items() for r in own})
    return OpCoverage(
        op=first.op,
        module=first.module,
        level=level_of(first.target),
        model=model_of(first.target),
        location=f"{shown.as_posix()}:{first.location.line}",
        passes=matching.passes_of(first.op),
        by_name=first.op in matching.by_name,
        inputs=tuple(_inputs(cases, current)),
        findings=tuple(sorted(codes.items())),
        cases=sum(map(_ending, current.values()), CaseCounts()),
        audited=max((record.recorded for own in current.values() for record in own), default=None),
        audit=hashed(json.dumps(about))[:SHOWN_AUDIT] if about else "",
        stale=tuple(_staleness(cases, provenances, current)),
        needs=next(filter(None, (needs(case.target) for case in cases)), None),
    )


def _ending(records: Sequence[Record]) -> CaseCounts:
    if not records:
        return CaseCounts(unaudited=1)
    expected = all(record.result.expected for record in records)
    return CaseCounts(expected=int(expected), unexpected=int(not expected))


def _inputs(cases: Sequence[Case], current: Mapping[str, Sequence[Record]]) -> Iterable[InputRow]:
    names = {case.id: _names(case, current[case.id]) for case in cases}
    for name in dict.fromkeys(name for found in names.values() for name in found):
        own = [case for case in cases if name in names[case.id]]
        found = {case.id: [r.result for r in current[case.id] if r.result.input == name] for case in own}
        results = [result for some in found.values() for result in some]
        verdicts = {}
        for dtype in dict.fromkeys(case.dtype for case in own):
            made = [result.verdict for case in own if case.dtype == dtype for result in found[case.id]]
            verdicts[dtype] = worst(made) if made else None
        ratios = [result.worst_ratio for result in results if not math.isnan(result.worst_ratio)]
        missed = [result.miss_probability for result in results if not math.isnan(result.miss_probability)]
        yield InputRow(name, verdicts, len(own), max(ratios, default=math.nan), max(missed, default=math.nan))


def _names(case: Case, records: Sequence[Record]) -> list[str]:
    """Return the differentiable inputs of a case, with the parameters that a module was found to bring along."""
    named = [made.name for made in case.inputs if made.differentiable]
    brings = isinstance(case.target, FrameworkTarget) or level_of(case.target) is not Level.UNIT
    return list(dict.fromkeys([*named, *(record.result.input for record in records if brings)]))


def _staleness(
    cases: Sequence[Case], provenances: Mapping[str, Provenance], current: Mapping[str, Sequence[Record]]
) -> Iterable[str]:
    never = [case for case in cases if not current[case.id]]
    if len(never) == len(cases):
        yield "never audited"
        return
    records = [(provenances[case.id], record.provenance) for case in cases for record in current[case.id]]
    if any(now.source != then.source for now, then in records):
        yield "implementation changed"
    if any(now.spec != then.spec for now, then in records):
        yield "spec changed"
    if never:
        yield f"{len(never)} of {len(cases)} cases never audited"
