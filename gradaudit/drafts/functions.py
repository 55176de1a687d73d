"""Guesses for functions: a forward with its backward, or one function that gives a loss with its gradient."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradaudit.drafts.guess import Guess, Subject
from gradaudit.drafts.inputs import LABEL_NAMES, candidates, is_parameter, plain_name, ranges
from gradaudit.drafts.settings import (
    CONFIG,
    TRAINING,
    is_setting,
    keys_read,
    setting,
    takes_logarithm,
    tree_of,
    unpacked_into,
    words_compared,
)
from gradaudit.spec.op_targets import BackwardCall, Convention, PythonTarget
from gradaudit.targets.context import Context
from gradaudit.targets.conventions import pull
from gradaudit.targets.python import accepted, as_array, packed
from gradaudit.targets.structure import members_of

Array = NDArray[Any]

UPSTREAM = re.compile(
    r"upstream\w*|d_?out\w*|d_?(y|z|o|l|a|h|s|v|output|values?|prev|loss|score|logits|next|top|probs?)\w{0,4}|\w*grad\w*|"
    r"g|gs|gy|gz|gout|g_?out\w*|ct|cotangents?|delta\w*|err(or)?s?|top_diff|adjoint|ybar|zbar|dl_?d\w+|dy|dz|bar|eta"
)
CACHE = re.compile(
    r"\w*cache\w*|ctx|context|saved\w*|states?|memory|mem|tmp|residuals?|res|intermediates?|kept|stash|store|info|aux|"
    r"fwd\w*|forward_\w+|saved_\w+|linear_cache|record|history|tape|packed|bundle"
)
OUTPUT = re.compile(r"out(put)?s?|ans|result|activations?|a|s|y|z|h|probs?|fx|y_?hat|sig|sm|softmax_out(put)?|\w*_out")


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


def arguments_of(function: Callable[..., Any], skip: int = 0) -> list[inspect.Parameter]:
    """Return the arguments of a function that have names."""
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    return [one for one in parameters if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]


def split_arguments(function: Callable[..., Any], skip: int = 0) -> list[tuple[list[str], dict[str, Any]]]:
    """Return ways to tell the inputs of a function from its settings, with values for these, likeliest first."""
    tree = tree_of(function)
    inputs: list[str] = []
    optional: list[str] = []
    params: dict[str, Any] = {}
    for one in arguments_of(function, skip):
        words = words_compared(one.name, tree)
        keys = keys_read(one.name, tree) if CONFIG.fullmatch(one.name.lower()) else {}
        if words or keys:
            params[one.name] = _config(keys) if keys and not words else _choice(one, words)
        elif unpacked_into(one.name, tree) and one.default is one.empty:
            params[one.name] = []
        elif one.default is None:
            optional.append(one.name)
        elif one.default is not one.empty:
            params |= _other_than_default(one)
        elif is_setting(one, tree):
            params[one.name] = setting(one.name, one.annotation)
        else:
            inputs.append(one.name)
    ways = [(inputs, params)]
    if any(name.lower() in VARIED for name in params):
        ways.append((inputs, {name: value for name, value in params.items() if name.lower() not in VARIED}))
    if optional and inputs:
        ways.insert(0, ([*inputs, *optional], params))
    if len(inputs) > 1:  # what is no tensor in the code may be a number
        last = inputs[-1]
        ways.append((inputs[:-1], params | {last: setting(last) or 3}))
    return ways


def _config(keys: Mapping[str, bool]) -> dict[str, Any]:
    """Return a dict of settings with values for these keys, without those that it may do without."""
    made = {key: setting(key) for key, needed in keys.items() if _asked_for(key, needed)}
    return {key: value for key, value in made.items() if value is not None}


def _choice(one: inspect.Parameter, words: Sequence[str]) -> Any:
    """Return a word that an argument is compared with, or its default, unless that is another mode than training."""
    return words[0] if one.default is one.empty or TRAINING.fullmatch(one.name) else one.default


def _other_than_default(one: inspect.Parameter) -> dict[str, Any]:
    """Return the setting of an argument whose default is not what is to be audited; nothing for others."""
    if (step := VARIED.get(one.name.lower())) and isinstance(one.default, int):
        return {one.name: step}
    if TRAINING.fullmatch(one.name) and isinstance(one.default, (bool, str)):
        return {one.name: setting(one.name) if isinstance(one.default, str) else True}
    return {}


VARIED = {"stride": 2, "strides": 2, "padding": 1, "pad": 1}
"""Settings whose default hides what is wrong with them."""


def _asked_for(key: str, needed: bool) -> bool:
    return needed or not re.search(r"running|mean|var|cache|state", key)


def pair_subjects(
    places: Places, forward_name: str, backward_name: str, forward: Any, backward: Any
) -> Iterator[Subject]:
    """Yield the ways to call a forward that has a backward beside it."""
    for inputs, params in split_arguments(forward):
        packs = packs_in(forward, params)
        names, left = _unpacked(forward, inputs, packs), {key: one for key, one in params.items() if key not in packs}
        if names:
            pair = Pair(places, forward_name, backward_name, forward, backward, tuple(names), left, packs)
            drawn = ranges(names, logarithm=takes_logarithm(forward))
            yield Subject(candidates(names), left, pair.forward_outputs, pair.guesses, drawn)


def packs_in(function: Callable[..., Any], params: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Return the arguments among settings that are dicts of arrays, and the names of these."""
    tree = tree_of(function)
    found = {}
    for name, value in params.items():
        if value == [] and (names := unpacked_into(name, tree)):
            found[name] = tuple(names)
            continue
        keys = [key for key, needed in keys_read(name, tree).items() if needed and key not in (value or {})]
        if isinstance(value, dict) and keys and all(is_parameter(key) for key in keys):
            found[name] = tuple(keys)
    return found


