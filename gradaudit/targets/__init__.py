"""Targets: how an op's implementation is reached. One file for each kind, and the protocol that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from gradaudit.extensions import ExtensionError
from gradaudit.spec.case import Case, Target
from gradaudit.spec.model_targets import FlowTarget, LearningTarget
from gradaudit.spec.op_targets import (
    ClosureTarget,
    ExtensionTarget,
    FrameworkTarget,
    HeldTarget,
    LayerTarget,
    LibraryTarget,
    ProcessTarget,
    PythonTarget,
    UncalledTarget,
)
from gradaudit.targets.op import LostOpError, Op, OpError, raised


def _nothing_to_import(target: Any) -> Mapping[tuple[str, ...], str]:
    return {}


def _nothing_to_validate(settings: Any) -> None:
    pass


def _nothing_to_close(target: Any, op: Any) -> None:
    pass


@dataclass(frozen=True)
class TargetKind:
    """What is known of a kind of target.

    Attributes:
        open: from a target and its case to the op.
        imported_names: what a target imports, by the path that names it in a spec.
        close: lets go of what the op of a target holds besides memory.
        validate: of a kind that another package adds, called with what a spec says of a target; raises ``ValueError``,
            as pydantic's models do, where that is wrong.

    """

    open: Callable[[Any, Case], Op]
    imported_names: Callable[[Any], Mapping[tuple[str, ...], str]] = _nothing_to_import
    close: Callable[[Any, Any], None] = _nothing_to_close
    validate: Callable[[Any], object] = _nothing_to_validate


def _of(module: str, name: str) -> Callable[..., Any]:
    """Return a function of a module that is imported when the function is called: a run has few kinds of targets."""
    return lambda *given: getattr(import_module(module), name)(*given)


def _kind(module: str, open_name: str, names: str | None = None, **others: Any) -> TargetKind:
    return TargetKind(_of(module, open_name), _of(module, names) if names else _nothing_to_import, **others)


def _models_kind(names: str) -> TargetKind:
    """Return a kind of target that is a model: models build on targets."""

    def found(name: str) -> Callable[..., Any]:
        return lambda *given: getattr(import_module("gradaudit.models.op"), name)(*given)

    return TargetKind(found("open_model"), found(names), close=lambda target, op: op.restore())


TARGET_KINDS: Mapping[type, TargetKind] = {
    PythonTarget: _kind("gradaudit.targets.python", "open_python", "imported_names"),
    LayerTarget: _kind("gradaudit.targets.layer", "open_layer", "layer_names"),
    ClosureTarget: _kind("gradaudit.targets.closure", "open_closure", "closure_names"),
    ProcessTarget: _kind("gradaudit.targets.process", "open_process", close=lambda target, op: op.close()),
    LibraryTarget: _kind("gradaudit.targets.library", "open_library"),
    UncalledTarget: TargetKind(lambda target, case: None),  # type: ignore[arg-type, return-value]
    HeldTarget: TargetKind(lambda target, case: target.open(case), close=lambda target, op: target.close(op)),
    FrameworkTarget: _kind("gradaudit.targets.frameworks", "open_framework", "framework_names"),
    FlowTarget: _models_kind("model_names"),
    LearningTarget: _models_kind("learning_names"),
}
"""Those of this package; other packages add objects of the same class."""


def kind_of(target: Target) -> TargetKind:
    """Return what is known of the kind of a target.

    Raises:
        ExtensionError: where another package adds the kind, and it cannot be imported.

    """
    return target.extension.load(TargetKind) if isinstance(target, ExtensionTarget) else TARGET_KINDS[type(target)]


def mistakes_in(target: Target) -> list[tuple[tuple[str | int, ...], str]]:
    """Return what is wrong with a target of a kind that another package adds: places in the spec, and messages.

    Raises:
        ExtensionError: where the kind cannot be imported, or cannot tell.

    """
    if not isinstance(target, ExtensionTarget):
        return []
    from pydantic import ValidationError

    place = ("target", "extension", target.extension.name)
    try:
        kind_of(target).validate(target.settings)
    except ValidationError as error:
        return [((*place, *detail["loc"]), detail["msg"]) for detail in error.errors(include_url=False)]
    except ValueError as error:
        return [(place, str(error))]
    except ExtensionError:
        raise
    except Exception as error:
        raise ExtensionError(f"the {target.extension} raised {type(error).__name__}: {error}") from None
    return []


def open_op(case: Case) -> Op:
    """Return the op that the case's target reaches, with the case's params bound.

    Raises:
        OpError: where a module or function cannot be imported, or a process not be started.
        LostOpError: where a process does not answer.

    """
    try:
        kind = kind_of(case.target)
    except ExtensionError as error:
        raise OpError(str(error)) from None
    if not isinstance(case.target, ExtensionTarget):
        return kind.open(case.target, case)
    try:
        return kind.open(case.target, case)
    except (OpError, LostOpError, MemoryError):
        raise
    except Exception as error:
        raise raised(f"the {case.target.extension}", error) from None


@contextmanager
def opened(case: Case) -> Iterator[Op]:
    """Open the op of a case as ``open_op`` does; the process that it may hold ends with the context.

    Within it that framework computes as audits need it: JAX in double precision.
    """
    op = open_op(case)
    try:
        with getattr(op, "within", nullcontext)():
            yield op
    finally:
        kind_of(case.target).close(case.target, op)


def written_backwards(op: Op, inputs: Mapping[str, Any] | None = None) -> tuple[Callable[..., Any], ...]:
    """Return the functions that the gradients of an op are written in, as far as they are Python; never raises.

    Args:
        op: the op.
        inputs: some that it takes: what a framework's function calls shows only when it runs. None where there are
            none.

    """
    found = getattr(op, "written_backwards", None)
    try:
        return tuple(found(inputs)) if found else ()
    except Exception:  # an op that cannot be called: it is told of elsewhere
        return ()


def names_to_import(target: Target) -> Mapping[tuple[str, ...], str]:
    """Return the ``module:function`` names that a target needs, by their path in the spec."""
    return kind_of(target).imported_names(target)
