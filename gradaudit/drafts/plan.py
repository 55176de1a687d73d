"""From source files and packages, as they are, to the cases that audit every backward pass found in them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradaudit.coverage.discover import discover
from gradaudit.coverage.passes import BackwardPass, Discovery
from gradaudit.coverage.pattern_passes import compiled_patterns
from gradaudit.drafts.draft import Drafted, draft, uncalled
from gradaudit.engine.executor import Executor, InProcess, Lost, Task
from gradaudit.engine.pool import workers
from gradaudit.engine.run import cores
from gradaudit.spec.case import Case, Location
from gradaudit.spec.errors import Problem, SpecError
from gradaudit.spec.expand import Overrides
from gradaudit.spec.load import Specs

SECONDS = 60.0
"""How long the drafting of one backward pass may take."""


@dataclass(frozen=True)
class Plan:
    """What was found in sources: what is drafted of each backward pass, and the files that could not be searched."""

    drafts: tuple[Drafted, ...]
    troubles: tuple[str, ...]

    @property
    def cases(self) -> tuple[Case, ...]:
        """All cases, in the order of their files and lines."""
        return tuple(case for drafted in self.drafts for case in drafted.cases)


def plan_of(
    sources: Sequence[Path],
    *,
    ignore: Sequence[str] = (),
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Plan:
    """Find the backward passes of sources, and draft the cases of each in worker processes.

    Args:
        sources: files and folders.
        ignore: patterns of file paths, and of names of backward passes, that are passed over.
        jobs: worker processes; None for one for each core, 0 for none.
        progress: called with how many passes are drafted, and of how many.

    Raises:
        SpecError: where there are none.

    """
    found = discover(sources, compiled_patterns({}), ignore)
    if not found.passes:
        said = f"holds no specs, and no backward pass was found in its sources ({found.files} searched)"
        raise SpecError([Problem(Location(source, 1, 1), said) for source in sources])
    tasks = list(_tasks(found, sources))
    count = min(cores() if jobs is None else jobs, max(1, len(tasks)))
    place: AbstractContextManager[Executor] = workers(count, SECONDS) if count else nullcontext(InProcess())
    drafts: dict[int, Drafted] = {}
    with place as pool:
        for position, outcome in pool.map(draft, [Task(task) for task in tasks]):
            one, _, _, op = tasks[position]
            drafts[position] = uncalled(one, op, outcome.cause) if isinstance(outcome, Lost) else outcome
            progress(len(drafts), len(tasks))
    return Plan(tuple(drafts[k] for k in sorted(drafts)), tuple(str(trouble) for trouble in found.troubles))


def _tasks(found: Discovery, sources: Sequence[Path]) -> Iterator[tuple[BackwardPass, Path, Path, str]]:
    homes = [source.resolve() if source.is_dir() else source.resolve().parent for source in sources]
    for one, op in zip(found.passes, names_of(found.passes), strict=True):
        file = one.file.resolve()
        home = next((home for home in homes if file.is_relative_to(home)), file.parent)
        here = Path.cwd().resolve()
        yield one, file, here if home.is_relative_to(here) else home, op


def names_of(passes: Iterable[BackwardPass]) -> list[str]:
    """Return names for reports that no two backward passes share: their ops', else with class or file before them."""
    passes = list(passes)
    plain = [_word(one.op) for one in passes]
    by_owner = [_word(one.name) if Counter(plain)[op] > 1 else op for one, op in zip(passes, plain, strict=True)]
    by_file = [
        _word(f"{one.file.stem}.{one.name}") if Counter(by_owner)[op] > 1 else op
        for one, op in zip(passes, by_owner, strict=True)
    ]
    return [
        f"{_word('.'.join(one.file.with_suffix('').parts))}.{one.line}" if Counter(by_file)[op] > 1 else op
        for one, op in zip(passes, by_file, strict=True)
    ]


def _word(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("_.") or "op"


def with_drafts(specs: Specs, plan: Plan, overrides: Overrides) -> Specs:
    """Return specs with the cases of a plan, as the command line wants them."""
    return replace(specs, cases=(*specs.cases, *(each for case in plan.cases for each in _overridden(case, overrides))))


def _overridden(case: Case, overrides: Overrides) -> Iterator[Case]:
    changes: dict[str, Any] = {}
    if overrides.seed is not None:
        changes["seed"] = overrides.seed
    changes |= {"seeds": overrides.seeds, "repeat": overrides.repeat}
    if overrides.method is not None:
        changes["method"] = overrides.method
    changes["budget"] = overrides.budget or overrides.usual_budget
    for dtype in overrides.dtypes or (case.dtype,):
        inputs = tuple(replace(one, dtype=dtype) if one.dtype == case.dtype else one for one in case.inputs)
        tolerance = overrides.tolerances.get(dtype, case.tolerance)
        yield replace(case, **changes, dtype=dtype, inputs=inputs, tolerance=tolerance)
