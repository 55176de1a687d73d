"""Targets that are C functions in a shared library: what their declarations leave to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gradaudit.spec.declarations import Declaration, declarations
from gradaudit.spec.errors import nearest
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.op_targets import LibraryTarget
from gradaudit.spec.source import KeyPath
from gradaudit.spec.target_document import LibraryModel

PATH: KeyPath = ("target", "library")


def library_target(
    model: LibraryModel,
    names: Sequence[str],
    params: Sequence[str],
    folder: Path,
    mistakes: Mistakes,
    counted: tuple[int, ...] | None,
    *,
    accumulates: bool,
) -> LibraryTarget | None:
    """Return the target of two functions of a library, None where a mistake prevents it; mistakes are noted.

    Args:
        model: what the spec says.
        names: of the inputs.
        params: names of the params.
        folder: the spec's own, from which the files are named.
        mistakes: where mistakes are collected.
        counted: positions of the outputs that count; None for the first.
        accumulates: whether backward adds to its buffers.

    """
    before = len(mistakes)
    for key in ("path", "float64"):
        file = getattr(model, key)
        if file and not (folder / file).is_file():
            mistakes.append(InvalidCaseError((*PATH, key), f"there is no file '{file}'; build the library first"))
    functions = mistakes.noting(_declared, model, folder)
    if functions is None:
        return None
    forward, backward = functions
    mistakes.extend(_missing(model, folder))
    for name, shape in model.outputs.items():
        sizes = [shape] if isinstance(shape, str) else [size for size in shape if isinstance(size, str)]
        known = names if isinstance(shape, str) else params
        mistakes.extend(
            InvalidCaseError((*PATH, "outputs", name), f"found '{size}', expected one of {', '.join(known)}")
            for size in sizes
            if size not in known
        )
    gradients = dict(model.grads) or meanings(backward, names, list(model.outputs))
    _check_pointers(forward, {*names, *model.outputs}, mistakes)
    _check_pointers(backward, {*names, *model.outputs, *gradients}, mistakes)
    if len(mistakes) > before:
        return None
    return LibraryTarget(
        path=str(folder / model.path),
        header=str(folder / model.header),
        float64=str(folder / model.float64) if model.float64 else "",
        forward=model.forward,
        backward=model.backward,
        outputs={name: shape if isinstance(shape, str) else tuple(shape) for name, shape in model.outputs.items()},
        gradients=gradients,
        accumulates=accumulates,
        differentiable_outputs=counted,
        folder=folder,
    )


def _declared(model: LibraryModel, folder: Path) -> tuple[Declaration, Declaration]:
    path = (*PATH, "header")
    try:
        known = declarations((folder / model.header).read_text(errors="replace"))
    except OSError as error:
        raise InvalidCaseError(path, f"'{model.header}' cannot be read: {error.strerror or error}") from None
    if not known:
        raise InvalidCaseError(path, f"'{model.header}' declares no function that can be read")
    for key in ("forward", "backward"):
        name = getattr(model, key)
        if name not in known:
            hint = nearest(name, list(known)) or f"; it declares {', '.join(list(known)[:8])}"
            raise InvalidCaseError((*PATH, key), f"'{model.header}' declares no '{name}'{hint}")
        for one in known[name].parameters:
            if not one.dtype:
                message = f"{name} takes {one.name} of type '{one.kind}'; expected numbers, or pointers to them"
                raise InvalidCaseError((*PATH, key), message)
    return known[model.forward], known[model.backward]


def _missing(model: LibraryModel, folder: Path) -> Iterator[InvalidCaseError]:
    """Yield what a library lacks, which is not loaded for that: names of functions stand in its text, and end there."""
    for file in filter(None, (model.path, model.float64)):
        if not (folder / file).is_file():
            continue
        held = (folder / file).read_bytes()
        for key in ("forward", "backward"):
            name = getattr(model, key)
            if name.encode() + b"\0" not in held:
                mangled = ' (a part of a name has it: is it declared extern "C"?)' if name.encode() in held else ""
                said = f"'{file}' has no function '{name}', which '{model.header}' declares{mangled}"
                yield InvalidCaseError((*PATH, key), said)


def _check_pointers(function: Declaration, known: set[str], mistakes: Mistakes) -> None:
    for one in function.parameters:
        if one.pointer and one.name not in known:
            expected = "an input, an output, or the gradient of one (grads: {NAME: INPUT})"
            message = f"what is {one.name}, that {function.name} takes? expected {expected}"
            mistakes.append(InvalidCaseError(PATH, message + nearest(one.name, sorted(known)), key=True))


def meanings(backward: Declaration, inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
    """Return which input or output each pointer of a backward is the gradient of, by their names: ``dx`` of ``x``."""
    known = sorted({*inputs, *outputs}, key=len, reverse=True)
    pointers = [one.name for one in backward.parameters if one.pointer and one.name not in known]
    matched = {name: next((own for own in known if name.lower() in _spellings(own)), "") for name in pointers}
    return {name: own for name, own in matched.items() if own}


def _spellings(name: str) -> set[str]:
    own = name.lower()
    before = {f"{mark}{own}" for mark in ("d", "d_", "grad_", "grad", "g", "g_")}
    return before | {f"{own}_grad", f"{own}grad", f"d{own}_"}
