"""From a validated document to its concrete cases: merging, defaults, and what only the merged case can tell."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradaudit.spec.case import Avoid, BackwardCall, Case, Expectation, Input, Method, PythonTarget, Tolerance
from gradaudit.spec.document import AvoidModel, CaseModel, DocumentModel, InputModel, TargetModel
from gradaudit.spec.draw import room, rounded_gap
from gradaudit.spec.dtypes import (
    DEFAULT_TOLERANCES,
    dtype_of,
    is_complex,
    is_floating,
    largest_value,
    smallest_value,
)
from gradaudit.spec.errors import Problem, nearest
from gradaudit.spec.source import Document, KeyPath

DRAWING_KEYS = ("shape", "range", "avoid", "gap")
"""What ``values`` replaces, and what replaces ``values``, where a case overrides its document."""

FRAMEWORKS = ("torch", "jax", "autograd", "tinygrad", "process")


@dataclass(frozen=True)
class Overrides:
    """What the command line sets over every spec; None leaves the specs' own."""

    dtypes: tuple[str, ...] | None = None
    seed: int | None = None
    method: Method | None = None


class _InvalidCaseError(Exception):
    """A mistake at a path of the merged case."""

    def __init__(self, path: KeyPath, message: str, *, key: bool = False) -> None:
        super().__init__(message)
        self.path = path
        self.key = key


def expand(source: Document, document: DocumentModel, overrides: Overrides) -> tuple[list[Case], list[Problem]]:
    """Return a document's cases, one for each case and dtype, and what is wrong with the others."""
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
        for dtype in dict.fromkeys(overrides.dtypes or merged["dtype"]):
            try:
                cases.append(_case(source, document, merged, dtype, prefix, overrides))
            except _InvalidCaseError as error:
                own = (*prefix, *error.path)
                path = own if own in source else error.path
                problems.append(Problem(source.locate(path, key=error.key), f"{_dotted(error.path)}: {error}"))
    return cases, problems


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
) -> Case:
    inputs = tuple(_input(name, InputModel.model_validate(given), dtype) for name, given in merged["inputs"].items())
    if not inputs:
        raise _InvalidCaseError(("inputs",), "expected at least one input, found none")
    if not any(entry.differentiable for entry in inputs):
        raise _InvalidCaseError(("inputs",), "none of the inputs is differentiable, so there is no gradient to audit")
    _refuse_what_memory_cannot_hold(inputs)
    return Case(
        op=document.op,
        module=document.module or source.file.resolve().parent.name,
        name=merged["name"],
        dtype=dtype,
        target=_target(source, TargetModel.model_validate(merged["target"]), inputs),
        inputs=inputs,
        params=merged["params"],
        tolerance=_tolerance(merged["tolerance"], dtype),
        upstream=merged["upstream"],
        step=None if merged["step"] == "auto" else float(merged["step"]),
        method=overrides.method or merged["method"],
        seed=merged["seed"] if overrides.seed is None else overrides.seed,
        expect=Expectation(merged["expect"], tuple(merged["findings"])),
        notes=merged["notes"],
        location=source.locate(prefix),
    )


def _tolerance(given: Mapping[str, Any], dtype: str) -> Tolerance | None:
    rtol, atol = given.get("rtol"), given.get("atol")
    if rtol is None and atol is None:
        return None
    default = DEFAULT_TOLERANCES[dtype]
    return Tolerance(
        rtol=default.rtol if rtol is None else float(rtol),
        atol=default.atol if atol is None else float(atol),
        reason=given.get("reason", ""),
    )


