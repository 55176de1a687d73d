"""Guesses for functions: a forward with its backward, or one function that gives a loss with its gradient."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.drafts.arguments import (
    CACHE,
    OUTPUT,
    UPSTREAM,
    arguments_of,
    lists_in,
    packs_in,
    split_arguments,
    unpacked,
)
from gradaudit.drafts.gradient_names import has_floats, matched_gradients, returned_names
from gradaudit.drafts.guess import Guess, Subject
from gradaudit.drafts.inputs import candidates, ranges
from gradaudit.drafts.settings import takes_logarithm
from gradaudit.spec.op_targets import BackwardCall, Convention, PythonTarget
from gradaudit.targets.context import Context
from gradaudit.targets.conventions import pull
from gradaudit.targets.python import accepted, as_array, packed
from gradaudit.targets.structure import members_of

Array = NDArray[Any]


@dataclass(frozen=True)
class Places:
    """Where functions are imported from.

    Attributes:
        module: the dotted name of their module.
        folder: from which it is imported.
        definitions_only: whether it is without the statements that run something.

    """

    module: str
    folder: Path
    definitions_only: bool

    def named(self, name: str) -> str:
        """Return ``module:name``."""
        return f"{self.module}:{name}"


def pair_subjects(
    places: Places, forward_name: str, backward_name: str, forward: Any, backward: Any
) -> Iterator[Subject]:
    """Yield the ways to call a forward that has a backward beside it."""
    for inputs, params in split_arguments(forward):
        packs = packs_in(forward, params)
        names, left = unpacked(forward, inputs, packs), {key: one for key, one in params.items() if key not in packs}
        if names:
            pair = Pair(places, forward_name, backward_name, forward, backward, tuple(names), left, packs)
            drawn = ranges(names, logarithm=takes_logarithm(forward))
            yield Subject(candidates(names, forward), left, pair.forward_outputs, pair.guesses, drawn)


@dataclass(frozen=True)
class Pair:
    """A forward with its backward, called as is guessed.

    Attributes:
        places: where both are imported from.
        forward_name: dotted, in its module.
        backward_name: the same.
        forward: the function.
        backward: the function.
        inputs: names of forward's inputs, in order.
        params: settings, passed by keyword.
        packs: arguments that are dicts or lists of inputs.
        context: a class of contexts that forward takes one of first, ``module:name``; empty for none.
        recorded: what each argument of backward was where a call was seen; empty where none was.
        lists: those of the packs that are lists; None where the source tells.

    """

    places: Places
    forward_name: str
    backward_name: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: tuple[str, ...]
    params: Mapping[str, Any]
    packs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    context: str = ""
    recorded: Mapping[str, str] = field(default_factory=dict)
    lists: tuple[str, ...] | None = None

    @property
    def _lists(self) -> tuple[str, ...]:
        return lists_in(self.forward, self.packs) if self.lists is None else self.lists

    def forward_outputs(self, arrays: Mapping[str, Array]) -> list[Array]:
        """Return the output that counts at these inputs."""
        members = self._members(arrays)
        return [out for out in map(as_array, members[:1]) if out is not None]

    def _members(self, arrays: Mapping[str, Array]) -> list[Any]:
        given = packed(arrays, self.packs, self._lists).values()
        return list(members_of(self.forward(*given, **deepcopy(dict(self.params)))).values())

    def guesses(self, arrays: Mapping[str, Array]) -> Iterator[Guess]:
        """Yield how backward may be called at these inputs."""
        members = self._members(arrays)
        out = as_array(members[0])
        assert out is not None
        for args, rival in self._calls(members, returned_names(self.forward)):
            takes = any(word.startswith("upstream") for word in args)
            convention: Convention = "vjp" if takes or out.size == 1 else "derivative"
            try:
                returned = self._answered(args, arrays, members)
            except Exception:
                if not rival:
                    raise
                continue
            floats = [name for name in arrays if has_floats(arrays[name])]
            returns = matched_gradients(returned, self.backward, list(arrays), arrays)
            if convention == "derivative" and floats and np.size(returned) == out.size * arrays[floats[0]].size:
                convention, returns = "jacobian", floats[:1]
            if returns is None:
                continue
            counted = tuple(range(max(1, sum(word.startswith("upstream") for word in args))))
            target = PythonTarget(
                self.places.named(self.forward_name),
                BackwardCall(self.places.named(self.backward_name), tuple(args), tuple(returns), convention),
                counted,
                self.places.folder,
                definitions_only=self.places.definitions_only,
                context=self.context,
                packs=self.packs,
                lists=self._lists,
            )
            said = f"{self.backward_name}({', '.join(args)}) gives {', '.join(returns)}"
            yield Guess(target, tuple(name for name in returns), said, rival)

    def _answered(self, args: Sequence[str], arrays: Mapping[str, Array], members: Sequence[Any]) -> Any:
        words: dict[str, Any] = {"output": members[0], **arrays, **packed(arrays, self.packs, self._lists)}
        counted = max(1, sum(word.startswith("upstream") for word in args))
        for k, out in enumerate(map(as_array, members[:counted])):
            if out is not None:
                drawn = np.random.default_rng(k).uniform(0.5, 1.5, out.shape)
                words |= {f"upstream[{k}]": drawn} | ({"upstream": drawn} if k == 0 else {})
        if rest := members[counted:]:
            words["cache"] = rest[0] if len(rest) == 1 else tuple(rest)
        words |= {f"output[{k}]": member for k, member in enumerate(members)}
        given = [words[word] for word in args]
        return self.backward(*given, **deepcopy(dict(accepted(self.backward, self.params))))

    def _calls(self, members: Sequence[Any], names: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
        """Yield what backward may take, in order; whether another may be meant is said with it."""
        if self.recorded and all(self.recorded.values()):
            yield list(self.recorded.values()), False
            return
        asked = [
            one.name
            for one in arguments_of(self.backward)
            if one.name not in self.params and (one.default is one.empty or self._may_mean(one))
        ]
        words = self._words(asked, names, cached=len(members) > 1)
        if several := self._upstreams(asked, members, words):
            yield [several.get(name, words.get(name, "cache")) for name in asked], False
        elif len(asked) == len(words):
            yield from self._rivals([words[name] for name in asked])

    def _upstreams(self, asked: Sequence[str], members: Sequence[Any], words: Mapping[str, str]) -> dict[str, str]:
        """Return which of a backward's arguments are the upstreams of several outputs, in their order; none for one."""
        outputs = [one for one in map(as_array, members) if one is not None]
        named = [name for name in asked if name not in self.inputs and UPSTREAM.fullmatch(name.lower())]
        if len(named) < 2 or len(outputs) < len(named) or any(CACHE.fullmatch(name.lower()) for name in named):
            return {}
        return {name: f"upstream[{k}]" for k, name in enumerate(named)}

    def _words(self, asked: Sequence[str], names: Sequence[str], *, cached: bool) -> dict[str, str]:
        """Return what each argument of backward means: by its name, else what is left over."""
        words: dict[str, str] = {}
        for name in asked:
            if meant := self._meant(name, names, words, cached=cached):
                words[name] = meant
        left = [name for name in asked if name not in words]
        if left and "upstream" not in words.values() and len(asked) > 1:
            words[left.pop(0)] = "upstream"
        if left and cached and "cache" not in words.values():
            words[left.pop(0)] = "cache"
        unused = [name for name in self.inputs if name not in words.values()]
        words |= zip(left, unused, strict=False)
        return words

    def _meant(self, name: str, names: Sequence[str], words: Mapping[str, str], *, cached: bool) -> str:
        word = name.lower().strip("_")
        by_letter = {one.lower(): one for one in self.inputs}
        choices = (
            (name in self.inputs or name in self.packs, name),
            (cached and bool(CACHE.fullmatch(word)), "cache"),
            (cached and name in names[1:], f"output[{names.index(name) if name in names else 0}]"),
            (bool(UPSTREAM.fullmatch(word)) and "upstream" not in words.values(), "upstream"),
            (word in by_letter, by_letter.get(word, "")),
            (bool(OUTPUT.fullmatch(word)) or name in names[:1], "output"),
        )
        return next((meant for fits, meant in choices if fits), "")

    def _may_mean(self, one: inspect.Parameter) -> bool:
        name = one.name
        if isinstance(one.default, bool):  # retain_grads=True
            return False
        own = {one.name for one in arguments_of(self.forward)}
        return name in self.inputs or (name not in own and bool(UPSTREAM.fullmatch(name.lower())))

    def _rivals(self, args: list[str]) -> Iterator[tuple[list[str], bool]]:
        """A derivative of one argument may take what its function takes, or what it gives: ``a * (1 - a)``."""
        if len(args) == 1 and len(self.inputs) == 1 and args[0] in (self.inputs[0], "output"):
            other = "output" if args[0] != "output" else self.inputs[0]
            name = arguments_of(self.backward)[0].name.lower()
            sure = name in ("z", "a", "out", "output", "s", "pre_activation", "preactivation", "activation")
            yield args, not sure
            if not sure:
                yield [other], True
        elif len(args) == 2 and "upstream" in args and len(self.inputs) == 1 and set(args) != {"upstream", "cache"}:
            other = next(word for word in args if word != "upstream")
            name = arguments_of(self.backward)[args.index(other)].name
            swapped = {"output": self.inputs[0], self.inputs[0]: "output"}.get(other, "")
            yield args, bool(swapped) and name not in self.inputs
            if swapped and name not in self.inputs:
                yield [swapped if word == other else word for word in args], True
        else:
            yield args, False


