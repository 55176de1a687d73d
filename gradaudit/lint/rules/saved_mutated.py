"""``saved-mutated``: an array that was saved for backward is changed in place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import TypeAlias

from gradaudit.lint.flow import Function, own_nodes
from gradaudit.lint.inplace import Change, changes, is_array, is_buffer, shares_memory
from gradaudit.lint.rules.rule import Breach, Rule
from gradaudit.lint.source import SourceFile, is_op, methods
from gradaudit.lint.vocabulary import dotted, last_word

Given: TypeAlias = list[tuple[str, ast.expr, int]]
"""What names, dotted ones too, are given in a function, with the line."""

GRADIENT = re.compile(r"(.*[._])?(grads?|gradients?|grad_\w+|d[A-Za-z]\w{0,2}|\w+_grad|out_grad|upstream)(\..*)?")
"""Names of gradients, which backwards add to in place."""

BACKWARD = re.compile(r"_?(\w+_)?(backward|grad_?fn|vjp|grad)(_\w+)?\d*")
"""What functions inside an op are called that compute its gradients."""

SAVED = re.compile(r"(ctx|self|context|fn)\.(saved\w*|cache\w*|to_save|inputs)(\..*)?")
"""Where backwards keep what forward saved."""

FIX = "change a copy instead: x = x.copy()"


def _check(source: SourceFile) -> Iterator[Breach]:
    for owner in source.classes():
        if is_op(owner):
            yield from _in_class(owner)
    for unit in source.units:
        if not isinstance(unit.node, ast.Module):
            yield from _around_closures(unit.node)


def _in_class(owner: ast.ClassDef) -> Iterator[Breach]:
    own = methods(owner)
    backwards = [own[name] for name in ("backward", "apply") if name in own]
    read = {node.attr for each in backwards for node in ast.walk(each) if isinstance(node, ast.Attribute)}
    kept: Given = []
    for name in ("forward", "__call__", "__init__"):
        if name not in own or (name == "__init__" and "forward" in own):
            continue
        if name != "__init__":
            yield from _changed_after_saving(own[name], read)
        kept += _given(own[name])
    for backward in backwards:
        yield from _saved_changed(backward, kept)


def _changed_after_saving(forward: Function, read: set[str]) -> Iterator[Breach]:
    """Yield where forward changes what it has saved before."""
    given = _given(forward)
    saved = dict(_saves(forward, read))
    if any(last_word(node.func) == "mark_dirty" for node in ast.walk(forward) if isinstance(node, ast.Call)):
        return
    for change in changes(forward):
        if "." in change.name:  # self.std is computed in place, and meant to be what is saved
            continue
        name, line = _root(change.name, given), change.node.lineno
        for each in {change.name, name} & saved.keys():
            rebound = any(to == each and saved[each] < at <= line for to, _, at in given)
            if saved[each] < line and not rebound and _counts(change, given):
                yield Breach(change.node, f"{each} was saved for backward and is changed in place here", FIX)
                break


def _saves(forward: Function, read: set[str]) -> Iterator[tuple[str, int]]:
    """Yield the names whose arrays a forward saves, with the line."""
    for node in own_nodes(forward.body):
        values: list[ast.expr] = []
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id="self" | "ctx"), attr=attr)], value=value):
                values = [value] if (attr in read and not is_buffer(value)) or isinstance(value, ast.Tuple) else []
            case ast.Assign(targets=[ast.Subscript(value=ast.Attribute(value=ast.Name(id="self" | "ctx"), attr=attr))]):
                values = [node.value] if attr in read else []
            case ast.Call(func=ast.Attribute(attr="save_for_backward"), args=arguments):
                values = arguments
        for value in values:
            parts = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]
            for part in parts:
                if name := shares_memory(part):
                    yield name, value.lineno


def _saved_changed(backward: Function, kept: Given) -> Iterator[Breach]:
    """Yield where backward changes what forward saved."""
    given = _given(backward)
    arrays = {name for name, value, _ in kept if not is_buffer(value)}
    for change in changes(backward):
        name = _root(change.name, given)
        if GRADIENT.fullmatch(name) or GRADIENT.fullmatch(change.name) or "." not in name:
            continue
        is_saved = name in arrays or SAVED.fullmatch(name)
        surely_array = any(_is_surely_array(each, [*kept, *given]) for each in (name, change.name))
        if is_saved and (not change.of_arrays_only or surely_array):
            shown = change.name if SAVED.fullmatch(name) else name
            yield Breach(change.node, f"{shown} was saved by forward and backward changes it in place", FIX)


def _is_surely_array(name: str, given: Given, depth: int = 3) -> bool:
    values = [value for to, value, _ in given if to == name]
    named = [dotted(value) for value in values if depth and dotted(value) not in ("", name)]
    return any(map(is_array, values)) or any(_is_surely_array(each, given, depth - 1) for each in named)


def _around_closures(function: Function) -> Iterator[Breach]:
    """Yield where what a backward inside a function has captured is changed, by itself or later on."""
    inside = [
        node for node in own_nodes(function.body) if isinstance(node, ast.FunctionDef) and BACKWARD.fullmatch(node.name)
    ]
    given = _given(function)
    arrays = {name for name, value, _ in given if is_array(value)} - {
        name for name, value, _ in given if is_buffer(value)
    }
    for closure in inside:
        own = {name for name, _, _ in _given(closure)} | {argument.arg for argument in closure.args.args}
        captured = {name for name in _read(closure) if name in arrays and name.partition(".")[0] not in own}
        for change in changes(closure):
            name = _root(change.name, _given(closure))
            if name in captured and not GRADIENT.fullmatch(name) and not change.of_arrays_only:
                yield Breach(change.node, f"{name} is captured from forward and changed in place by backward", FIX)
        for change in changes(function):
            if change.name in captured and change.node.lineno > (closure.end_lineno or closure.lineno):
                yield Breach(change.node, f"{change.name} is captured by {closure.name} and changed in place here", FIX)


def _read(function: Function) -> set[str]:
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}


def _given(function: Function) -> Given:
    """Return what names are given in a function; parts of what is unpacked stand for the whole."""
    given: Given = []
    for node in own_nodes(function.body):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            given += _pairs(target, node.value, node.lineno)
    return given


def _pairs(target: ast.expr, value: ast.expr, line: int) -> Given:
    if isinstance(target, (ast.Tuple, ast.List)):
        alike = isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts)
        values = value.elts if alike and isinstance(value, (ast.Tuple, ast.List)) else [value] * len(target.elts)
        return [pair for each, part in zip(target.elts, values, strict=True) for pair in _pairs(each, part, line)]
    name = dotted(target)
    return [(name, value, line)] if name else []


def _root(name: str, given: Given) -> str:
    """Return the name that a name is an alias of, or a view, as far as its assignments all say the same."""
    for _ in range(len(given) + 1):
        roots = {shares_memory(value) for to, value, _ in given if to == name}
        if len(roots) != 1 or not (root := roots.pop()) or root == name:
            return name
        name = root
    return name


def _counts(change: Change, given: Given) -> bool:
    """Whether a change is one in place: of an array surely, or by an element."""
    values = [value for to, value, _ in given if to == change.name]
    if any(is_buffer(value) for value in values):
        return False
    return not change.of_arrays_only or any(is_array(value) for value in values)


RULE = Rule("saved-mutated", "an array that was saved for backward is changed in place", _check)
