"""The mutants of an op: its backward, and what that calls in its own module, with one fault each.

Everything here is done with text: nothing is imported or run.
"""

from __future__ import annotations

import ast
import difflib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gradaudit.mutation.faults import FAULTS, Planter
from gradaudit.source.computing import computing
from gradaudit.source.modules import Module, assigned_names, statements
from gradaudit.source.reach import ReachFinder
from gradaudit.source.text import Edit, SourceText, decoded
from gradaudit.spec.op_targets import PythonTarget

CONTEXT = 1
"""Lines around a change that its diff shows."""


@dataclass(frozen=True)
class Backward:
    """The source of a backward.

    Attributes:
        module: the dotted name of the module that defines it.
        attribute: its name there, dotted below classes.
        file: that module's file.
        text: what the file says.
        names: the module's definitions that it is made of: itself, and what it reaches in its module.

    """

    module: str
    attribute: str
    file: Path
    text: str
    names: frozenset[str]


@dataclass(frozen=True)
class Mutant:
    """A backward with one fault.

    Attributes:
        fault: its kind.
        file: the file that it is in, as seen from the project.
        line: the line that it begins in.
        function: the function that it is in.
        source: the backward, the text of its file with the fault in it.
        diff: what differs, as a unified diff.

    """

    fault: str
    file: str
    line: int
    function: str
    source: Backward
    diff: str


def control(backward: Backward) -> Mutant:
    """Return the mutant without a fault, which has to fare as the op itself does."""
    return Mutant("none", backward.file.name, 1, backward.attribute, backward, "")


def backward_of(target: PythonTarget, find: ReachFinder) -> Backward | None:
    """Return the source of a target's backward; None where it is not to be found, as for compiled functions."""
    reach = find([target.backward.call], target.folder)
    found = reach.modules.locate(target.backward.call)
    if found is None:
        return None
    top = found.name.partition(".")[0]
    waiting, names = [top], set[str]()
    while waiting:
        name = waiting.pop()
        if name in found.module.definitions and name not in names:
            names.add(name)
            waiting += [chain.partition(".")[0] for chain in reach.part(found.module, name).mentions]
    kept = top, *(name for name in names if _is_code(found.module, name))
    text = decoded(found.module.file.read_bytes())
    return Backward(found.module.name, found.name, found.module.file, text, _with_dependents(found.module, kept, names))


def _is_code(module: Module, name: str) -> bool:
    return any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in module.definitions[name])


def _with_dependents(module: Module, code: Sequence[str], names: set[str]) -> frozenset[str]:
    """Add the tables and aliases that hold any of the functions, and would go on holding the right ones.

    Other data stays what it is, so that forward and backward share what they share.
    """
    kept = set(code)
    while more := {name for name in names - kept if any(kept & _mentioned(node) for node in module.definitions[name])}:
        kept |= more
    return frozenset(kept)


def _mentioned(node: ast.AST) -> set[str]:
    return {below.id for below in ast.walk(node) if isinstance(below, ast.Name)}


def mutants_of(backward: Backward, base: Path, faults: Mapping[str, Planter] = FAULTS) -> Iterator[Mutant]:
    """Yield every mutant, by line.

    Args:
        backward: the source.
        base: the folder that diffs name files from.
        faults: what is planted, by its kind.

    """
    text, seen = SourceText(backward.text), {backward.text}
    for top in definitions(ast.parse(backward.text), backward.names):
        for function, node in sorted(_parts(top, backward.attribute), key=lambda found: _line(found[1])):
            for fault, plant in faults.items():
                for edit in plant(node, text):
                    changed = text.edited(edit)
                    if changed not in seen and _is_python(text, top, edit):
                        seen.add(changed)
                        yield _mutant(backward, changed, fault, function, base)


def definitions(tree: ast.Module, names: frozenset[str]) -> list[ast.stmt]:
    """Return the statements of a module that define any of the names, in their order."""
    return [node for node in statements(tree.body) if names.intersection(_defined(node))]


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    return assigned_names(node)


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def _parts(top: ast.stmt, attribute: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield what computes in a definition, each part with the function that it is in."""
    if isinstance(top, ast.ClassDef):
        wanted = _methods(top, attribute.rpartition(".")[2])
        for method in wanted:
            yield from (
                (f"{top.name}.{method.name}", node)
                for line in method.body
                for node in computing(line, _is_no_computation)
            )
    elif isinstance(top, ast.FunctionDef):
        yield from ((top.name, node) for line in top.body for node in computing(line, _is_no_computation))
    else:
        yield from ((assigned_names(top)[0], node) for node in computing(top, _is_no_computation))


def _methods(owner: ast.ClassDef, name: str) -> list[ast.FunctionDef]:
    """Return a method and those of its class that it calls."""
    known = {node.name: node for node in owner.body if isinstance(node, ast.FunctionDef)}
    waiting, found = [name], dict[str, ast.FunctionDef]()
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            found[name] = known[name]
            waiting += [node.attr for node in ast.walk(known[name]) if isinstance(node, ast.Attribute)]
    return list(found.values())


def _is_no_computation(node: ast.AST) -> bool:
    return isinstance(node, (ast.Assert, ast.arguments)) or _complains(node)


def _complains(node: ast.AST) -> bool:
    return isinstance(node, ast.Raise) or (isinstance(node, ast.If) and not node.orelse and _complains(node.body[-1]))


def _is_python(text: SourceText, top: ast.stmt, edit: Edit) -> bool:
    start, end = text.span(top)
    changed = text.slice(start, edit.start) + edit.replacement + text.slice(edit.end, end)
    try:
        ast.parse(textwrap.dedent(" " * top.col_offset + changed))
    except SyntaxError:
        return False
    return True


def _mutant(backward: Backward, changed: str, fault: str, function: str, base: Path) -> Mutant:
    before, after = backward.text.split("\n"), changed.split("\n")
    inside = backward.file.is_relative_to(base)
    file = (backward.file.relative_to(base) if inside else backward.file).as_posix()
    lines = difflib.unified_diff(before, after, file, f"{file} ({fault})", n=CONTEXT, lineterm="")
    line = next(k for k, pair in enumerate(zip(before, after, strict=False), 1) if pair[0] != pair[1])
    source = replace(backward, text=changed)
    return Mutant(fault, file, line, function, source, "\n".join(lines).rstrip())