def pulled_subjects(places: Places, name: str, function: Any) -> Iterator[Subject]:
    """Yield the ways to call a function that returns its output with a closure which takes the upstream."""
    for inputs, params in split_arguments(function):
        if inputs:
            pulled = Pulled(places, name, pull.__name__, function, pull, tuple(inputs), params)
            yield Subject(candidates(inputs), params, pulled.forward_outputs, pulled.guesses)


def context_subjects(places: Places, name: str, kind: Any, module: Any) -> Iterator[Subject]:
    """Yield the ways to call a class whose static forward and backward take a context first."""
    for inputs, params in split_arguments(kind.forward, skip=1):
        if inputs:
            pair = with_context(places, name, kind, module, inputs, params)
            yield Subject(candidates(inputs), params, pair.forward_outputs, pair.guesses)


def with_context(
    places: Places, name: str, kind: Any, module: Any, inputs: Sequence[str], params: Mapping[str, Any]
) -> WithContext:
    """Return the pair of a class that takes contexts: its module's own kind of them, if it has one."""
    own = next((key for key, value in vars(module).items() if _is_context(value)), "")
    context = places.named(own) if own else f"{Context.__module__}:{Context.__name__}"
    make = getattr(module, own) if own else Context
    names = f"{name}.forward", f"{name}.backward"
    functions = kind.forward, kind.backward
    return WithContext(places, *names, *functions, tuple(inputs), params, {}, context, make=make)