def _input(name: str, model: InputModel, case_dtype: str) -> Input:
    path: KeyPath = ("inputs", name)
    if re.fullmatch(r"upstream|output(\[\d+\])?", name):
        raise _InvalidCaseError(path, "this name is taken: backward's args use it for something else", key=True)
    whole = model.distribution in ("integers", "permutation")
    dtype = model.dtype or ("int64" if whole else case_dtype)
    differentiable = model.differentiable
    if differentiable is None:
        differentiable = is_floating(dtype)
    elif differentiable and not is_floating(dtype):
        raise _InvalidCaseError((*path, "differentiable"), f"found true, but {dtype} has no derivatives")
    made = Input(
        name=name,
        shape=_shape(path, model),
        dtype=dtype,
        differentiable=differentiable,
        range=_range(path, model, dtype),
        distribution=model.distribution,
        avoid=_avoid((*path, "avoid"), model.avoid),
        gap=model.gap or 0.0,
        values=model.values,
        layout=model.layout,
    )
    _check_distribution(path, made)
    return made


def _avoid(path: KeyPath, model: AvoidModel | None) -> Avoid | None:
    if model is None:
        return None
    if not model.points or model.margin is None:
        raise _InvalidCaseError(path, "expected both points and margin", key=True)
    return Avoid(tuple(model.points), model.margin)


def _shape(path: KeyPath, model: InputModel) -> tuple[int, ...]:
    if model.values is None:
        if model.shape is None:
            raise _InvalidCaseError(path, "expected 'shape' or 'values', found neither")
        return tuple(model.shape)
    try:
        shape = np.shape(np.asarray(model.values, dtype=np.float64))
    except ValueError:
        raise _InvalidCaseError(
            (*path, "values"), "the nested lists are ragged; every row needs the same length"
        ) from None
    except OverflowError:
        raise _InvalidCaseError((*path, "values"), "found a number that no dtype can hold") from None
    if model.shape is not None and tuple(model.shape) != shape:
        raise _InvalidCaseError((*path, "shape"), f"found {model.shape}, but the values have shape {list(shape)}")
    return shape


def _range(path: KeyPath, model: InputModel, dtype: str) -> tuple[float, float] | None:
    if model.values is not None:
        values = np.asarray(model.values, dtype=np.float64)
        _check_inside_dtype((*path, "values"), values, dtype)
        _check_whole((*path, "values"), values, dtype)
        return None
    if model.distribution in ("permutation", "one_hot", "spd"):
        if model.range is not None:
            raise _InvalidCaseError((*path, "range"), f"the distribution '{model.distribution}' takes no range")
        return None
    if model.range is None:
        if model.distribution == "integers":
            raise _InvalidCaseError(path, "the distribution 'integers' needs a range: [lo, hi]")
        unsigned = model.distribution == "bernoulli" or not is_floating(dtype)
        return (0.0, 1.0) if unsigned else (-1.0, 1.0)
    lo, hi = model.range
    if lo > hi:
        raise _InvalidCaseError((*path, "range"), f"found lo {lo:g} above hi {hi:g}; expected [lo, hi]")
    _check_inside_dtype((*path, "range"), np.asarray(model.range), dtype)
    if model.distribution == "integers" and not (lo.is_integer() and hi.is_integer()):
        raise _InvalidCaseError((*path, "range"), f"found [{lo:g}, {hi:g}]; integers need whole bounds")
    return float(lo), float(hi)


def _check_inside_dtype(path: KeyPath, values: np.ndarray[Any, np.dtype[np.float64]], dtype: str) -> None:
    least, most = smallest_value(dtype), largest_value(dtype)
    outside = values[np.isfinite(values) & ((values < least) | (values > most))]
    if outside.size:
        raise _InvalidCaseError(
            path, f"found {outside[0]:g}, outside {dtype}, which ends at {least:.5g} and {most:.5g}"
        )


def _check_whole(path: KeyPath, values: np.ndarray[Any, np.dtype[np.float64]], dtype: str) -> None:
    broken = values[values != np.floor(values)]
    if broken.size and not is_floating(dtype):
        raise _InvalidCaseError(path, f"found {broken[0]:g}, but {dtype} holds whole numbers")


