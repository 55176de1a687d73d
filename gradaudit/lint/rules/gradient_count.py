"""``gradient-count``: a backward returns fewer gradients than its op has inputs, or a bare one where a tuple is due."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from gradaudit.lint.flow import Function, own_nodes
from gradaudit.lint.rules.rule import Breach, Rule
from gradaudit.lint.source import (
    SourceFile,
    is_abstract,
    is_function_class,
    methods,
    names_in,
    parameters,
    reads_array,
    required,
)
from gradaudit.lint.vocabulary import LOSS, carries_gradient, dotted, last_word, words

BACKWARDS = ("backward", "apply")
"""The methods that return the gradients of an op's inputs."""

SEVERAL = words(
    "split array_split hsplit vsplit dsplit gradient meshgrid nonzero where unravel_index frompyfunc vectorize "
    "broadcast_arrays svd qr eig eigh unbind chunk modf divmod frexp histogram unique atleast_1d"
)
"""Functions of NumPy, and methods of arrays, that may return more than one array."""

SINGLE = words(
    "sum mean dot reshape transpose copy astype clone view squeeze matmul mul add sub div neg exp log tanh pow clip "
    "max min flatten ravel repeat T mm bmm unsqueeze permute expand contiguous masked_fill cumsum swapaxes"
)
"""Methods of an array that return one array."""


def _check(source: SourceFile) -> Iterator[Breach]:
    classes = [owner for owner in source.classes() if is_function_class(owner)]
    for owner in classes:
        for name in BACKWARDS:
            function = methods(owner).get(name)
            if function is None or is_abstract(function) or (name == "apply" and "backward" in methods(owner)):
                continue
            inputs = _inputs(owner, source)
            yield from _too_few(owner, function, inputs)
            if inputs == 1 and name == "apply" and _siblings_return_tuples(owner, classes):
                yield from _bare(function)


def _too_few(owner: ast.ClassDef, function: Function, inputs: int) -> Iterator[Breach]:
    for node in _returns(function):
        count = _count(node.value, function)
        if 0 < count < inputs:
            gradients = "one gradient" if count == 1 else f"{count} gradients"
            why = f"{owner.name}.{function.name} returns {gradients} for {inputs} inputs: the others get none"
            yield Breach(node, why, "return a tuple with a gradient for each input, None for one that needs none")


def _bare(function: Function) -> Iterator[Breach]:
    for node in _returns(function):
        if _is_single(node.value, function):
            why = "a bare gradient is returned where the other backwards of this file return a tuple: it is taken apart"
            yield Breach(node, why, "return a tuple: return (gradient,)")


def _returns(function: Function) -> list[ast.Return]:
    return [node for node in own_nodes(function.body) if isinstance(node, ast.Return) and node.value is not None]


def _siblings_return_tuples(owner: ast.ClassDef, classes: Sequence[ast.ClassDef]) -> bool:
    """Whether all other classes of the same base return tuples, and some of them a tuple of one."""
    bases = {last_word(base) for base in owner.bases}
    others = [
        node.value
        for other in classes
        if other is not owner and bases & {last_word(base) for base in other.bases} and "apply" in methods(other)
        for node in _returns(methods(other)["apply"])
    ]
    return len(others) > 1 and all(isinstance(value, ast.Tuple) for value in others)


def _inputs(owner: ast.ClassDef, source: SourceFile) -> int:
    """Return how many inputs an op surely has, 0 where that is not seen."""
    own = methods(owner)
    if "forward" in own:
        return _inputs_of_forward(owner, own["forward"], source)
    counts = []
    for node in ast.walk(own["__init__"]) if "__init__" in own else ():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__init__":
            given = [each for each in node.args if dotted(each) != "self"]
            counts.append(0 if any(isinstance(each, ast.Starred) for each in given) else len(given))
    return min(counts, default=0)


def _inputs_of_forward(owner: ast.ClassDef, forward: Function, source: SourceFile) -> int:
    arguments = required(forward)
    if forward.args.vararg is not None:
        return 0
    if any("autograd" in ast.unparse(base) for base in owner.bases):
        return len(arguments)  # to torch, every argument of forward is an input
    if LOSS.search(owner.name):
        return 1
    saved = _saved(forward)
    tensors = [
        argument.arg
        for argument in arguments
        if carries_gradient(argument.arg)
        and (argument.arg in saved or reads_array(forward, argument.arg, source.vocabulary.attributes))
    ]
    return len(tensors)


def _saved(forward: Function) -> frozenset[str]:
    """Return the names that are given to ``save_for_backward``."""
    calls = [node for node in ast.walk(forward) if isinstance(node, ast.Call)]
    return frozenset(
        argument.id
        for call in calls
        if last_word(call.func) == "save_for_backward" and len(call.args) > 1
        for argument in call.args
        if isinstance(argument, ast.Name)
    )


def _count(node: ast.expr | None, function: Function) -> int:
    """Return how many gradients an expression surely is; 0 where that is not seen."""
    match node:
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return 0 if any(isinstance(each, ast.Starred) for each in elements) else len(elements)
        case ast.IfExp():
            counts = {_count(node.body, function), _count(node.orelse, function)}
            return counts.pop() if len(counts) == 1 else 0
        case ast.Name():
            tuples = [each for each in _given(node.id, function) if isinstance(each, (ast.Tuple, ast.List))]
            if tuples:
                return _count(tuples[0], function) if len(_given(node.id, function)) == 1 else 0
    return 1 if _is_single(node, function) else 0


def _given(name: str, function: Function) -> list[ast.expr | None]:
    """Return what a name is given in a function, None for what cannot be told."""
    given: list[ast.expr | None] = []
    for node in own_nodes(function.body):
        match node:
            case ast.Assign(targets=targets):
                for target in targets:
                    if isinstance(target, ast.Name) and target.id == name:
                        given.append(node.value)
                    elif not isinstance(target, (ast.Subscript, ast.Attribute)) and name in names_in(target):
                        given.append(None)
            case ast.For(target=target) if name in names_in(target):
                given.append(None)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="append" | "extend" | "insert")):
                given += [None] if owner == name else []
    return given


def _is_single(node: ast.expr | None, function: Function, assumed: frozenset[str] = frozenset()) -> bool:
    """Whether an expression surely is one array; names in ``assumed`` are looked at already."""

    def single(part: ast.expr | None) -> bool:
        return _is_single(part, function, assumed)

    match node:
        case ast.BinOp(left=left, op=operator, right=right):
            built = any(isinstance(side, (ast.Tuple, ast.List)) for side in (left, right))
            return not built and (not isinstance(operator, ast.Add) or single(left) or single(right))
        case ast.UnaryOp(operand=operand):
            return single(operand)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np" | "numpy" | "torch" | "cp" | "xp"), attr=word)):
            return word not in SEVERAL
        case ast.Call(func=ast.Attribute(attr=word)) | ast.Attribute(attr=word):
            return word in SINGLE
        case ast.Name(id=name):
            given = _given(name, function)
            is_upstream = name in {argument.arg for argument in parameters(function)}
            within = assumed | {name}
            singles = (each is not None and _is_single(each, function, within) for each in given)
            return name in assumed or ((is_upstream or bool(given)) and all(singles))
    return False


RULE = Rule("gradient-count", "a backward returns one gradient for several inputs", _check)
