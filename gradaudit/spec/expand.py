"""From a validated document to its concrete cases: merging, defaults, and what only the merged case can tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from gradaudit.spec.case import (
    BackwardCall,
    Case,
    Expectation,
    Input,
    Method,
    ProcessTarget,
    PythonTarget,
    Target,
    Tolerance,
)
from gradaudit.spec.document import CaseModel, DocumentModel, InputModel, OutputsModel, ProcessModel, TargetModel
from gradaudit.spec.dtypes import (
    DEFAULT_TOLERANCES,
)
from gradaudit.spec.errors import Problem, nearest
from gradaudit.spec.inputs import DRAWING_KEYS, check_upstream, expanded_input
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.source import Document, KeyPath

FRAMEWORKS = ("torch", "jax", "autograd", "tinygrad", "process")


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
        for dtype in dict.fromkeys(overrides.dtypes or merged["dtype"]):
            mistakes = Mistakes()
            case = _case(source, document, merged, dtype, prefix, overrides, mistakes)
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
    target = _target(source, TargetModel.model_validate(merged["target"]), inputs, tuple(given), mistakes)
    if mistakes or target is None:
        return None
    return Case(
        op=document.op,
        module=document.module or source.file.resolve().parent.name,
        name=merged["name"],
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


def _target(
    source: Document, model: TargetModel, inputs: tuple[Input, ...], names: tuple[str, ...], mistakes: Mistakes
) -> Target | None:
    path: KeyPath = ("target",)
    others = [kind for kind in FRAMEWORKS if getattr(model, kind) is not None]
    if model.process is not None and others == ["process"] and model.forward is None and model.backward is None:
        return _process_target(source, model.process, model.outputs)
    if model.forward is None and model.backward is None and others:
        message = f"targets of kind '{others[0]}' cannot be audited yet; use forward and backward"
        mistakes.append(InvalidCaseError((*path, others[0]), message))
        return None
    mistakes += [
        InvalidCaseError((*path, kind), f"found '{kind}' beside 'forward'; a target is of one kind", key=True)
        for kind in others
    ]
    mistakes += [
        InvalidCaseError(path, f"expected '{kind}: module:function', found none", key=True)
        for kind in ("forward", "backward")
        if getattr(model, kind) is None
    ]
    if model.forward is None or model.backward is None:
        return None
    if model.backward.call is None:
        message = "expected 'call: module:function', found none"
        mistakes.append(InvalidCaseError((*path, "backward"), message, key=True))
        return None
    args, returns = model.backward.args, model.backward.returns
    for i, word in enumerate(args or ()):
        if word not in names and not re.fullmatch(r"(upstream|output)(\[\d+\])?", word):
            known = [*names, "upstream", "output"]
            message = f"found '{word}'; expected upstream, output, output[k] or an input{nearest(word, known)}"
            mistakes.append(InvalidCaseError((*path, "backward", "args", i), message))
    for i, word in enumerate(returns or ()):
        if word not in names:
            message = f"found '{word}'; expected one of the inputs {', '.join(names)}{nearest(word, names)}"
            mistakes.append(InvalidCaseError((*path, "backward", "returns", i), message))
    differentiable = [made.name for made in inputs if made.differentiable]
    return PythonTarget(
        forward=model.forward,
        backward=BackwardCall(
            call=model.backward.call,
            args=tuple(["upstream", *names] if args is None else args),
            returns=tuple(differentiable if returns is None else returns),
        ),
        differentiable_outputs=None if model.outputs is None else tuple(model.outputs.differentiable),
        folder=source.file.resolve().parent,
    )


def _process_target(source: Document, model: ProcessModel, outputs: OutputsModel | None) -> ProcessTarget:
    return ProcessTarget(
        command=tuple(model.command),
        op=model.op,
        timeout=float(model.timeout),
        differentiable_outputs=None if outputs is None else tuple(outputs.differentiable),
        folder=source.file.resolve().parent,
    )
