"""Whole models from Python: whether a gradient arrives at every parameter of a model at hand, and is right."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from gradaudit.api import Audit, array_of, tolerance_of
from gradaudit.drop_in.arguments import argument_names, signature_names
from gradaudit.drop_in.recognise import packages_of, positional
from gradaudit.drop_in.settings import names_listed, seed_number
from gradaudit.engine.audit import audit_case
from gradaudit.models.op import ModelOp, model_op
from gradaudit.models.tapes.presets import tape_of
from gradaudit.spec.case import Case, Expectation, Input, Location
from gradaudit.spec.dtypes import DEFAULT_DTYPE, is_floating, spacing
from gradaudit.spec.errors import nearest
from gradaudit.spec.given import given_inputs
from gradaudit.spec.model_document import ALIKE
from gradaudit.spec.model_targets import FlowTarget
from gradaudit.spec.tape import TapePreset
from gradaudit.targets.generators import restored


def check_flow(
    model: Any,
    loss: Callable[..., Any],
    inputs: Mapping[str, Any] | Sequence[Any] | Any,
    targets: Mapping[str, Any] | Sequence[Any] | Any = (),
    *,
    tape: TapePreset | None = None,
    stopped: Collection[str] = (),
    unused: Collection[str] = (),
    rtol: float | None = None,
    atol: float | None = None,
    seed: int = 0,
) -> Audit:
    """Audit a model as a spec of the kind ``flow`` does: in training mode, on one batch, all parameters at once.

    Args:
        model: of a framework; a copy of it is audited.
        loss: called with the model's output and the targets; returns a scalar tensor.
        inputs: what the model is called with: one array, a tuple by position, or arrays by name.
        targets: what the loss takes after the output, likewise.
        tape: ``torch``, ``tinygrad`` or ``gradaudit``; default: that of the model's class.
        stopped: names of parameters and inputs whose gradients are stopped on purpose; ``*`` stands for any.
        unused: names of parameters that a batch may not use; ``*`` stands for any.
        rtol: relative tolerance; default: the dtype's.
        atol: absolute tolerance; default: the dtype's.
        seed: what random directions depend on.

    Returns:
        The audit, with a result for each parameter and floating input, whatever the model does.

    Raises:
        TypeError: where an input is no array of numbers, an argument is of another type than it should be, or
            nothing says what tape the model is on.
        ValueError: where an argument is none of those that there are.

    """
    named = _named(inputs, signature_names(model) or signature_names(type(model).__call__)[1:])
    wanted = _named(targets, ()) if isinstance(targets, Mapping) else _numbered(targets)
    given = _batch(named)
    batch = (*given, *(replace(made, differentiable=False) for made in _batch(wanted)))
    preset = _tape(model, tape)
    floating = [made.dtype for made in given if is_floating(made.dtype)] or [made.dtype for made in batch]
    dtype = max(filter(is_floating, floating), key=spacing, default=DEFAULT_DTYPE)
    never, seldom = names_listed("stopped", stopped) or (), names_listed("unused", unused) or ()
    target = FlowTarget("", "", preset, None, None, tuple(wanted), Path(), stopped=never, unused=seldom)
    case = Case(
        op=type(model).__name__,
        module="",
        name="default",
        dtype=dtype,
        target=target,
        inputs=batch,
        params={},
        tolerance=tolerance_of(rtol, atol, dtype),
        upstream="ones",
        step=None,
        method="search",
        seed=seed_number(seed),
        expect=Expectation(),
        notes="",
        location=Location(Path(), 0, 0),
    )

    def opened(case: Case) -> ModelOp:
        made = tape_of(ALIKE.get(preset, preset), _named_function)
        return model_op(made, copy.deepcopy(model), loss, batch, target.targets)

    with restored():
        audited = audit_case(case, lambda case: nullcontext(opened(case)))
    results = tuple(replace(result, location="") for result in audited.results)
    return Audit(results, audited.shapes, audited.check_evaluations)


def _named(given: Any, known: Sequence[str]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    arguments = list(positional(given))
    return dict(zip(argument_names(known, len(arguments)), arguments, strict=True))


def _numbered(targets: Any) -> dict[str, Any]:
    return {f"target[{k}]": array for k, array in enumerate(positional(targets))}


def _batch(arrays: Mapping[str, Any]) -> tuple[Input, ...]:
    """Return how a batch is made of arrays; their values as lists, as arrays are what parameters hold."""
    made = given_inputs({name: array_of(name, array) for name, array in arrays.items()}, needed=False)
    return tuple([replace(one, values=one.values.tolist(), layout="contiguous") for one in made])


def _tape(model: Any, tape: str | None) -> TapePreset:
    known = get_args(TapePreset)
    found = tape or next((package for package in packages_of(model) if package in known), None)
    if found is None:
        raise TypeError(
            f"model: nothing says what tape {type(model).__name__} is on; expected tape={' or '.join(map(repr, known))}"
        )
    if found not in known:
        raise ValueError(f"tape: found {found!r}, expected one of {', '.join(known)}{nearest(found, known)}")
    preset: TapePreset = found  # type: ignore[assignment]
    return preset


def _named_function(name: str) -> Any:
    from gradaudit.targets.importing import import_function

    return import_function(name, Path())
