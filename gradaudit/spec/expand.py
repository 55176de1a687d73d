"""From a validated document to its concrete cases: merging, defaults, and what only the merged case can tell."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

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
    spacing,
)
from gradaudit.spec.errors import Problem, nearest
from gradaudit.spec.source import Document, KeyPath

DRAWING_KEYS = ("shape", "range", "avoid", "gap")
"""What ``values`` replaces where a case overrides its document; in turn, ``shape`` replaces ``values``."""

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


P = ParamSpec("P")
T = TypeVar("T")


class _Mistakes(list[_InvalidCaseError]):
    """The mistakes of one case: a part that is wrong does not keep the others from being looked at."""

    def noting(self, make: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Return what is made, None where a mistake prevents it."""
        try:
            return make(*args, **kwargs)
        except _InvalidCaseError as mistake:
            self.append(mistake)
            return None


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
            mistakes = _Mistakes()
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
    mistakes: _Mistakes,
) -> Case | None:
    given = {name: InputModel.model_validate(own) for name, own in merged["inputs"].items()}
    made = [_input(name, model, dtype, mistakes) for name, model in given.items()]
    inputs = tuple(entry for entry in made if entry is not None)
    if not given:
        mistakes.append(_InvalidCaseError(("inputs",), "expected at least one input, found none"))
    elif len(inputs) == len(given) and not any(entry.differentiable for entry in inputs):
        message = "none of the inputs is differentiable, so there is no gradient to audit"
        mistakes.append(_InvalidCaseError(("inputs",), message))
    mistakes.noting(_check_upstream, merged["upstream"], dtype)
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


def _input(name: str, model: InputModel, case_dtype: str, mistakes: _Mistakes) -> Input | None:
    path: KeyPath = ("inputs", name)
    before = len(mistakes)
    whole = model.distribution in ("integers", "permutation")
    dtype = model.dtype or ("int64" if whole else case_dtype)
    differentiable = is_floating(dtype) if model.differentiable is None else model.differentiable
    if re.fullmatch(r"(upstream|output)(\[\d+\])?", name):
        message = "this name is taken: backward's args use it for something else"
        mistakes.append(_InvalidCaseError(path, message, key=True))
    if differentiable and not is_floating(dtype):
        message = f"found true, but {dtype} has no derivatives"
        mistakes.append(_InvalidCaseError((*path, "differentiable"), message))
    shape = mistakes.noting(_shape, path, model, dtype)
    avoid = mistakes.noting(_avoid, (*path, "avoid"), model.avoid)
    limits = None
    if model.values is None:
        limits = mistakes.noting(_range, path, model, dtype)
    elif shape is not None:
        mistakes.noting(_check_values, path, model, dtype)
    if len(mistakes) > before or shape is None:
        return None
    made = Input(
        name=name,
        shape=shape,
        dtype=dtype,
        differentiable=differentiable,
        range=limits,
        distribution=model.distribution,
        avoid=avoid,
        gap=model.gap or 0.0,
        values=model.values,
        layout=model.layout,
    )
    if made.values is None:
        mistakes.noting(_check_distribution, path, made)
        mistakes.noting(_check_room, path, made)
    return made if len(mistakes) == before else None


def _avoid(path: KeyPath, model: AvoidModel | None) -> Avoid | None:
    if model is None:
        return None
    if not model.points or model.margin is None:
        raise _InvalidCaseError(path, "expected both points and margin", key=True)
    return Avoid(tuple(model.points), model.margin)


def _shape(path: KeyPath, model: InputModel, dtype: str) -> tuple[int, ...]:
    if model.values is not None:
        shape = _nested_shape((*path, "values"), model.values)
        if model.shape is not None and tuple(model.shape) != shape:
            raise _InvalidCaseError((*path, "shape"), f"found {model.shape}, but the values have shape {list(shape)}")
        return shape
    if model.shape is None:
        raise _InvalidCaseError(path, "expected 'shape' or 'values', found neither")
    _refuse_what_memory_cannot_hold((*path, "shape"), model.shape, dtype)
    return tuple(model.shape)


