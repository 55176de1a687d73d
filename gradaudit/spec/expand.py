"""From a validated document to its concrete cases: merging, defaults, and what only the merged case can tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from gradaudit.spec.case import Case, Expectation, Method, RandomUpstream, Tolerance
from gradaudit.spec.dtypes import DEFAULT_TOLERANCES
from gradaudit.spec.errors import Problem
from gradaudit.spec.inputs import DRAWING_KEYS
from gradaudit.spec.kinds import Kind, kind_named
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.source import Document, KeyPath
from gradaudit.spec.strict import Strict, plain

REVERSE = "reverse"
"""The mode that goes without saying."""


@dataclass(frozen=True)
class Overrides:
    """What the command line sets over every spec; None leaves the specs' own, and so do no ``seeds``, 0 and False.

    ``tolerances``, by dtype, and ``usual_budget`` are the project's, for specs that name none; ``allow`` are the
    modules that specs may name, None for any.
    """

    dtypes: tuple[str, ...] | None = None
    seed: int | None = None
    seeds: tuple[int, ...] = ()
    repeat: int = 0
    relations: bool = False
    method: Method | None = None
    budget: int | None = None
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    usual_budget: int | None = None
    allow: tuple[str, ...] | None = None


def expand(
    source: Document,
    document: Any,
    overrides: Overrides,
    wrong_parts: AbstractSet[KeyPath] = frozenset(),
) -> tuple[list[Case], list[Problem]]:
    """Return a document's cases, one for each case and dtype, and what is wrong with the others.

    ``document`` is an instance of its kind's model.
    ``wrong_parts`` are the paths that the document lacks because they are reported already: nothing that may follow
    from their absence is reported again.
    """
    kind = kind_named(document.kind)
    cases: list[Case] = []
    problems: list[Problem] = []
    seen: set[str] = set()
    for i, override in enumerate(document.cases or [None]):
        prefix: KeyPath = () if override is None else ("cases", i)
        if override is not None:
            if override.name in seen:
                where = source.locate((*prefix, "name"))
                problems.append(Problem(where, f"two cases of op '{document.op}' are named '{override.name}'"))
            seen.add(override.name)
        merged = _merge(document, override)
        lacking = {path[2:] if path[:2] == prefix else path for path in wrong_parts}
        dtypes, modes = (
            dict.fromkeys(overrides.dtypes or merged["dtype"]),
            dict.fromkeys(merged.get("modes", [REVERSE])),
        )
        for dtype, mode in product(dtypes, modes):
            mistakes = Mistakes()
            case = _case(source, kind, merged, dtype, mode, prefix, overrides, mistakes)
            if case is not None:
                cases.append(case)
            problems += [
                Problem(
                    source.locate_merged(prefix, mistake.path, key=mistake.key), f"{_dotted(mistake.path)}: {mistake}"
                )
                for mistake in mistakes
                if not _may_follow(mistake.path, lacking, kind)
            ]
    return cases, problems


def _may_follow(path: KeyPath, lacking: AbstractSet[KeyPath], kind: Kind) -> bool:
    """Whether a mistake at this path may come from what the case lacks.

    The dtype bears on everything, the inputs on the target's words and on what is expected of gradients, and an
    unknown key may be any that is missing.
    """
    return any(
        part == ("dtype",)
        or path[: len(part)] == part[: len(path)]
        or (part[0] == "inputs" and path[0] in ("target", "expect"))
        or (part[0] not in kind.case.declared and path in (("inputs",), ("target",)))
        for part in lacking
    )


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _merge(document: Strict, override: Strict | None) -> dict[str, Any]:
    """Return what a case says of each key, with the document's own where it says nothing.

    What it says something of is plain data, to be validated once more; all else is as it was read.
    """
    merged = {**document.unsaid, **vars(document), "name": "default"}
    if override is None:
        return merged
    changed = override.given()
    for part in ("inputs", "targets"):
        for name, changes in changed.get(part, {}).items():
            base = plain(merged[part].get(name, {}))
            replaced = DRAWING_KEYS if "values" in changes else ("values",) if "shape" in changes else ()
            merged[part] = merged[part] | {name: {k: v for k, v in base.items() if k not in replaced}}
    return _deep_merge(merged, changed)


def _deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Strict):
            below = below.given()
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _deep_merge(below, value) if both and below is not None else value
    return merged


def _case(
    source: Document,
    kind: Kind,
    merged: Mapping[str, Any],
    dtype: str,
    mode: str,
    prefix: KeyPath,
    overrides: Overrides,
    mistakes: Mistakes,
) -> Case | None:
    folder = source.folder
    target, inputs = kind.parts(merged, dtype, mode, folder, mistakes)
    if mistakes or target is None:
        return None
    case = Case(
        op=merged["op"],
        module=merged["module"] or folder.name,
        name=merged["name"] if mode == REVERSE else f"{merged['name']}+{mode}",
        dtype=dtype,
        target=target,
        inputs=inputs,
        params=merged["params"],
        tolerance=_tolerance(plain(merged.get("tolerance", {})), dtype, overrides.tolerances.get(dtype)),
        upstream=_upstream(merged.get("upstream", "ones")),
        step=None if merged.get("step", "auto") == "auto" else float(merged["step"]),
        method=overrides.method or merged.get("method", "search"),
        seed=merged["seed"] if overrides.seed is None else overrides.seed,
        expect=_expectation(merged["expect"], tuple(merged["findings"])),
        notes=merged["notes"],
        location=source.locate(prefix),
        budget=overrides.budget or merged.get("budget") or overrides.usual_budget,
        seeds=overrides.seeds,
        requires=tuple(merged.get("requires", ())),
        repeat=overrides.repeat or merged.get("repeat", 0),
        relations=overrides.relations or merged.get("relations", False),
    )
    mistakes += _broken_requirements(case)
    return case


def _broken_requirements(case: Case) -> Iterator[InvalidCaseError]:
    """Yield a mistake for each requirement of a spec that its own case does not keep to."""
    if not case.requires:
        return
    from gradaudit.spec.draw import UndrawableError, draw_inputs
    from gradaudit.spec.requires import holds

    with suppress(UndrawableError):  # which its audit tells of
        inputs = draw_inputs(case)
        for k, text in enumerate(case.requires):
            if not holds(text, case.params, inputs):
                yield InvalidCaseError(("requires", k), f"case '{case.name}' does not keep to it: {text}")


def _expectation(given: Any, findings: tuple[str, ...]) -> Expectation:
    if not isinstance(given, Mapping):
        return Expectation(given, findings)
    return Expectation("fail" if "fail" in given.values() else "pass", findings, dict(given))


def _upstream(given: Any) -> Any:
    return RandomUpstream(**given) if isinstance(given, Mapping) else given


def _tolerance(given: Mapping[str, Any], dtype: str, of_project: Tolerance | None) -> Tolerance | None:
    rtol, atol = given.get("rtol"), given.get("atol")
    if rtol is None and atol is None:
        return of_project
    default = of_project or DEFAULT_TOLERANCES[dtype]
    return Tolerance(
        rtol=default.rtol if rtol is None else float(rtol),
        atol=default.atol if atol is None else float(atol),
        reason=given.get("reason", ""),
    )
