"""Targets that are Python functions: which of them a spec names, and what they are called with."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gradaudit.spec.errors import nearest
from gradaudit.spec.mistakes import InvalidCaseError, Mistakes
from gradaudit.spec.op_targets import BackwardCall, Convention, PythonTarget
from gradaudit.spec.source import KeyPath
from gradaudit.spec.target_document import BackwardModel, TargetModel

PATH: KeyPath = ("target",)

GRADIENTS: dict[str, Convention] = {
    "backward": "vjp",
    "jacobian": "jacobian",
    "derivative": "derivative",
    "value_and_grad": "value_and_grad",
}
"""The keys that name a function which gives gradients, and how it gives them."""

CACHE = "cache"
"""The word in ``args`` for whatever forward returned beside the outputs that count."""

BUFFER = re.compile(r"grad\[(.+)\]")
"""The word in ``args`` for a buffer that the gradient of an input is written into."""


def python_target(
    model: TargetModel,
    differentiable: Sequence[str],
    names: Sequence[str],
    folder: Path,
    mistakes: Mistakes,
    counted: tuple[int, ...] | None,
    *,
    upstream: bool,
) -> PythonTarget | None:
    """Return the target of Python functions, None where a mistake prevents it; mistakes are noted."""
    key = _gradient_key(model, mistakes)
    given: BackwardModel | None = getattr(model, key)
    value = key == "value_and_grad"
    if model.forward is None and not value:
        mistakes.append(InvalidCaseError(PATH, "expected 'forward: module:function', found none", key=True))
    if given is None:
        mistakes.append(InvalidCaseError(PATH, f"expected '{key}: module:function', found none", key=True))
    if given is None or (model.forward is None and not value):
        return None
    if given.call is None:
        message = "expected 'call: module:function', found none"
        mistakes.append(InvalidCaseError((*PATH, key), message, key=True))
        return None
    if value and model.forward is not None:
        message = "found beside 'value_and_grad', which gives the loss as well"
        mistakes.append(InvalidCaseError((*PATH, "forward"), message, key=True))
    if model.reference and model.surrogate:
        message = "found beside 'reference'; only one of them can replace forward"
        mistakes.append(InvalidCaseError((*PATH, "surrogate"), message, key=True))
    check_words(mistakes, (*PATH, key), given.args, given.returns, names, [*model.packs])
    check_packs(mistakes, model, names)
    args = given.args
    if args is None:
        args = [*(["upstream"] if upstream and key == "backward" else []), *names]
    buffers = [found[1] for word in args if word not in names and (found := BUFFER.fullmatch(word))]
    if model.accumulates and not buffers:
        message = "expected buffers among backward's args, such as grad[x], found none"
        mistakes.append(InvalidCaseError((*PATH, "accumulates"), message, key=True))
    if CACHE in args and CACHE not in names and counted is None:
        counted = (0,)
    returned = [name for name in differentiable if name not in buffers]
    return PythonTarget(
        forward=model.forward or given.call,
        backward=BackwardCall(
            call=given.call,
            args=tuple(args),
            returns=tuple(returned if given.returns is None else given.returns),
            convention=GRADIENTS[key],
        ),
        differentiable_outputs=counted,
        folder=folder,
        reference=model.reference or "",
        surrogate=model.surrogate or "",
        accumulates=model.accumulates,
        definitions_only=model.definitions_only,
        context=model.context or "",
        packs={name: tuple(inner) for name, inner in model.packs.items()},
        lists=tuple(model.lists),
    )


def check_packs(mistakes: Mistakes, model: TargetModel, names: Sequence[str]) -> None:
    """Note what ``packs`` and ``lists`` name and there is not."""
    mistakes.extend(
        InvalidCaseError((*PATH, "packs", pack, i), f"there is no input '{name}'{nearest(name, names)}")
        for pack, inner in model.packs.items()
        for i, name in enumerate(inner)
        if name not in names
    )
    mistakes.extend(
        InvalidCaseError(
            (*PATH, "lists", i), f"found '{name}', expected one of packs{nearest(name, list(model.packs))}"
        )
        for i, name in enumerate(model.lists)
        if name not in model.packs
    )


def _gradient_key(model: TargetModel, mistakes: Mistakes) -> str:
    given = [key for key in GRADIENTS if getattr(model, key) is not None]
    for key in given[1:]:
        message = f"found beside '{given[0]}'; one function gives the gradients"
        mistakes.append(InvalidCaseError((*PATH, key), message, key=True))
    return given[0] if given else "backward"


def check_words(
    mistakes: Mistakes,
    path: KeyPath,
    args: Sequence[str] | None,
    returns: Sequence[str] | None,
    names: Sequence[str],
    packs: Sequence[str] = (),
) -> None:
    """Note each word of ``args`` that means nothing, and each of ``returns`` that is no input."""
    for i, word in enumerate(args or ()):
        if word in (*names, *packs) or word == CACHE or re.fullmatch(r"(upstream|output)(\[\d+\])?", word):
            continue
        if (buffer := BUFFER.fullmatch(word)) and buffer[1] in names:
            continue
        known = [*names, "upstream", "output", CACHE, *(f"grad[{name}]" for name in names)]
        message = f"found '{word}'; expected upstream, output, output[k], cache, grad[INPUT] or an input"
        mistakes.append(InvalidCaseError((*path, "args", i), message + nearest(word, known)))
    for i, word in enumerate(returns or ()):
        if word not in names:
            message = f"found '{word}'; expected one of the inputs {', '.join(names)}{nearest(word, names)}"
            mistakes.append(InvalidCaseError((*path, "returns", i), message))
