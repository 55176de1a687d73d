"""How an op was called: its inputs apart from its settings, and the ways to call it so again."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.coverage.naming import BACKWARD_METHODS, forward_among, methods_of, naming
from gradaudit.coverage.passes import BackwardPass, Kind
from gradaudit.drafts.arguments import UPSTREAM
from gradaudit.drafts.classes import Layer
from gradaudit.drafts.closures import TensorCall, tensors_for
from gradaudit.drafts.draft import NoGuessError, held_by_name, imported, takes_context
from gradaudit.drafts.frameworks import FrameworkCall, framework_target
from gradaudit.drafts.functions import Loss, Pair, Places, Pulled, with_context
from gradaudit.drafts.guess import Subject
from gradaudit.record.calls import Call, Opaque, Tensor
from gradaudit.record.instrument import is_of_torch
from gradaudit.record.watch import PARAMETER
from gradaudit.spec.op_targets import FrameworkTarget
from gradaudit.targets.conventions import pull

Array = NDArray[Any]


@dataclass(frozen=True)
class Form:
    """What a call was given, in the words of a spec.

    Attributes:
        arrays: the inputs by name, in order; those of dicts and lists among them.
        params: settings of forward.
        made: settings of a layer's constructor.
        modes: its attributes that are set once it is made.
        given: names of the inputs that the constructor takes.
        packs: arguments that are dicts or lists of inputs.
        lists: which of them are lists.
        number: whether each input is a single number, as on tapes of numbers.

    """

    arrays: Mapping[str, Array]
    params: Mapping[str, Any]
    made: Mapping[str, Any]
    modes: Mapping[str, Any]
    given: tuple[str, ...] = ()
    packs: Mapping[str, tuple[str, ...]] | None = None
    lists: tuple[str, ...] = ()
    number: bool = False


Ways = list[Callable[[Form], Subject]]
"""Ways to call an op in some form, the likeliest first."""


def form_of(call: Call) -> Form:
    """Return the form of a call that was seen.

    Raises:
        NoGuessError: where it was given something that a spec cannot express, or no numbers.

    """
    arrays: dict[str, Array] = {}
    params: dict[str, Any] = {}
    packs: dict[str, tuple[str, ...]] = {}
    lists = []
    for name, value in call.arguments.items():
        members = _members(name, value)
        if members:
            packs[name] = tuple(members)
            lists += [name] if isinstance(value, list) else []
            arrays |= members
        elif (array := _array(value)) is not None:
            arrays[name] = array
        else:
            params[name] = _plain(value, f"forward is given {name}")
    if not arrays:
        arrays = {name: np.array(value) for name, value in params.items() if isinstance(value, float)}
        params = {name: value for name, value in params.items() if name not in arrays}
    if not arrays:
        raise NoGuessError("forward is given no array, and no number that could be one")
    given = {name: value for name, value in call.made.items() if isinstance(value, np.ndarray)}
    made = {name: _plain(value, f"it is made with {name}") for name, value in call.made.items() if name not in given}
    tensors = [one for one in call.arguments.values() if isinstance(one, Tensor)]
    number = bool(tensors) and all(one.number for one in tensors)
    modes = {name: value for name, value in call.modes.items() if name not in params}
    return Form({**arrays, **given}, params, made, modes, tuple(given), packs, tuple(lists), number)


def _array(value: Any) -> Array | None:
    if isinstance(value, Tensor):
        return value.value
    return value if isinstance(value, np.ndarray) else None


def _members(name: str, value: Any) -> dict[str, Array]:
    """Return the arrays of a dict or a list that holds nothing else."""
    if isinstance(value, dict):
        named = value
    elif isinstance(value, list):
        named = {f"{name}{k}": one for k, one in enumerate(value)}
    else:
        return {}
    found = {key: array for key, one in named.items() if (array := _array(one)) is not None}
    return found if len(found) == len(named) else {}


def _plain(value: Any, told: str) -> Any:
    """Return a value as a param: dicts without the arrays that an op keeps in them."""
    if isinstance(value, (Opaque, np.ndarray, Tensor, bytes, complex)):
        kind = value.kind if isinstance(value, (Opaque, Tensor)) else type(value).__name__
        raise NoGuessError(f"{told}, an object of type {kind}, which a spec cannot express")
    if isinstance(value, dict):
        kept = {key: one for key, one in value.items() if not isinstance(one, np.ndarray)}
        return {key: _plain(one, f"{told}[{key!r}]") for key, one in kept.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(_plain(one, told) for one in value)
    return value


def ways_to_call(one: BackwardPass, file: Path, home: Path, call: Call) -> Ways:
    """Return the ways to call an op as it was called.

    Raises:
        NoGuessError: where it cannot be imported, or nothing is known of how it is called.
        OpError: where importing it fails.

    """
    places, module = imported(file, home)
    owner, held = held_by_name(module, one.name)
    if one.kind is Kind.FUNCTION:
        return _of_pair(places, _forward_beside(one.name, owner), one.name, owner, _words(call))
    if one.kind is Kind.VALUE_AND_GRAD:
        return [lambda form: _pair_subject(Loss(places, one.name, one.name, held, held, *_settings(form)), form)]
    if one.kind is Kind.CLOSURE:
        return [*_of_tensors(places, one.name, module, held, call), _of_pulled(places, one.name, held)]
    if one.kind is Kind.TORCH_FUNCTION and is_of_torch(held):
        return [_of_framework(framework_target("torch", places, f"{one.name}.apply"))]
    if one.kind is Kind.JAX:
        return [_of_framework(framework_target("jax", places, one.name))]
    if one.kind in (Kind.CLASS, Kind.TORCH_FUNCTION):
        return _of_class(places, one.name, module, held, call)
    raise NoGuessError(f"it is written as {one.kind}: name it in a spec")


def _words(call: Call) -> dict[str, str]:
    """Return what backward was given by position, where all of it is known; nothing where not.

    Scripts hand the output itself on as the upstream, as the slope of half its square, or an input: then its name
    decides, or that the same comes twice.
    """
    words = {name: word for name, word in (call.words or {}).items() if word != PARAMETER}
    if "upstream" not in words.values():
        others = [name for name in words if name not in call.arguments]
        named = [name for name in others if UPSTREAM.fullmatch(name.lower().strip("_"))]
        twice = [name for name in others if list(words.values()).count(words[name]) > 1]
        words |= dict.fromkeys((named or twice)[:1], "upstream")
    return words if words and all(words.values()) else {}


def _settings(form: Form) -> tuple[tuple[str, ...], Mapping[str, Any], Mapping[str, tuple[str, ...]]]:
    return tuple(form.arrays), form.params, form.packs or {}


def _pair_subject(pair: Pair, form: Form) -> Subject:
    return Subject({}, form.params, pair.forward_outputs, pair.guesses)


def _forward_beside(name: str, owner: Any) -> str:
    prefix, _, last = name.rpartition(".")
    named = naming(last)
    names = [known for known in vars(owner) if known != last and callable(getattr(owner, known, None))]
    forward = forward_among(named, names) if named else ""
    if not forward:
        raise NoGuessError(f"there is no forward beside {last}")
    return f"{prefix}.{forward}" if prefix else forward


def _of_pair(places: Places, forward: str, backward: str, owner: Any, words: Mapping[str, str]) -> Ways:
    called, answers = (getattr(owner, name.rpartition(".")[2]) for name in (forward, backward))

    def way(form: Form, recorded: Mapping[str, str]) -> Subject:
        pair = Pair(places, forward, backward, called, answers, *_settings(form))
        return _pair_subject(replace(pair, recorded=recorded, lists=form.lists), form)

    return [lambda form: way(form, words), lambda form: way(form, {})] if words else [lambda form: way(form, {})]


def _of_tensors(places: Places, name: str, module: Any, held: Any, call: Call) -> Ways:
    kinds = {one.kind for one in call.arguments.values() if isinstance(one, Tensor)}

    def way(kind: type, form: Form) -> Subject:
        made = TensorCall(places, name, kind, held, tuple(form.arrays), form.params, form.number)
        return Subject({}, form.params, made.outputs, made.guesses)

    found = [kind for kind in tensors_for(module, name) if kind.__name__ in kinds]
    return [lambda form, kind=kind: way(kind, form) for kind in found]  # type: ignore[misc]


def _of_pulled(places: Places, name: str, held: Any) -> Callable[[Form], Subject]:
    return lambda form: _pair_subject(Pulled(places, name, pull.__name__, held, pull, *_settings(form)), form)


def _of_framework(target: FrameworkTarget) -> Callable[[Form], Subject]:
    def way(form: Form) -> Subject:
        packing = replace(target, packs=form.packs or {}, lists=form.lists)
        made = FrameworkCall(packing, form.params)
        return Subject({}, form.params, made.outputs, made.guesses)

    return way


def _of_class(places: Places, name: str, module: Any, kind: Any, call: Call) -> Ways:
    if takes_context(kind):
        return [
            lambda form: _pair_subject(with_context(places, name, kind, module, list(form.arrays), form.params), form)
        ]
    forward, backward = methods_of(kind)
    if isinstance(inspect.getattr_static(kind, backward), (staticmethod, classmethod)):
        return _of_pair(places, f"{name}.{forward}", f"{name}.{backward}", kind, _words(call))

    def way(form: Form) -> Subject:
        inputs = tuple(each for each in form.arrays if each not in form.given)
        words = _words(call)
        if "upstream" not in words.values() and backward in BACKWARD_METHODS:  # they are given nothing else first
            words = {
                name: "upstream" if k == 0 and word == "output" else word
                for k, (name, word) in enumerate(words.items())
            }
        settings = form.made, form.params, form.given, words, form.modes
        layer = Layer(places, name, kind, forward, backward, inputs, *settings)
        return Subject({}, {**form.made, **form.params, **form.modes}, layer.outputs, layer.guesses)

    return [way, lambda form: way(replace(form, modes={}))] if call.modes else [way]
