"""From a backward pass to the cases that audit it, or why there are none: run where user code may do what it likes."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from gradaudit.coverage.naming import forward_among, naming
from gradaudit.coverage.passes import BackwardPass, Kind
from gradaudit.drafts.c_build import SUFFIXES
from gradaudit.drafts.c_functions import NoCallError, c_guess
from gradaudit.drafts.classes import class_subjects
from gradaudit.drafts.closures import closure_subjects
from gradaudit.drafts.frameworks import framework_subjects
from gradaudit.drafts.functions import (
    Places,
    context_subjects,
    pair_subjects,
    pulled_subjects,
    value_and_grad_subjects,
)
from gradaudit.drafts.guess import SECONDS, Subject, Tried, bare_case, case_of, search
from gradaudit.drafts.inputs import RANGES
from gradaudit.engine.audit import audit_case
from gradaudit.results import Verdict, worst
from gradaudit.source.modules import read_tree
from gradaudit.spec.case import Case, Location
from gradaudit.spec.draw import draw_inputs
from gradaudit.spec.op_targets import UncalledTarget
from gradaudit.targets import open_op
from gradaudit.targets.definitions import definitions_only
from gradaudit.targets.importing import import_module
from gradaudit.targets.op import OpError


@dataclass(frozen=True)
class Drafted:
    """What came of a backward pass.

    Attributes:
        found: the pass.
        cases: what audits it; one of a target that cannot be called where no guess fits.
        said: what was guessed, or why nothing fits.

    """

    found: BackwardPass
    cases: tuple[Case, ...]
    said: str


class NoGuessError(Exception):
    """Nothing is known of how a backward pass is called; says why."""


def draft(one: BackwardPass, file: Path, home: Path, op: str) -> Drafted:
    """Return the cases of a backward pass, guessed and tried; never raises for what its code does.

    Args:
        one: the pass.
        file: where its file is.
        home: the folder that was searched: modules may be imported from it.
        op: the name of the op in reports.

    """
    location, module = location_of(one), module_of(one)
    if one.kind is Kind.PATTERN:
        return _drafted_in_c(one, file, op)
    try:
        tried = search(_subjects(one, file, home), time.process_time() + SECONDS)
    except (NoGuessError, OpError) as error:
        return uncalled(one, op, str(error).split("\n")[0])
    best = _best(tried, op, module, location)
    if best is None:
        return uncalled(one, op, tried.reason or "no inputs were found that forward runs at")
    return Drafted(one, (best, *_further_out(best)), best.notes)


def _in_own_dtype(case: Case) -> Case:
    """Return a case in float32 where that is what its backward answers in, whatever it is asked in."""
    try:
        op, inputs = open_op(case), draw_inputs(case)
        outputs = op.forward(inputs)
        upstream = tuple(np.ones_like(outputs[k]) for k in op.differentiable_outputs(outputs))
        answered = op.backward(upstream, inputs, outputs)
    except Exception:  # which its audit tells of
        return case
    if not any(made is not None and made.dtype == np.float32 for made in answered.values()):
        return case
    narrow = tuple(replace(one, dtype="float32") if one.dtype == "float64" else one for one in case.inputs)
    return replace(case, dtype="float32", inputs=narrow, tolerance=None)


WIDE = (-7.0, 7.0)
"""Where activations that are clipped have their other branches."""


def _further_out(case: Case) -> tuple[Case, ...]:
    """Return a case at larger inputs for a function that keeps the shape of its one input, where it is finite there."""
    if len(case.inputs) != 1 or case.inputs[0].range != RANGES[0] or not case.inputs[0].shape:
        return ()
    wide = replace(case, name="wide", inputs=(replace(case.inputs[0], range=WIDE),))
    try:
        op = open_op(wide)
        inputs = draw_inputs(wide)
        outputs = op.forward(inputs)
    except Exception:  # it is not defined there
        return ()
    same = len(outputs) == 1 or op.differentiable_outputs(outputs) == (0,)
    usable = same and outputs[0].shape == case.inputs[0].shape and bool(np.isfinite(outputs[0]).all())
    return (wide,) if usable else ()


def _drafted_in_c(one: BackwardPass, file: Path, op: str) -> Drafted:
    if file.suffix not in SUFFIXES:
        return uncalled(one, op, f"functions in {file.suffix} files are not built here: name a library or a process")
    try:
        found = c_guess(file, one.name)
    except (NoCallError, OpError) as error:
        return uncalled(one, op, str(error))
    return Drafted(one, (case_of(found, op, module_of(one), location_of(one)),), found.guess.said)


def _best(tried: Tried, op: str, module: str, location: Location) -> Case | None:
    """Return the case of the likeliest guess; of rivals, that of the first which passes its audit."""
    found = tried.complete or ([tried.broken] if tried.broken else [])
    cases = [_in_own_dtype(case_of(one, op, module, location)) for one in found]
    if len(cases) > 1:
        for case in cases:
            if worst([result.verdict for result in audit_case(case).results]) is Verdict.PASS:
                return case
    return cases[0] if cases else None


def uncalled(one: BackwardPass, op: str, reason: str) -> Drafted:
    """Return what is told of a backward pass that no guess fits: that it is undecided, and why."""
    said = f"how is it called? {reason}"
    bare = bare_case(UncalledTarget(said, Path()), {}, location_of(one))
    return Drafted(one, (replace(bare, op=op, module=module_of(one), notes=said),), said)


def location_of(one: BackwardPass) -> Location:
    """Return where a pass is reported to be."""
    return Location(one.file, one.line, 1)


def module_of(one: BackwardPass) -> str:
    """Return the group that a pass is reported under."""
    return one.file.stem if one.file.stem != "__init__" else one.file.parent.name


def _subjects(one: BackwardPass, file: Path, home: Path) -> Iterator[Subject]:
    places, module = imported(file, home)
    made_by = one.name.partition(".__init__.<locals>.")[0]
    if made_by != one.name:  # a slope that a constructor hands to the class that it inherits from
        return class_subjects(places, made_by, held_by_name(module, made_by)[1])
    if one.kind in (Kind.FUNCTION, Kind.VALUE_AND_GRAD, Kind.CLASS, Kind.CLOSURE):
        owner, held = held_by_name(module, one.name)
        if one.kind is Kind.VALUE_AND_GRAD:
            return value_and_grad_subjects(places, one.name, held)
        if one.kind is Kind.CLASS and takes_context(held):
            return context_subjects(places, one.name, held, module)
        if one.kind is Kind.CLASS:
            return class_subjects(places, one.name, held)
        if one.kind is Kind.CLOSURE:
            return chain(closure_subjects(places, one.name, module, held), pulled_subjects(places, one.name, held))
        return _pair(places, one.name, owner, held)
    if one.kind is Kind.TORCH_FUNCTION:
        return _function_class(places, one.name, module, held_by_name(module, one.name)[1])
    if one.kind is Kind.JAX:
        return framework_subjects(places, one.name, "jax", held_by_name(module, one.name)[1])
    raise NoGuessError(f"it is written as {one.kind}: name it in a spec")


def takes_context(kind: Any) -> bool:
    """Whether a class's forward is static and takes a context first."""
    forward = inspect.getattr_static(kind, "forward", None)
    if not isinstance(forward, (staticmethod, classmethod)):
        return False
    names = list(inspect.signature(kind.forward).parameters)
    return names[:1] in (["ctx"], ["context"])


