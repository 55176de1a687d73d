"""What specs may name where a project takes them from strangers: functions of its own modules, and nothing else."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gradaudit.extensions import CHECKS, extensions, is_below
from gradaudit.source.modules import Definition, Modules
from gradaudit.spec.case import Case, Target
from gradaudit.spec.errors import Problem
from gradaudit.spec.op_targets import ExtensionTarget, LibraryTarget, ProcessTarget
from gradaudit.spec.reading import is_function_name
from gradaudit.spec.source import Document, KeyPath

OUTSIDE = {ProcessTarget: "starts a process", LibraryTarget: "loads a library"}
"""What targets do that no list of modules can vouch for."""


def within(
    cases: Sequence[Case], documents: Mapping[str, Document], allow: Sequence[str]
) -> tuple[list[Case], list[Problem]]:
    """Return the cases, with modules looked for where the project's are, and what they name that is not allowed.

    A function counts where it is defined, whichever module it was imported into. Nothing is imported to find out.

    Args:
        cases: the cases.
        documents: the document of each op.
        allow: the modules, each with all that is below it.

    """
    here = Path.cwd()
    modules = Modules((here,))
    problems: dict[tuple[str, str], Problem] = {}
    for case in cases:
        document = documents[case.op]
        if (does := OUTSIDE.get(type(case.target))) is not None:
            said = f"target: found one that {does}; allowed are functions of {_listed(allow)} alone"
            problems[case.op, ""] = Problem(document.locate(("target",)), said)
            continue
        if isinstance(case.target, ExtensionTarget) and not is_below((added := case.target.extension).module, allow):
            said = f"target: the {added} is not allowed: its module is {added.module}; expected one of {_listed(allow)}"
            problems[case.op, ""] = Problem(document.locate(("target", "extension")), said)
            continue
        for name in _functions(_said(case.target)):
            if trouble := _trouble(name, modules, allow):
                problems[case.op, name] = Problem(document.locate(_path_to(name, document.data)), trouble)
    # A spec's own folder may hold a module that only has the name of an allowed one.
    checks = extensions(CHECKS, allow)
    kept = [replace(case, target=replace(case.target, folder=here), checks=checks) for case in cases]
    return kept, list(problems.values())


def _said(target: Target) -> Any:
    """Return what a spec says of a target; what its kind is imported from is none of that."""
    return target.settings if isinstance(target, ExtensionTarget) else asdict(target)


def _trouble(name: str, modules: Modules, allow: Sequence[str], known: Set[str] = frozenset()) -> str:
    """Return what is wrong with naming a function; empty for nothing."""
    expected = f"expected a function of {_listed(allow)}"
    if not is_below(name.partition(":")[0], allow):
        return f"'{name}' is not allowed: {expected}"
    defined = modules.locate(name)
    if defined is None:
        return f"'{name}' is not allowed: its definition was not found; {expected} in Python source"
    if not is_below(defined.module.name, allow):
        return f"'{name}' is not allowed: it is defined in {defined.module.name}; {expected}"
    if not _is_function(defined, modules, allow, known):
        return f"'{name}' is not allowed: {defined.module.name} defines no function of that name; {expected}"
    return ""


def _is_function(defined: Definition, modules: Modules, allow: Sequence[str], known: Set[str]) -> bool:
    """Whether a name is that of a function or a class by every statement that gives it a value.

    What stands for another name is what that is; what a call returns, an attribute of a function and what a class
    inherits are not to be seen, but for ``apply``, by which classes with a forward and a backward are called.
    """
    first, _, rest = defined.name.partition(".")
    if first in known:  # names that stand for each other in a circle
        return False
    values = [one for one in defined.module.definitions[first] if not isinstance(one, ast.Expr)]
    return bool(values) and all(
        _makes_function(one, rest, defined.module.name, modules, allow, known) for one in values
    )


def _makes_function(
    statement: ast.stmt, rest: str, module: str, modules: Modules, allow: Sequence[str], known: Set[str]
) -> bool:
    match statement:
        case ast.FunctionDef():
            return not rest
        case ast.ClassDef():
            first, _, below = rest.partition(".")
            members = {
                member.name: member for member in statement.body if isinstance(member, (ast.FunctionDef, ast.ClassDef))
            }
            if rest == "apply" and "apply" not in members:
                return members.keys() >= {"forward", "backward"}
            return not rest or (
                first in members and _makes_function(members[first], below, module, modules, allow, known)
            )
        case ast.Assign(value=ast.Lambda()) | ast.AnnAssign(value=ast.Lambda()):
            return not rest
        case ast.Assign(value=ast.Name() | ast.Attribute() as value):
            own = {target.id for target in statement.targets if isinstance(target, ast.Name)}
            named = ast.unparse(value)
            return not rest and not _trouble(f"{module}:{named}", modules, allow, known | own)
        case _:
            return False


def _listed(allow: Sequence[str]) -> str:
    return ", ".join(filter(None, allow)) or "no module at all"


def _functions(value: Any) -> Iterator[str]:
    if isinstance(value, str) and is_function_name(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _functions(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _functions(item)


def _path_to(name: str, data: Any, path: KeyPath = ()) -> KeyPath:
    """Return where a document says something; the empty path where it is not found in these words."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in items:
        if item == name:
            return (*path, key)
        if below := _path_to(name, item, (*path, key)):
            return below
    return ()
