"""A file as the rules see it: its functions, the classes they belong to, and what flows in them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gradaudit.lint.expressions import Environment
from gradaudit.lint.flow import Flow, Function, flow_of, own_nodes, takes_off_the_tape
from gradaudit.lint.vocabulary import Vocabulary, dotted, is_on_purpose, last_word

Replaced = frozenset[tuple[str, str]]
"""Classes and their methods that are replaced from outside, anywhere in what is searched: ``ReLU.forward = ...``."""


@dataclass(frozen=True)
class Unit:
    """A function, or the module itself, with what is around it.

    Attributes:
        node: its tree.
        path: the classes and functions around it, from the outermost, and itself.
        flow: what flows in it.
        within_tensor: whether it is a method of the tensors' class.

    """

    node: Function | ast.Module
    path: tuple[ast.ClassDef | Function, ...]
    flow: Flow
    within_tensor: bool

    @property
    def owner(self) -> ast.ClassDef | None:
        """The class that it is a method of."""
        return self.path[-2] if len(self.path) > 1 and isinstance(self.path[-2], ast.ClassDef) else None


@dataclass(frozen=True)
class SourceFile:
    """A file that rules are held against.

    Attributes:
        file: its path, as it is shown.
        tree: its syntax tree.
        units: its functions, and the module itself.
        vocabulary: how the project calls its tensors.
        replaced: the methods that are replaced from outside.

    """

    file: Path
    tree: ast.Module
    units: tuple[Unit, ...]
    vocabulary: Vocabulary
    replaced: Replaced

    def classes(self) -> Iterator[ast.ClassDef]:
        """Yield all classes."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))

    def should_stay_on_tape(self, unit: Unit) -> bool:
        """Whether what this function returns is expected to be recorded."""
        if any(is_on_purpose(around.name) for around in unit.path):
            return False
        functions = [around for around in unit.path if not isinstance(around, ast.ClassDef)]
        if any(takes_off_the_tape(decorator) for function in functions for decorator in function.decorator_list):
            return False
        owner = unit.owner
        if owner is None:
            return True
        if (owner.name, unit.path[-1].name) in self.replaced:
            return False
        return self._tensor_has_tape(owner) if unit.within_tensor else not is_op(owner)

    def _tensor_has_tape(self, owner: ast.ClassDef) -> bool:
        """Whether the tensors' own methods put what they return on the tape, rather than something around them."""
        return any(unit.owner is owner and unit.flow.seen.recorded for unit in self.units)


def read_source(file: Path, tree: ast.Module, vocabulary: Vocabulary, replaced: Replaced) -> SourceFile:
    """Return a file with what flows in its functions."""
    module = Unit(tree, (), flow_of(tree, vocabulary, {}, within_tensor=False), within_tensor=False)
    units = [module, *_units(tree.body, (), module.flow.environment, vocabulary)]
    return SourceFile(file, tree, tuple(units), vocabulary, replaced)


def _units(
    body: Sequence[ast.AST], path: tuple[ast.ClassDef | Function, ...], outer: Environment, vocabulary: Vocabulary
) -> Iterator[Unit]:
    for node in own_nodes(body):
        if isinstance(node, ast.ClassDef):
            yield from _units(node.body, (*path, node), outer, vocabulary)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            inside = bool(path) and isinstance(path[-1], ast.ClassDef) and path[-1].name in vocabulary.tensors
            flow = flow_of(node, vocabulary, outer, within_tensor=inside)
            yield Unit(node, (*path, node), flow, inside)
            yield from _units(node.body, (*path, node), flow.environment, vocabulary)


def replaced_methods(tree: ast.Module) -> Replaced:
    """Return the methods that a file replaces from outside: ``ReLU.forward = tracked_forward``, and by ``setattr``."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Attribute(value=ast.Name(id=owner), attr=method)]):
                found.add((owner, method))
            case ast.Call(func=ast.Name(id="setattr"), args=[ast.Name(id=owner), ast.Constant(value=str(method)), _]):
                found.add((owner, method))
    return frozenset((owner, method) for owner, method in found if owner[:1].isupper())


def methods(owner: ast.ClassDef) -> dict[str, Function]:
    """Return the methods of a class by name."""
    return {node.name: node for node in owner.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}


def is_function_class(owner: ast.ClassDef) -> bool:
    """Whether a class is derived from what frameworks call a function on the tape, or named as one."""
    names = {last_word(base) for base in owner.bases}
    based = any(name.endswith(("Function", "Fn", "Backward", "Op", "Operation")) for name in names)
    return based or owner.name.endswith(("Backward", "Function"))


def is_op(owner: ast.ClassDef) -> bool:
    """Whether a class is an op with its own backward, which something else puts on the tape."""
    own = methods(owner)
    return is_function_class(owner) or ("backward" in own and not is_abstract(own["backward"]))


def is_abstract(function: Function) -> bool:
    """Whether a function only raises, or does nothing."""
    told = [node for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return all(isinstance(node, (ast.Pass, ast.Raise)) for node in told)


def parameters(function: Function) -> list[ast.arg]:
    """Return the positional parameters of a function, less ``self``, ``cls`` and ``ctx``."""
    given = [*function.args.posonlyargs, *function.args.args]
    return [argument for argument in given if argument.arg not in ("self", "cls", "ctx", "context", "fn")]


def required(function: Function) -> list[ast.arg]:
    """Return the positional parameters without a default, less ``self``, ``cls`` and ``ctx``."""
    given = [*function.args.posonlyargs, *function.args.args]
    without = given[: len(given) - len(function.args.defaults)]
    return [argument for argument in without if argument in parameters(function)]


def names_in(node: ast.AST) -> frozenset[str]:
    """Return the plain names that stand in a tree."""
    return frozenset(below.id for below in ast.walk(node) if isinstance(below, ast.Name))


def reads_array(node: ast.AST, name: str, attributes: Sequence[str]) -> bool:
    """Whether the array of a tensor of this name is read in a tree: ``x.data``, ``self.x.data``."""
    return any(
        isinstance(below, ast.Attribute) and below.attr in attributes and dotted(below.value) in (name, f"self.{name}")
        for below in ast.walk(node)
    )