def lists_in(function: Callable[..., Any], packs: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return those of the arguments that hold several arrays which are lists."""
    tree = tree_of(function)
    return tuple(name for name in packs if unpacked_into(name, tree))


def _unpacked(function: Callable[..., Any], inputs: Sequence[str], packs: Mapping[str, tuple[str, ...]]) -> list[str]:
    order = [one.name for one in arguments_of(function) if one.name in inputs or one.name in packs]
    return [name for one in order for name in packs.get(one, (one,))]


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
        for args, rival in self._calls(members, _returned_names(self.forward)):
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


def _returned_names(function: Callable[..., Any]) -> list[str]:
    """Return what the members of the last tuple that a function returns are called, empty where they have no names."""
    returned = _last_returned(function)
    parts = returned.elts if isinstance(returned, ast.Tuple) else [returned]
    return [part.id if isinstance(part, ast.Name) else "" for part in parts]


def _last_returned(function: Callable[..., Any]) -> ast.expr | None:
    tree = tree_of(function)
    inner = [below for below in ast.walk(tree) if isinstance(below, ast.Return) and below.value] if tree else []
    return max(inner, key=lambda one: one.lineno).value if inner else None


def matched_gradients(
    returned: Any,
    backward: Callable[..., Any],
    inputs: Sequence[str],
    arrays: Mapping[str, Array],
    drop: int = 0,
) -> list[str] | None:
    """Return the inputs whose gradients a backward returned, in order: by its names for them, else by their number.

    ``drop`` members come before them. None where they cannot be told.
    """
    members = members_of(returned)
    values = list(members.values())[drop:]
    if drop and len(values) == 1 and not isinstance(values[0], np.ndarray):
        inner = members_of(values[0])
        if len(inner) >= 1 and inner.get(0) is not values[0]:
            members, values, drop = inner, list(inner.values()), 0
    keys = (
        list(members)[drop:] if not all(isinstance(key, int) for key in members) else _returned_names(backward)[drop:]
    )
    floats = [name for name in inputs if has_floats(arrays[name])]
    predicted = [name for name in floats if not LABEL_NAMES.fullmatch(plain_name(name))]
    if len(values) <= len(predicted):
        floats = predicted
    names = [input_meant(str(key), inputs) for key in keys]
    if len(names) == len(values) and all(names) and len(set(names)) == len(names):
        return [name for name in names if name]
    by_shape = [[name for name in floats if arrays[name].shape == np.shape(value)] for value in values]
    if len(values) <= len(floats) and all(
        value is None or np.shape(value) == arrays[name].shape for value, name in zip(values, floats, strict=False)
    ):
        return floats[: len(values)]
    if all(len(options) == 1 for options in by_shape) and len({o[0] for o in by_shape}) == len(values):
        return [options[0] for options in by_shape]
    if len(values) == 1 and by_shape[0]:
        return by_shape[0][:1]
    if len(values) > len(floats):
        return None
    return floats[: len(values)]


def has_floats(array: Array) -> bool:
    """Whether an array can have a gradient."""
    return array.dtype.kind in "fc"


def input_meant(gradient: str, inputs: Sequence[str]) -> str:
    """Return the input that a gradient of this name is of: ``x`` for ``dx``, ``grad_x``, ``x_grad``; empty for none."""
    word = re.sub(r"\W+", "", gradient).lower()
    plain = [(name, name.lower().strip("_")) for name in inputs]
    for name, own in sorted(plain, key=lambda entry: -len(entry[1])):
        spellings = {f"d{own}", f"d_{own}", f"grad_{own}", f"{own}_grad", f"grad{own}", f"g{own}", f"g_{own}", own}
        spellings |= {
            f"{own}bar",
            f"{own}_bar",
            f"dl_d{own}",
            f"dldt{own}",
            f"dl{own}",
            f"gradient_{own}",
            f"delta_{own}",
        }
        spellings |= {f"dl_{own}", f"{own}_gradient", f"dl_d_{own}", f"dloss_d{own}", f"d{own}_", f"nabla_{own}"}
        if word in spellings:
            return name
    return ""


def value_and_grad_subjects(places: Places, name: str, function: Any) -> Iterator[Subject]:
    """Yield the ways to call a function that gives a loss with its gradient."""
    for inputs, params in split_arguments(function):
        packs = packs_in(function, params)
        names, left = _unpacked(function, inputs, packs), {key: one for key, one in params.items() if key not in packs}
        if names:
            loss = Loss(places, name, name, function, function, tuple(names), left, packs)
            yield Subject(candidates(names), left, loss.forward_outputs, loss.guesses)


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
