"""The whole way from a project's settings to its coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gradaudit.coverage.assess import Needs, assess
from gradaudit.coverage.discover import discover
from gradaudit.coverage.fingerprint import provenances
from gradaudit.coverage.match import match_passes
from gradaudit.coverage.model import Coverage
from gradaudit.coverage.passes import Progress
from gradaudit.coverage.pattern_passes import compiled_patterns
from gradaudit.source.reach import reach_finder
from gradaudit.spec.expand import Overrides
from gradaudit.spec.level import ABOVE_UNIT, Level, level_of
from gradaudit.spec.load import load_specs
from gradaudit.spec.project import Project
from gradaudit.store.read import latest_depths, latest_mutations, latest_records
from gradaudit.store.records import Recorded
from gradaudit.store.schema import open_to_read


def survey(
    project: Project, *, sources: Sequence[Path], specs: Sequence[Path], store: Path, needs: Needs, progress: Progress
) -> Coverage:
    """Return the coverage of a project: its backward passes, which specs audit them, and what was recorded of those.

    Specs that are not there are none; a store that is not there holds nothing. ``needs`` says which framework a target
    lacks here.

    Raises:
        FileNotFoundError: where a source does not exist.
        PatternError: where a pattern of the project cannot be used.
        SpecError: where a spec is wrong.
        StoreError: where the store cannot be read.

    """
    home = (project.folder or Path()).resolve()
    find = reach_finder((Path.cwd(), home))
    patterns = compiled_patterns(project.patterns)
    there = [path for path in specs if path.exists() or path not in project.specs]
    cases = load_specs(there, Overrides(tolerances=project.tolerances, allow=project.allow)).cases if there else ()
    found = discover(sources, patterns, project.ignore, home, progress)
    matching = {
        level: match_passes(found.passes, [case for case in cases if level_of(case.target) is level], find, home)
        for level in Level
    }
    in_models = {level: matching[level] for level in ABOVE_UNIT}
    about = provenances(cases, find)
    return assess(found, matching[Level.UNIT], in_models, cases, about, _recorded(store), needs, home)


def _recorded(store: Path) -> Recorded:
    if not store.exists():
        return Recorded()
    with open_to_read(store) as connection:
        return Recorded(latest_records(connection), latest_depths(connection), latest_mutations(connection))