def _is_context(value: Any) -> bool:
    named = inspect.isclass(value) and re.fullmatch(r"\w*(Context|Ctx)", value.__name__)
    return bool(named) and not [one for one in arguments_of(value) if one.default is one.empty]


@dataclass(frozen=True)
class WithContext(Pair):
    """A forward and a backward that take a context first, which ``make`` makes."""

    make: Callable[[], Any] = Context

    def _members(self, arrays: Mapping[str, Array]) -> list[Any]:
        context = self.make()
        returned = self.forward(context, *arrays.values(), **deepcopy(dict(self.params)))
        return [*members_of(returned).values(), context]

    def _calls(self, members: Sequence[Any], names: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
        yield ["cache", "upstream"], False


class Pulled(Pair):
    """A forward that returns its backward beside its output."""

    def guesses(self, arrays: Mapping[str, Array]) -> Iterator[Guess]:
        """Yield how backward may be called at these inputs."""
        returned = self._answered(["upstream", "cache"], arrays, self._members(arrays))
        returns = matched_gradients(returned, self.forward, list(arrays), arrays)
        if returns:
            call = BackwardCall(f"{pull.__module__}:{pull.__name__}", ("upstream", "cache"), tuple(returns))
            forward = self.places.named(self.forward_name)
            only = self.places.definitions_only
            target = PythonTarget(forward, call, (0,), self.places.folder, definitions_only=only)
            said = f"{self.forward_name}({', '.join(arrays)}) returns a closure that gives {', '.join(returns)}"
            yield Guess(target, tuple(returns), said)


def value_and_grad_subjects(places: Places, name: str, function: Any) -> Iterator[Subject]:
    """Yield the ways to call a function that gives a loss with its gradient."""
    for inputs, params in split_arguments(function):
        packs = packs_in(function, params)
        names, left = unpacked(function, inputs, packs), {key: one for key, one in params.items() if key not in packs}
        if names:
            loss = Loss(places, name, name, function, function, tuple(names), left, packs)
            yield Subject(candidates(names, function), left, loss.forward_outputs, loss.guesses)


class Loss(Pair):
    """A function that gives a loss with its gradient; both names are its own."""

    def forward_outputs(self, arrays: Mapping[str, Array]) -> list[Array]:
        """Return the output that counts at these inputs."""
        made = as_array(self._members(arrays)[0])
        return [made] if made is not None and made.size == 1 else []

    def guesses(self, arrays: Mapping[str, Array]) -> Iterator[Guess]:
        """Yield how backward may be called at these inputs."""
        returned = tuple(self._members(arrays))
        returns = matched_gradients(returned, self.forward, list(arrays), arrays, drop=1)
        if returns:
            name = self.places.named(self.forward_name)
            target = PythonTarget(
                name,
                BackwardCall(name, tuple(packed(arrays, self.packs)), tuple(returns), "value_and_grad"),
                (0,),
                self.places.folder,
                definitions_only=self.places.definitions_only,
                packs=self.packs,
                lists=self._lists,
            )
            said = f"{self.forward_name}({', '.join(arrays)}) gives the loss, and {', '.join(returns)}"
            yield Guess(target, tuple(returns), said)