def _check_distribution(path: KeyPath, made: Input) -> None:
    if made.values is not None:
        return
    kind, shape = made.distribution, made.shape
    if kind in ("one_hot", "permutation") and not shape:
        raise _InvalidCaseError((*path, "shape"), f"the distribution '{kind}' needs at least one axis, found []")
    if kind == "spd" and (len(shape) < 2 or shape[-1] != shape[-2]):
        raise _InvalidCaseError((*path, "shape"), f"the distribution 'spd' needs square matrices, found {list(shape)}")
    if kind == "spd" and not is_floating(made.dtype):
        raise _InvalidCaseError((*path, "dtype"), f"the distribution 'spd' needs a floating dtype, found {made.dtype}")
    if kind in ("uniform", "normal") and not is_floating(made.dtype):
        raise _InvalidCaseError(
            path, f"the distribution '{kind}' needs a floating dtype, found {made.dtype}; use 'integers'"
        )
    if made.avoid and kind not in ("uniform", "normal"):
        raise _InvalidCaseError((*path, "avoid"), f"the distribution '{kind}' cannot avoid points")
    if made.gap and (kind != "uniform" or is_complex(made.dtype)):
        raise _InvalidCaseError((*path, "gap"), "a gap needs the distribution 'uniform' and a real dtype")
    if kind not in ("uniform", "normal"):
        return
    available, count = room(made), math.prod(shape)
    if available < 0:
        raise _InvalidCaseError((*path, "avoid"), "nothing of the range is left outside the avoided points")
    gap = rounded_gap(made)
    if gap * (count - 1) > available:
        lo, hi = made.range or (0.0, 0.0)
        needed = f"{count} elements of {made.dtype} {made.gap:g} apart need a width of {gap * (count - 1):.3g}"
        raise _InvalidCaseError((*path, "gap"), f"{needed}, but [{lo:g}, {hi:g}] leaves {available:g}")


def _refuse_what_memory_cannot_hold(inputs: tuple[Input, ...]) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**36
    for made in inputs:
        needed = math.prod(made.shape) * dtype_of(made.dtype).itemsize
        if needed > machine:
            elements = math.prod(made.shape)
            raise _InvalidCaseError(
                ("inputs", made.name, "shape"),
                f"{elements:.3g} elements of {made.dtype} take {_gigabytes(needed)}; this machine has "
                f"{_gigabytes(machine)}",
            )


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.0f} GB"


def _target(source: Document, model: TargetModel, inputs: tuple[Input, ...]) -> PythonTarget:
    path: KeyPath = ("target",)
    others = [kind for kind in FRAMEWORKS if getattr(model, kind) is not None]
    if model.forward is None and model.backward is None and others:
        kind = others[0]
        raise _InvalidCaseError(
            (*path, kind), f"targets of kind '{kind}' cannot be audited yet; use forward and backward"
        )
    if model.forward is None or model.backward is None:
        missing = "forward" if model.forward is None else "backward"
        raise _InvalidCaseError(path, f"expected '{missing}: module:function', found none", key=True)
    if others:
        raise _InvalidCaseError((*path, others[0]), f"found '{others[0]}' beside 'forward'; a target is of one kind")
    names = [made.name for made in inputs]
    differentiable = [made.name for made in inputs if made.differentiable]
    args, returns = model.backward.args, model.backward.returns
    for i, word in enumerate(args or ()):
        if word not in names and not re.fullmatch(r"upstream|(upstream|output)\[\d+\]|output", word):
            known = [*names, "upstream", "output"]
            message = f"found '{word}'; expected upstream, output, output[k] or an input{nearest(word, known)}"
            raise _InvalidCaseError((*path, "backward", "args", i), message)
    for i, word in enumerate(returns or ()):
        if word not in names:
            message = f"found '{word}'; expected one of the inputs {', '.join(names)}{nearest(word, names)}"
            raise _InvalidCaseError((*path, "backward", "returns", i), message)
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
