"""Whether everything that the specs name can be imported, found out before anything is audited."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from gradaudit.engine.worker import Lost, import_problems
from gradaudit.spec.errors import Problem
from gradaudit.spec.load import Specs
from gradaudit.targets import names_to_import

Task = tuple[tuple[str, ...], Path]
Outcome = dict[str, str] | Lost
MapTasks = Callable[[Callable[..., dict[str, str]], Iterable[Task]], Iterator[tuple[int, Outcome]]]


def unimportable(specs: Specs, map_tasks: MapTasks) -> list[Problem]:
    """Return a problem for each place in the specs that names what cannot be imported.

    Each module is imported in a task of its own, so that one which crashes the process takes no other along.
    """
    names: dict[tuple[Path, str], set[str]] = defaultdict(set)
    for case in specs.cases:
        for name in names_to_import(case.target).values():
            names[case.target.folder, name.partition(":")[0]].add(name)
    tasks = [(tuple(sorted(found)), folder) for (folder, _), found in names.items()]
    wrong: dict[tuple[Path, str], str] = {}
    for position, outcome in map_tasks(import_problems, tasks):
        functions, folder = tasks[position]
        if isinstance(outcome, Lost):
            module = functions[0].partition(":")[0]
            outcome = dict.fromkeys(functions, f"importing '{module}' {outcome.cause}")
        wrong |= {(folder, name): message for name, message in outcome.items()}
    return [
        Problem(specs.locate(case, path), f"{'.'.join(path[:2])}: {wrong[case.target.folder, name]}")
        for case in specs.cases
        for path, name in names_to_import(case.target).items()
        if (case.target.folder, name) in wrong
    ]
