"""From what a merged case says of its target to the target: its kind, and what that leaves to fill in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from gradaudit.extensions import TARGETS, extensions
from gradaudit.spec.case import Input, Target
from gradaudit.spec.errors import nearest
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.op_targets import (
    ClosureTarget,
    ExtensionTarget,
    Framework,
    FrameworkTarget,
    LayerTarget,
    Mode,
    ProcessTarget,
)
from gradaudit.spec.python_target import GRADIENTS, PATH, check_packs, check_words, python_target
from gradaudit.spec.target_document import TargetModel

FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)

PYTHON = ("forward", *GRADIENTS)
"""The keys that make a target a pair of Python functions."""

SAYS_MORE: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("reference", "surrogate", "context"), ()),
    **dict.fromkeys(("packs", "lists"), FRAMEWORKS),
    "definitions_only": ("layer", "closure", *FRAMEWORKS),
    "accumulates": ("layer", "closure", "library"),
}
"""Keys that say more of two functions, and the other kinds of targets of which they do."""

MODES: Mapping[str, tuple[Mode, ...]] = {"torch": get_args(Mode), "jax": get_args(Mode)}
"""Which ways to differentiate a framework is audited in; the others in reverse mode only."""


@dataclass(frozen=True)
class Around:
    """What a target is seen in.

    Attributes:
        inputs: the case's inputs, those that could be made.
        names: of all inputs.
        folder: the spec's own.
        mode: by which differentiation the gradient is had.
        params: names of the params.
        upstream: whether backward takes an upstream gradient, unless it says otherwise.
        mistakes: where mistakes are collected.

    """

    inputs: tuple[Input, ...]
    names: tuple[str, ...]
    folder: Path
    mode: Mode
    params: tuple[str, ...]
    upstream: bool
    mistakes: Mistakes

    @property
    def differentiable(self) -> tuple[str, ...]:
        """Names of the inputs that a gradient is expected for."""
        return tuple(made.name for made in self.inputs if made.differentiable)


def expanded_target(
    model: TargetModel,
    mode: Mode,
    inputs: tuple[Input, ...],
    names: tuple[str, ...],
    folder: Path,
    mistakes: Mistakes,
    *,
    params: tuple[str, ...] = (),
    upstream: bool = True,
) -> Target | None:
    """Return the target of a case, None where a mistake prevents it; mistakes are noted.

    Args:
        model: what the spec says of it.
        mode: by which differentiation the gradient is had.
        inputs: the case's inputs, those that could be made.
        names: of all inputs.
        folder: the spec's own.
        mistakes: where mistakes are collected.
        params: names of the params.
        upstream: whether backward takes an upstream gradient, unless it says otherwise.

    """
    if model.folder is not None:
        if not (folder / model.folder).is_dir():
            mistakes.append(InvalidCaseError((*PATH, "folder"), f"there is no folder '{model.folder}'"))
        folder = (folder / model.folder).resolve()
    around = Around(inputs, names, folder, mode, params, upstream, mistakes)
    given = [key for key in (*PYTHON, *OTHERS) if getattr(model, key) is not None]
    python = [key for key in given if key in PYTHON]
    others = [key for key in given if key not in PYTHON]
    first, beside = (python[0], others) if python else ("".join(others[:1]), others[1:])
    if python and "forward" not in python and "value_and_grad" not in python and others:
        first, beside = others[0], [*python, *others[1:]]
    mistakes += [
        InvalidCaseError((*PATH, key), f"found '{key}' beside '{first}'; a target is of one kind", key=True)
        for key in beside
    ]
    if mode not in MODES.get(first, ("reverse",)):
        able = ", ".join(name for name, modes in MODES.items() if mode in modes)
        mistakes.append(InvalidCaseError(("modes",), f"found '{mode}', which targets of kind {able} have"))
    if first in OTHERS:
        mistakes += [
            InvalidCaseError((*PATH, key), f"found beside '{first}'; it is for {_kinds(kinds)}", key=True)
            for key, kinds in SAYS_MORE.items()
            if getattr(model, key) and first not in kinds
        ]
        check_packs(mistakes, model, names)
        return OTHERS[first](model, around)
    counted = _counted(model)
    return python_target(model, around.differentiable, names, folder, mistakes, counted, upstream=upstream)


def _kinds(names: tuple[str, ...]) -> str:
    return " or ".join(["two functions", *(f"'{name}'" for name in names)])


def _counted(model: TargetModel) -> tuple[int, ...] | None:
    return None if model.outputs is None else tuple(model.outputs.differentiable)


def _process(model: TargetModel, around: Around) -> Target | None:
    if model.process is None:
        return None
    return ProcessTarget(
        command=tuple(model.process.command),
        op=model.process.op,
        timeout=float(model.process.timeout),
        differentiable_outputs=_counted(model),
        folder=around.folder,
    )


def _layer(model: TargetModel, around: Around) -> Target | None:
    if (layer := model.layer) is None:
        return None
    path = (*PATH, "layer")
    for key, places in (("params", layer.params), ("grads", layer.grads)):
        around.mistakes.extend(
            InvalidCaseError((*path, key, name), f"there is no input '{name}'{nearest(name, around.names)}", key=True)
            for name in places
            if name not in around.names
        )
    around.mistakes.extend(
        InvalidCaseError(
            (*path, "attributes", name), f"there is no param '{name}'{nearest(name, around.params)}", key=True
        )
        for name in layer.attributes
        if name not in around.params
    )
    args = ["upstream"] if around.upstream and not layer.derivative else []
    around.mistakes.extend(
        InvalidCaseError((*path, "constructor", i), f"there is no input '{name}'{nearest(name, around.names)}")
        for i, name in enumerate(layer.constructor)
        if name not in around.names
    )
    check_words(around.mistakes, path, layer.args, layer.returns, around.names)
    written = [name for name in around.differentiable if name not in layer.grads]
    return LayerTarget(
        layer=layer.make,
        forward=layer.forward,
        backward=layer.backward,
        args=tuple(args if layer.args is None else layer.args),
        returns=tuple(written if layer.returns is None else layer.returns),
        parameters=dict(layer.params),
        gradients=dict(layer.grads),
        differentiable_outputs=_counted(model),
        accumulates=model.accumulates,
        folder=around.folder,
        steps=layer.steps,
        definitions_only=model.definitions_only,
        constructor=tuple(layer.constructor),
        convention="derivative" if layer.derivative else "vjp",
        output=layer.output,
        attributes=dict(layer.attributes),
        builds=layer.builds,
    )


def _closure(model: TargetModel, around: Around) -> Target | None:
    if (closure := model.closure) is None:
        return None
    said = {key: getattr(closure, key) for key in closure.declared}
    return ClosureTarget(
        **said,
        accumulates=model.accumulates,
        folder=around.folder,
        definitions_only=model.definitions_only,
    )


def _library(model: TargetModel, around: Around) -> Target | None:
    if model.library is None:
        return None
    from gradaudit.spec.library_target import library_target  # which reads C

    return library_target(
        model.library,
        around.names,
        around.params,
        around.folder,
        around.mistakes,
        _counted(model),
        accumulates=model.accumulates,
    )


def _extension(model: TargetModel, around: Around) -> Target | None:
    ((name, settings),) = (model.extension or {}).items()
    path = (*PATH, "extension", name)
    known = extensions(TARGETS)
    found = [one for one in known if one.name == name]
    if len(found) == 1:
        return ExtensionTarget(found[0], settings, _counted(model), around.folder)
    if found:
        said = f"several packages add the target kind '{name}': {', '.join(one.package for one in found)}"
    else:
        hint = nearest(name, [one.name for one in known])
        said = f"no installed package adds the target kind '{name}'{hint}"
    around.mistakes.append(InvalidCaseError(path, said, key=True))
    return None


def _framework(name: Framework) -> Callable[[TargetModel, Around], Target | None]:
    return lambda model, around: FrameworkTarget(
        name,
        getattr(model, name),
        _counted(model),
        around.folder,
        around.mode,
        definitions_only=model.definitions_only,
        packs={name: tuple(inner) for name, inner in model.packs.items()},
        lists=tuple(model.lists),
    )


OTHERS: Mapping[str, Callable[[TargetModel, Around], Target | None]] = {
    **{name: _framework(name) for name in FRAMEWORKS},
    "process": _process,
    "layer": _layer,
    "closure": _closure,
    "library": _library,
    "extension": _extension,
}
"""What makes a target of each key that is no pair of Python functions."""
