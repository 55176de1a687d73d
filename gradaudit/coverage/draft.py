"""A spec to start from, drafted from the text of a backward pass and its forward."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gradaudit.coverage.passes import BackwardPass, Kind
from gradaudit.coverage.signature import (
    DATA,
    Signature,
    backward_words,
    forward_signature,
    returned_inputs,
)
from gradaudit.source.modules import Imported, note_imports, read_tree

Function = ast.FunctionDef | ast.AsyncFunctionDef

UNKNOWN = Signature(("x",), {})
"""What is assumed of a function that cannot be read: one input."""


@dataclass(frozen=True)
class Draft:
    """A spec to start from: its op, its text, and what is left to be filled in."""

    op: str
    text: str
    open_points: tuple[str, ...]


def draft_spec(one: BackwardPass, file: Path, roots: Sequence[Path]) -> Draft:
    """Return a spec for a backward pass.

    Args:
        one: the pass.
        file: where its file is.
        roots: the folders that modules are importable from.

    """
    op = re.sub(r"[^\w.-]+", "_", one.op).strip("_") or "op"
    if one.kind is Kind.PATTERN:
        points = ("the command that serves this op", "inputs and params")
        return _draft(op, one, [f"  process: {{command: [./serve], op: {op}}}"], UNKNOWN, points)
    tree = read_tree(file)
    definitions = {} if isinstance(tree, str) else _definitions(tree)
    module = module_name(file, roots)
    if one.kind is Kind.FUNCTION:
        return _pair(op, one, module, definitions)
    if one.kind in (Kind.CLASS, Kind.CLOSURE):
        forward = definitions.get(f"{one.name}.forward")
        signature = forward_signature(forward, skip=1) if forward else UNKNOWN
        own = [
            f"  # {one.name} keeps state from forward to backward: name two functions that run it and return arrays.",
            f"  forward: {module}:{op}",
            f"  backward: {module}:{op}_backward",
        ]
        return _draft(op, one, own, signature, (f"functions around {one.name}", "shapes and ranges"))
    imports = {} if isinstance(tree, str) else _imports(tree, module)
    return _framework(op, one, module, definitions, imports)


def _pair(op: str, one: BackwardPass, module: str, definitions: dict[str, Function]) -> Draft:
    scope = one.name.rpartition(".")[0]
    prefix = f"{scope}." if scope else ""
    names = [f"{prefix}{name}" for name in (one.op, f"{one.op}_forward", f"forward_{one.op}", f"_{one.op}")]
    forward = next((name for name in names if name in definitions), "")
    points = [] if forward else [f"the forward of {one.name}"]
    method = int(bool(scope) and "<locals>" not in one.name)
    backward = definitions.get(one.name)
    signature = UNKNOWN
    if forward:
        signature = forward_signature(definitions[forward], skip=method)
    elif backward:
        names_ = forward_signature(backward, skip=method).inputs[1:]
        signature = Signature(tuple(name for name in names_ if name != "output") or ("x",), {})
    target = [f"  forward: {module}:{forward or names[0]}"]
    if backward is None:  # a lambda: what it takes is for the user to say
        target += ["  backward:", f"    call: {module}:{one.name}"]
    else:
        words, strange = backward_words(backward, signature, skip=method)
        points += [f"what backward's argument '{word}' is" for word in strange]
        target += [
            "  backward:",
            f"    call: {module}:{one.name}",
            f"    args: [{', '.join(words)}]",
            f"    returns: [{', '.join(returned_inputs(backward, signature.inputs))}]",
        ]
    return _draft(op, one, target, signature, (*points, "shapes and ranges"))


def _framework(
    op: str, one: BackwardPass, module: str, definitions: dict[str, Function], imports: dict[str, Imported]
) -> Draft:
    forward = definitions.get(f"{one.name}.forward") or definitions.get(one.name)
    skip = 1 if one.kind is Kind.TORCH_FUNCTION else 0
    signature = forward_signature(forward, skip=skip) if forward else UNKNOWN
    if one.kind is Kind.TORCH_FUNCTION:
        target = f"  torch: {module}:{one.name}.apply"
    elif one.kind is Kind.TORCH_LIBRARY:
        target = f"  torch: {module}:{op}"
    elif one.kind is Kind.AUTOGRAD:
        target = f"  autograd: {_imported(one.name, imports) or f'{module}:{one.name}'}"
    else:
        target = f"  jax: {module}:{one.name}"
    points = () if forward else ("inputs and params",)
    return _draft(op, one, [target], signature, (*points, "shapes and ranges"))


def _imported(name: str, imports: dict[str, Imported]) -> str:
    """Return where a dotted name that begins with an import comes from, as ``module:function``; empty for others."""
    first, _, rest = name.partition(".")
    source = imports.get(first)
    if source is None:
        return ""
    if rest:
        return f"{'.'.join(filter(None, (source.module, source.name)))}:{rest}"
    return f"{source.module}:{source.name}" if source.name else ""


def _draft(op: str, one: BackwardPass, target: Sequence[str], signature: Signature, points: tuple[str, ...]) -> Draft:
    if one.kind is not Kind.PATTERN and not re.fullmatch(r"[\w.:]+", one.name):
        points = (f"a name to import {' '.join(one.name.split())} by", *points)
    inputs = []
    for name in signature.inputs or UNKNOWN.inputs:
        aside = ", differentiable: false" if DATA.fullmatch(name) else ""
        inputs.append(f"  {name}: {{shape: [3, 4], range: [-1.0, 1.0]{aside}}}")
    lacking = [name for name, default in signature.params.items() if default == ""]
    given = [f"{name}: {default}" for name, default in signature.params.items() if default]
    lines = [f"op: {op}", "target:", *target, "inputs:", *inputs]
    if given or lacking:
        lines += ["params:" if given else "params: {}", *(f"  {entry}" for entry in given)]
        lines += [f"  # {name}: has no default: give it a value" for name in lacking]
    lines += ["dtype: [float32, float64]", "cases:", "  - name: default"]
    points += tuple(f"param {name}" for name in lacking)
    heading = [f"# Drafted from {' '.join(one.place.split())}. To be filled in: {'; '.join(points)}."]
    return Draft(op, "\n".join([*heading, *lines]) + "\n", points)


def module_name(file: Path, roots: Sequence[Path]) -> str:
    """Return the dotted name that a file is imported by: from above its package, else from the nearest of the roots."""
    file = file.resolve()
    root = file.parent
    while (root / "__init__.py").exists():
        root = root.parent
    if root == file.parent:  # in no package: a script, or a folder that is one without saying so
        inside = [place for place in map(Path.resolve, roots) if file.is_relative_to(place)]
        root = max(inside, key=lambda place: len(place.parts), default=root)
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _imports(tree: ast.Module, module: str) -> dict[str, Imported]:
    imports: dict[str, Imported] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            note_imports(imports, node, module.rpartition(".")[0])
    return imports


def _definitions(tree: ast.Module) -> dict[str, Function]:
    """Return every function of a file by its name, dotted as those of backward passes are."""
    found: dict[str, Function] = {}

    def look(node: ast.AST, prefix: str) -> None:
        for below in ast.iter_child_nodes(node):
            if isinstance(below, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.setdefault(prefix + below.name, below)
                look(below, f"{prefix}{below.name}.<locals>.")
            elif isinstance(below, ast.ClassDef):
                look(below, f"{prefix}{below.name}.")
            elif isinstance(below, ast.stmt):
                look(below, prefix)

    look(tree, "")
    return found