def _nested_shape(path: KeyPath, values: Any) -> tuple[int, ...]:
    try:
        return np.shape(np.asarray(values, dtype=np.float64))
    except ValueError:
        raise _InvalidCaseError(path, "the nested lists are ragged; every row needs the same length") from None
    except OverflowError:
        raise _InvalidCaseError(path, "found a number that no dtype can hold") from None


def _check_values(path: KeyPath, model: InputModel, dtype: str) -> None:
    values = _flat(model.values)
    _check_whole((*path, "values"), values, dtype)
    _check_inside_dtype((*path, "values"), values if is_floating(dtype) else [int(v) for v in values], dtype)
    for key in DRAWING_KEYS[1:]:
        if getattr(model, key) is not None:
            raise _InvalidCaseError((*path, key), "found beside 'values', which leave nothing to draw", key=True)


def _check_upstream(upstream: Any, dtype: str) -> None:
    if not isinstance(upstream, str):
        _nested_shape(("upstream",), upstream)
        _check_inside_dtype(("upstream",), _flat(upstream), dtype)


def _range(path: KeyPath, model: InputModel, dtype: str) -> tuple[float, float] | None:
    path, kind = (*path, "range"), model.distribution
    if kind in ("permutation", "one_hot", "spd"):
        if model.range is not None:
            raise _InvalidCaseError(path, f"the distribution '{kind}' takes no range")
        return None
    if model.range is None:
        if kind == "integers":
            raise _InvalidCaseError(path[:-1], "the distribution 'integers' needs a range: [lo, hi]")
        unsigned = kind == "bernoulli" or not is_floating(dtype)
        return (0.0, 1.0) if unsigned else (-1.0, 1.0)
    lo, hi = model.range
    _check_inside_dtype(path, [lo, hi], dtype)
    if math.isinf(hi - lo):
        raise _InvalidCaseError(path, f"found [{lo:g}, {hi:g}], whose width no dtype can hold")
    if kind == "integers":
        if not (lo.is_integer() and hi.is_integer()):
            raise _InvalidCaseError(path, f"found [{lo:g}, {hi:g}]; integers need whole bounds")
        if is_floating(dtype):
            _check_counts(path, max(abs(lo), abs(hi)), dtype)
    _check_whole(path, [lo, hi], dtype)
    return float(lo), float(hi)


def _flat(values: Any) -> list[float]:
    return [number for row in values for number in _flat(row)] if isinstance(values, list) else [values]


def _check_inside_dtype(path: KeyPath, values: Sequence[float], dtype: str) -> None:
    least, most = smallest_value(dtype), largest_value(dtype)
    for value in values:
        if isinstance(value, float):
            least, most = float(least), float(most)
        if math.isfinite(value) and not least <= value <= most:
            raise _InvalidCaseError(path, f"found {value:g}, outside {dtype}, which ends at {least:.5g} and {most:.5g}")


def _check_whole(path: KeyPath, values: Sequence[float], dtype: str) -> None:
    for value in values:
        if not is_floating(dtype) and not (math.isfinite(value) and value == math.floor(value)):
            raise _InvalidCaseError(path, f"found {value:g}, but {dtype} holds whole numbers")


def _check_counts(path: KeyPath, most: float, dtype: str) -> None:
    """Refuse integers so large that the dtype would round some of them to others."""
    limit = 2 / spacing(dtype) if is_floating(dtype) else largest_value(dtype)
    if most > limit:
        raise _InvalidCaseError(path, f"found integers up to {most:g}; {dtype} holds all of them up to {limit:g} only")


def _check_distribution(path: KeyPath, made: Input) -> None:
    kind, shape = made.distribution, made.shape
    if kind in ("one_hot", "permutation") and not shape:
        raise _InvalidCaseError((*path, "shape"), f"the distribution '{kind}' needs at least one axis, found []")
    if kind == "permutation":
        _check_counts((*path, "shape"), shape[-1] - 1, made.dtype)
    if kind == "spd" and (len(shape) < 2 or shape[-1] != shape[-2]):
        raise _InvalidCaseError((*path, "shape"), f"the distribution 'spd' needs square matrices, found {list(shape)}")
    if kind == "spd" and not is_floating(made.dtype):
        raise _InvalidCaseError((*path, "dtype"), f"the distribution 'spd' needs a floating dtype, found {made.dtype}")
    if kind in ("uniform", "normal") and not is_floating(made.dtype):
        message = f"the distribution '{kind}' needs a floating dtype, found {made.dtype}; use 'integers'"
        raise _InvalidCaseError(path, message)


