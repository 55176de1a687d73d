"""What the arguments of a function are: arrays, settings with values for them, and packs of arrays."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gradaudit.drafts.inputs import is_parameter
from gradaudit.drafts.settings import (
    CONFIG,
    TRAINING,
    is_setting,
    keys_read,
    setting,
    tree_of,
    unpacked_into,
    words_compared,
)

UPSTREAM = re.compile(
    r"upstream\w*|d_?out\w*|d_?(y|z|o|l|a|h|s|v|output|values?|prev|loss|score|logits|next|top|probs?)\w{0,4}|\w*grad\w*|"
    r"u|up|v|g|gs|gy|gz|gout|g_?out\w*|ct|cotangents?|delta\w*|err(or)?s?|top_diff|adjoint|ybar|zbar|dl_?d\w+|dy|dz|bar|eta"
)
CACHE = re.compile(
    r"\w*cache\w*|ctx|context|saved\w*|states?|memory|mem|tmp|residuals?|res|intermediates?|kept|stash|store|info|aux|"
    r"fwd\w*|forward_\w+|saved_\w+|linear_cache|record|history|tape|packed|bundle"
)
OUTPUT = re.compile(r"out(put)?s?|ans|result|activations?|a|s|y|z|h|probs?|fx|y_?hat|sig|sm|softmax_out(put)?|\w*_out")


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
            optional += [] if one.kind is one.KEYWORD_ONLY else [one.name]
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


def unpacked(function: Callable[..., Any], inputs: Sequence[str], packs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the names of the arrays that a function is given, in order, those in packs among them."""
    order = [one.name for one in arguments_of(function) if one.name in inputs or one.name in packs]
    return [name for one in order for name in packs.get(one, (one,))]
