"""``unregistered-input``: an op does not tell the tape about an input that it computes with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradaudit.lint.rules.rule import Breach, Rule, listed
from gradaudit.lint.source import (
    SourceFile,
    Unit,
    is_function_class,
    methods,
    names_in,
    parameters,
    reads_array,
)
from gradaudit.lint.vocabulary import LOSS, carries_gradient, dotted, last_word

PARAMETER = re.compile(r"(\w+_)?(weights?|bias)(_\w+)?")
"""What the learnable parameters of a layer are called."""

NO_PARAMETER = re.compile(r"(use|has|with|no)_.*|.*_(shape|size|decay|init|scale|norm|flag|dtype)")
"""Names that only speak of a parameter."""

RESULT = re.compile(r"(.*_)?(out|outputs?|results?|probs?|ys?)(_\w+)?")
"""What the output of an op is called, which a backward may keep but which is no input."""

REGISTERS = re.compile(r"_?(saved\w*|inputs?|parents?|prev|children|tensors|depends_on|operands)")
"""Attributes in which a backward class keeps the tensors that it returns gradients for."""


def _check(source: SourceFile) -> Iterator[Breach]:
    for unit in source.units:
        yield from _left_out_of_record(unit)
    for owner in source.classes():
        if is_function_class(owner):
            yield from _left_out_of_init(source, owner)


def _left_out_of_record(unit: Unit) -> Iterator[Breach]:
    """Yield the outputs whose record on the tape names some of the tensors that they were computed from, not all."""
    if any(LOSS.search(around.name) for around in unit.path):
        return
    for new, known in unit.flow.seen.recorded.items():
        missing = {name for name in new.sources - known if "(" not in name and carries_gradient(name)}
        missing -= _handled_inside(unit, missing)
        if missing and new.sources & known:
            names = listed(missing)
            why = f"the output is computed from {names}, which its record on the tape leaves out: no gradient for it"
            yield Breach(new.call, why, f"record {names} among the inputs")


def _handled_inside(unit: Unit, names: set[str]) -> set[str]:
    """Return those of the tensors whose gradient a function inside takes care of by itself: ``w.grad += ...``."""
    inside = [node for node in ast.walk(unit.node) if isinstance(node, ast.FunctionDef) and node is not unit.node]
    return {
        dotted(below.value)
        for function in inside
        for below in ast.walk(function)
        if isinstance(below, ast.Attribute) and dotted(below.value) in names and "grad" in below.attr
    }


def _left_out_of_init(source: SourceFile, owner: ast.ClassDef) -> Iterator[Breach]:
    init = methods(owner).get("__init__")
    calls = [] if init is None else _calls_of_base(init)
    registered = frozenset().union(*(names_in(call) for call in calls)) - {"self", "super"}
    if init is None or not registered:
        return
    for node in ast.walk(init):
        if isinstance(node, ast.Assign) and any(REGISTERS.fullmatch(last_word(target)) for target in node.targets):
            registered |= names_in(node.value)
    missing = [
        argument
        for argument in parameters(init)
        if argument.arg not in registered and _is_tensor(argument, owner, source.vocabulary.attributes)
    ]
    if missing and not (init.args.vararg and init.args.vararg.arg in registered):
        names = listed(argument.arg for argument in missing)
        why = f"{owner.name} is given {names} but does not pass it on to its base class: {names} gets no gradient"
        yield Breach(calls[0], why, f"pass {names} to super().__init__(), where it is not None")


def _calls_of_base(init: ast.AST) -> list[ast.Call]:
    calls = [node for node in ast.walk(init) if isinstance(node, ast.Call)]
    return [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "__init__"]


def _is_tensor(argument: ast.arg, owner: ast.ClassDef, attributes: tuple[str, ...]) -> bool:
    """Whether a parameter is an input that a gradient is due for: called like one, or its array is read."""
    name = argument.arg
    if not carries_gradient(name) or RESULT.fullmatch(name) or NO_PARAMETER.fullmatch(name):
        return False
    if argument.annotation is not None and not re.search("Tensor|Any|Variable", ast.unparse(argument.annotation)):
        return False
    if PARAMETER.fullmatch(name):
        return True
    return not LOSS.search(owner.name) and reads_array(owner, name, attributes)


RULE = Rule("unregistered-input", "an input that forward uses is not passed to backward", _check)
