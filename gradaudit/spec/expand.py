"""From a validated document to its concrete cases: merging, defaults, and what only the merged case can tell."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from gradaudit.spec.case import Case, Expectation, Method, Mode, Tolerance
from gradaudit.spec.document import CaseModel, DocumentModel, InputModel, TargetModel
from gradaudit.spec.dtypes import (
    DEFAULT_TOLERANCES,
)
from gradaudit.spec.errors import Problem
from gradaudit.spec.inputs import DRAWING_KEYS, check_upstream, expanded_input
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.source import Document, KeyPath
from gradaudit.spec.target import expanded_target


@dataclass(frozen=True)
class Overrides:
    """What the command line sets over every spec; None leaves the specs' own.

    ``tolerances`` are the project's, by dtype, for specs that name none.
    """

    dtypes: tuple[str, ...] | None = None
    seed: int | None = None
    method: Method | None = None
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)


def expand(
    source: Document, document: DocumentModel, overrides: Overrides, wrong_parts: AbstractSet[KeyPath] = frozenset()
) -> tuple[list[Case], list[Problem]]:
    """Return a document's cases, one for each case and dtype, and what is wrong with the others.

    ``wrong_parts`` are the paths that the document lacks because they are reported already: nothing that may follow
    from their absence is reported again.
    """
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
        dtypes, modes = dict.fromkeys(overrides.dtypes or merged["dtype"]), dict.fromkeys(merged["modes"])
        for dtype, mode in product(dtypes, modes):
            mistakes = Mistakes()
            case = _case(source, document, merged, dtype, mode, prefix, overrides, mistakes)
            if case is not None:
                cases.append(case)
            problems += [
                Problem(
                    source.locate_merged(prefix, mistake.path, key=mistake.key), f"{_dotted(mistake.path)}: {mistake}"
                )
                for mistake in mistakes
                if not _may_follow(mistake.path, lacking)
            ]
    return cases, problems


def _may_follow(path: KeyPath, lacking: AbstractSet[KeyPath]) -> bool:
    """Whether a mistake at this path may come from what the case lacks.

    The dtype bears on everything, the inputs on the target's words, and an unknown key may be any that is missing.
    """
    return any(
        part == ("dtype",)
        or path[: len(part)] == part[: len(path)]
        or (part[0] == "inputs" and path[0] == "target")
        or (part[0] not in CaseModel.model_fields and path in (("inputs",), ("target",)))
        for part in lacking
    )


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _merge(document: DocumentModel, override: CaseModel | None) -> dict[str, Any]:
    merged = {name: getattr(document, name) for name in type(document).model_fields}
    merged |= {"inputs": _given(document).get("inputs", {}), "target": _given(document).get("target", {})}
    merged |= {"tolerance": _given(document).get("tolerance", {}), "name": "default"}
    if override is None:
        return merged
    given = _given(override)
    for name, changes in given.get("inputs", {}).items():
        base = merged["inputs"].get(name, {})
        replaced = DRAWING_KEYS if "values" in changes else ("values",) if "shape" in changes else ()
        merged["inputs"] = merged["inputs"] | {name: {k: v for k, v in base.items() if k not in replaced}}
    return _deep_merge(merged, given)


def _given(model: DocumentModel | CaseModel) -> dict[str, Any]:
    return model.model_dump(exclude_unset=True)


def _deep_merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _deep_merge(below, value) if both and below is not None else value
    return merged


def _case(
    source: Document,
    document: DocumentModel,
    merged: Mapping[str, Any],
    dtype: str,
    mode: Mode,
    prefix: KeyPath,
    overrides: Overrides,
    mistakes: Mistakes,
) -> Case | None:
    given = {name: InputModel.model_validate(own) for name, own in merged["inputs"].items()}
    made = [expanded_input(name, model, dtype, mistakes) for name, model in given.items()]
    inputs = tuple(entry for entry in made if entry is not None)
    if not given:
        mistakes.append(InvalidCaseError(("inputs",), "expected at least one input, found none"))
    elif len(inputs) == len(given) and not any(entry.differentiable for entry in inputs):
        message = "none of the inputs is differentiable, so there is no gradient to audit"
        mistakes.append(InvalidCaseError(("inputs",), message))
    mistakes.noting(check_upstream, merged["upstream"], dtype)
    model, folder = TargetModel.model_validate(merged["target"]), source.file.resolve().parent
    target = expanded_target(model, mode, inputs, tuple(given), folder, mistakes)
    if mistakes or target is None:
        return None
    return Case(
        op=document.op,
        module=document.module or source.file.resolve().parent.name,
        name=merged["name"] if mode == "reverse" else f"{merged['name']}+{mode}",
        dtype=dtype,
        target=target,
        inputs=inputs,
        params=merged["params"],
        tolerance=_tolerance(merged["tolerance"], dtype, overrides.tolerances.get(dtype)),
        upstream=merged["upstream"],
        step=None if merged["step"] == "auto" else float(merged["step"]),
        method=overrides.method or merged["method"],
        seed=merged["seed"] if overrides.seed is None else overrides.seed,
        expect=Expectation(merged["expect"], tuple(merged["findings"])),
        notes=merged["notes"],
        location=source.locate(prefix),
    )


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
