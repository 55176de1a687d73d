"""Drafted cases as the text of specs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from gradaudit.drafts.draft import Drafted
from gradaudit.source.modules import read_tree
from gradaudit.spec.case import Case, Input
from gradaudit.spec.op_targets import (
    ClosureTarget,
    FrameworkTarget,
    LayerTarget,
    LibraryTarget,
    PythonTarget,
    UncalledTarget,
)
from gradaudit.spec.python_target import GRADIENTS
from gradaudit.targets.definitions import runs_something


class UnwritableDraftError(Exception):
    """A draft cannot be said in a spec; says why."""


def spec_text(drafted: Drafted, folder: Path) -> str:
    """Return the spec of a drafted backward pass, for a file in a folder.

    Raises:
        UnwritableDraftError: where nobody knows how it is called, or a spec cannot express it.

    """
    case = drafted.cases[0]
    if isinstance(case.target, UncalledTarget):
        raise UnwritableDraftError(drafted.said)
    if any(callable(value) for value in case.params.values()):
        raise UnwritableDraftError("it is made with a function, which a spec cannot hold: wrap it in a factory")
    data: dict[str, Any] = {"op": case.op, "target": target_said(case, drafted.found.file, folder)}
    data["inputs"] = {made.name: input_said(made) for made in case.inputs}
    if case.params:
        data["params"] = plain(_given(case.params))
    data["dtype"] = ["float32", "float64"] if not isinstance(case.target, LibraryTarget) else "float64"
    if case.tolerance is not None:
        tolerance = case.tolerance
        data["dtype"] = "float64"
        data["tolerance"] = {"rtol": tolerance.rtol, "atol": tolerance.atol, "reason": tolerance.reason}
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    heading = [f"# Drafted from {drafted.found.place} and tried: {' '.join(drafted.said.split())}."]
    if isinstance(case.target, LibraryTarget):
        heading += [f"# {line}" for line in _building(drafted.found.file)]
    return "\n".join(heading) + "\n" + text


def _building(source: Path) -> list[str]:
    library = f"lib{source.stem}"
    return [
        "Build the library, and once more in double, where the source is:",
        f"  cc -O2 -shared -fPIC {source.name} -o {library}.so -lm",
        f"  cc -O2 -shared -fPIC -Dfloat=double -Dexpf=exp -Dsqrtf=sqrt {source.name} -o {library}_f64.so -lm",
    ]


def input_said(made: Input) -> dict[str, Any]:
    """Return what a spec says of an input that is drawn."""
    said: dict[str, Any] = {"shape": list(made.shape)}
    if made.distribution == "integers" and made.range:
        said |= {"distribution": "integers", "below": int(made.range[1]) + 1}
    elif made.distribution != "uniform":
        said["distribution"] = made.distribution
    elif made.range:
        said["range"] = list(made.range)
    if not made.differentiable and made.distribution not in ("integers",):
        said["differentiable"] = False
    return said


def _given(params: Any) -> Any:
    """Return params without the arrays that the op wrote into them: drafts give it none."""
    if not isinstance(params, Mapping):
        return params
    return {name: _given(value) for name, value in params.items() if not isinstance(value, np.ndarray)}


def plain(value: Any) -> Any:
    """Return a value as YAML has it: lists for arrays and tuples, numbers for NumPy's."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def target_said(case: Case, source: Path, folder: Path) -> dict[str, Any]:
    """Return what stands at ``target`` in a spec in a folder, for an op that is written in a source.

    Raises:
        UnwritableDraftError: where a spec cannot express it.

    """
    target = case.target
    said: dict[str, Any]
    match target:
        case PythonTarget():
            said = _functions(target)
        case LayerTarget():
            said = {"layer": _layer(target)}
        case ClosureTarget():
            said = {"closure": _closure(target)} | ({"accumulates": True} if target.accumulates else {})
        case LibraryTarget():
            said = _library(target, source, folder)
        case FrameworkTarget():
            said = {target.framework: target.function} | _packs(target)
        case _:
            raise UnwritableDraftError(f"a spec cannot express a {type(target).__name__}")
    if not isinstance(target, LibraryTarget):
        if target.folder.resolve() != Path.cwd().resolve():
            said["folder"] = os.path.relpath(target.folder.resolve(), folder.resolve())
        tree = read_tree(source)
        if not isinstance(tree, str) and runs_something(tree):
            said["definitions_only"] = True
    return said


def _functions(target: PythonTarget) -> dict[str, Any]:
    back = target.backward
    key = next(key for key, convention in GRADIENTS.items() if convention == back.convention)
    call = {"call": back.call, "args": list(back.args), "returns": list(back.returns)}
    said: dict[str, Any] = {} if key == "value_and_grad" else {"forward": target.forward}
    said[key] = call
    if target.differentiable_outputs and key != "value_and_grad":
        said["outputs"] = {"differentiable": list(target.differentiable_outputs)}
    if target.context:
        said["context"] = target.context
    return said | _packs(target)


def _packs(target: PythonTarget | FrameworkTarget) -> dict[str, Any]:
    said: dict[str, Any] = {"lists": list(target.lists)} if target.lists else {}
    if target.packs:
        said["packs"] = {name: list(names) for name, names in target.packs.items()}
    return said


def _layer(target: LayerTarget) -> dict[str, Any]:
    said: dict[str, Any] = {"make": target.layer, "forward": target.forward, "backward": target.backward}
    said |= {"args": list(target.args), "returns": list(target.returns)}
    if target.parameters:
        said["params"] = dict(target.parameters)
    if target.gradients:
        said["grads"] = dict(target.gradients)
    if target.constructor:
        said["constructor"] = list(target.constructor)
    if target.output:
        said["output"] = target.output
    if target.builds:
        said["builds"] = True
    if target.attributes:
        said["attributes"] = dict(target.attributes)
    if target.steps:
        said["steps"] = True
    if target.convention == "derivative":
        said["derivative"] = True
    return said


def _closure(target: ClosureTarget) -> dict[str, Any]:
    said: dict[str, Any] = {"tensor": target.tensor, "call": target.call, "data": target.data, "grad": target.grad}
    return said | {"backward": target.backward} | ({"elementwise": True} if target.elementwise else {})


def _library(target: LibraryTarget, source: Path, folder: Path) -> dict[str, Any]:
    def seen(path: Path) -> str:
        return os.path.relpath(path.resolve(), folder.resolve())

    built = source.parent / f"lib{source.stem}"
    path = source if source == Path(target.path) else built.with_suffix(".so")  # what is built here is thrown away
    library: dict[str, Any] = {"path": seen(path), "header": seen(Path(target.header))}
    if target.float64:
        library["float64"] = seen(built.with_name(f"{built.name}_f64.so"))
    library |= {"forward": target.forward, "backward": target.backward}
    library["outputs"] = {name: list(shape) for name, shape in target.outputs.items()}
    library["grads"] = dict(target.gradients)
    return {"library": library, "accumulates": bool(target.accumulates)}