def _check_room(path: KeyPath, made: Input) -> None:
    kind = made.distribution
    if made.avoid and kind not in ("uniform", "normal"):
        raise _InvalidCaseError((*path, "avoid"), f"the distribution '{kind}' cannot avoid points")
    if made.gap and (kind != "uniform" or is_complex(made.dtype)):
        raise _InvalidCaseError((*path, "gap"), "a gap needs the distribution 'uniform' and a real dtype")
    if kind not in ("uniform", "normal") or not is_floating(made.dtype):
        return
    available, count = room(made), math.prod(made.shape)
    lo, hi = made.range or (-1.0, 1.0)
    if available < 0:
        if made.avoid:
            raise _InvalidCaseError((*path, "avoid"), "nothing of the range is left outside the avoided points")
        raise _InvalidCaseError((*path, "range"), f"found [{lo:g}, {hi:g}], which no number of {made.dtype} lies in")
    gap = rounded_gap(made)
    if gap * (count - 1) > available:
        needed = f"{count} elements of {made.dtype} {made.gap:g} apart need a width of {gap * (count - 1):.3g}"
        raise _InvalidCaseError((*path, "gap"), f"{needed}, but [{lo:g}, {hi:g}] leaves {available:g}")


def _refuse_what_memory_cannot_hold(path: KeyPath, shape: Sequence[int], dtype: str) -> None:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**36
    elements, itemsize = math.prod(shape), dtype_of(dtype).itemsize
    # Even where another axis is empty, NumPy has no shape of more bytes than an address can count.
    if math.prod(size or 1 for size in shape) * itemsize > sys.maxsize:
        raise _InvalidCaseError(path, f"an array of this shape would take more than {_gigabytes(sys.maxsize)}")
    if elements * itemsize > machine:
        needed = f"{elements:.3g} elements of {dtype} take {_gigabytes(elements * itemsize)}"
        raise _InvalidCaseError(path, f"{needed}; this machine has {_gigabytes(machine)}")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.0f} GB"


def _target(
    source: Document, model: TargetModel, inputs: tuple[Input, ...], names: tuple[str, ...], mistakes: _Mistakes
) -> PythonTarget | None:
    path: KeyPath = ("target",)
    others = [kind for kind in FRAMEWORKS if getattr(model, kind) is not None]
    if model.forward is None and model.backward is None and others:
        message = f"targets of kind '{others[0]}' cannot be audited yet; use forward and backward"
        mistakes.append(_InvalidCaseError((*path, others[0]), message))
        return None
    mistakes += [
        _InvalidCaseError((*path, kind), f"found '{kind}' beside 'forward'; a target is of one kind", key=True)
        for kind in others
    ]
    mistakes += [
        _InvalidCaseError(path, f"expected '{kind}: module:function', found none", key=True)
        for kind in ("forward", "backward")
        if getattr(model, kind) is None
    ]
    if model.forward is None or model.backward is None:
        return None
    if model.backward.call is None:
        message = "expected 'call: module:function', found none"
        mistakes.append(_InvalidCaseError((*path, "backward"), message, key=True))
        return None
    args, returns = model.backward.args, model.backward.returns
    for i, word in enumerate(args or ()):
        if word not in names and not re.fullmatch(r"(upstream|output)(\[\d+\])?", word):
            known = [*names, "upstream", "output"]
            message = f"found '{word}'; expected upstream, output, output[k] or an input{nearest(word, known)}"
            mistakes.append(_InvalidCaseError((*path, "backward", "args", i), message))
    for i, word in enumerate(returns or ()):
        if word not in names:
            message = f"found '{word}'; expected one of the inputs {', '.join(names)}{nearest(word, names)}"
            mistakes.append(_InvalidCaseError((*path, "backward", "returns", i), message))
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