def _function_class(places: Places, name: str, module: Any, kind: Any) -> Iterator[Subject]:
    """Return the ways to call a class of functions with contexts: torch's, or one of the module's own making."""
    if any(base.__module__.startswith("torch.") for base in kind.__mro__):
        return framework_subjects(places, f"{name}.apply", "torch", kind.forward, skip=1)
    if isinstance(inspect.getattr_static(kind, "forward", None), (staticmethod, classmethod)):
        return context_subjects(places, name, kind, module)
    return class_subjects(places, name, kind)


def _pair(places: Places, name: str, owner: Any, backward: Any) -> Iterator[Subject]:
    prefix, _, last = name.rpartition(".")
    named = naming(last)
    names = [known for known in vars(owner) if known != last and callable(getattr(owner, known, None))]
    forward = forward_among(named, names) if named else ""
    if not forward:
        raise NoGuessError(f"there is no forward beside {last}: {', '.join((named.forwards if named else ())[:3])}")
    dotted = f"{prefix}.{forward}" if prefix else forward
    return pair_subjects(places, dotted, name, getattr(owner, forward), backward)


def held_by_name(module: Any, name: str) -> tuple[Any, Any]:
    """Return what a dotted name is of, and what it names; raises NoGuessError where there is no such thing."""
    owner, held = module, module
    for part in name.split("."):
        owner = held
        held = getattr(held, part, None)
        if held is None:
            raise NoGuessError(f"{name} is created inside a running function and cannot be imported")
    return owner, held


def imported(file: Path, home: Path) -> tuple[Places, Any]:
    """Import the definitions of a file, from the nearest folder that it can be imported from.

    Raises:
        NoGuessError: where its name or its text is not Python's.
        OpError: where it cannot be imported from any.

    """
    tree = read_tree(file)
    if isinstance(tree, str):
        raise NoGuessError(tree)
    first: OpError | None = None
    for folder in _roots(file, home):
        parts = file.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        if not all(part.isidentifier() for part in name.split(".")):
            continue
        try:
            with definitions_only(True):  # loops and calls at the top level are not what is audited
                return Places(name, folder, definitions_only=True), import_module(name, folder)
        except OpError as error:
            first = first or error
    raise first or NoGuessError("its file has a name that Python cannot import")


def _roots(file: Path, home: Path) -> Sequence[Path]:
    """Return the folders that a file may be imported from: above its package, then those up to what was searched."""
    file, home = file.resolve(), home.resolve()
    root = file.parent
    while (root / "__init__.py").exists():
        root = root.parent
    above = [root]
    while above[-1] != home and above[-1].is_relative_to(home) and len(above) < 6:
        above.append(above[-1].parent)
    return list(dict.fromkeys([*above, *([home] if file.is_relative_to(home) else [])]))
