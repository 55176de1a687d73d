"""Whether everything that the specs name can be found, found out before anything is audited.

What a spec names wrongly ends the run; a module that raises, hangs or crashes when it is imported costs its own cases.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import FunctionType

from gradaudit.engine.executor import Executor, Lost, Task
from gradaudit.spec.case import Case
from gradaudit.spec.errors import Problem
from gradaudit.spec.load import Specs
from gradaudit.targets import mistakes_in, names_to_import
from gradaudit.targets.frameworks import preloaded
from gradaudit.targets.importing import UnknownNameError, import_function
from gradaudit.targets.op import OpError

Name = tuple[Path, str]
"""A ``module:function`` and the folder of the spec that names it."""


@dataclass(frozen=True)
class Imports:
    """What came of looking up all names.

    Attributes:
        problems: one for each place in the specs that names what is not there.
        broken: by the id of a case, why a module that its target needs cannot be imported.

    """

    problems: tuple[Problem, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)


def look_up(specs: Specs, executor: Executor) -> Imports:
    """Find out what cannot be imported.

    Functions that a module's text defines need no import; other names are imported, each module in a process of its
    own.

    Raises:
        ExtensionError: where what another package adds, and the cases use, cannot be imported.

    """
    for extension in dict.fromkeys(added for case in specs.cases for added in case.checks):
        extension.load(FunctionType)
    misread = _misread(specs)
    if misread:
        return Imports(misread)
    here = str(Path.cwd())
    definitions = cache(defined_names)
    tasks: dict[tuple[Path, str, tuple[str, ...]], set[str]] = defaultdict(set)
    for case in specs.cases:
        for name in names_to_import(case.target).values():
            module, _, attribute = name.partition(":")
            if attribute not in definitions(module, (here, str(case.target.folder), *sys.path)):
                tasks[case.target.folder, module, preloaded(case.target)].add(name)
    wrong: dict[Name, str] = {}
    broken: dict[Name, str] = {}
    calls = [Task((tuple(sorted(names)), folder), preload=modules) for (folder, _, modules), names in tasks.items()]
    for position, outcome in executor.map(import_problems, calls):
        names, folder = calls[position].arguments
        if isinstance(outcome, Lost):
            module = names[0].partition(":")[0]
            broken |= {(folder, name): f"importing '{module}' {outcome.cause}" for name in names}
        else:
            for name, (unknown, message) in outcome.items():
                (wrong if unknown else broken)[folder, name] = message
    return Imports(_problems(specs, wrong), _broken(specs.cases, broken))


def _misread(specs: Specs) -> tuple[Problem, ...]:
    """Return what is wrong with what the specs say of targets of kinds that other packages add."""
    found = {
        (specs.locate(case, path), f"{'.'.join(map(str, path))}: {message}"): None
        for case in specs.cases
        for path, message in mistakes_in(case.target)
    }
    return tuple(Problem(*one) for one in found)


def import_problems(names: tuple[str, ...], folder: Path) -> dict[str, tuple[bool, str]]:
    """Import functions; return by name whether it is unknown, and what is wrong with those that cannot be imported."""
    problems = {}
    for name in names:
        try:
            import_function(name, folder)
        except OpError as error:
            problems[name] = isinstance(error, UnknownNameError), str(error)
    return problems


def _problems(specs: Specs, wrong: Mapping[Name, str]) -> tuple[Problem, ...]:
    if not wrong:
        return ()
    return tuple(
        Problem(specs.locate(case, path), f"{'.'.join(path[:2])}: {wrong[case.target.folder, name]}")
        for case in specs.cases
        for path, name in names_to_import(case.target).items()
        if (case.target.folder, name) in wrong
    )


def _broken(cases: tuple[Case, ...], broken: Mapping[Name, str]) -> dict[str, str]:
    if not broken:
        return {}
    return {
        case.id: broken[case.target.folder, name]
        for case in cases
        for name in names_to_import(case.target).values()
        if (case.target.folder, name) in broken
    }


def defined_names(module: str, path: tuple[str, ...]) -> frozenset[str]:
    """Return the functions and classes that a module's text defines at its outermost level, without running it.

    None where the module is not found as Python source in the folders of ``path``.
    """
    places: list[str] | None = list(path)
    origin = ""
    for k in range(1, module.count(".") + 2):
        found = PathFinder.find_spec(".".join(module.split(".")[:k]), places)
        if found is None or found.origin is None or not found.origin.endswith(".py"):
            return frozenset()
        origin, places = found.origin, found.submodule_search_locations
        if places is None and k <= module.count("."):
            return frozenset()
    try:
        text = ast.parse(Path(origin).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return frozenset(node.name for node in text.body if isinstance(node, kinds))
