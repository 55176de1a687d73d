"""Which cases a change bears on: those whose spec, or whose op with all that it reaches, differs from a commit's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gradaudit.coverage.earlier import Earlier
from gradaudit.coverage.fingerprint import functions_of, hash_case, source_hasher
from gradaudit.source.reach import reach_finder
from gradaudit.spec.case import Case
from gradaudit.spec.errors import SpecError
from gradaudit.spec.expand import Overrides
from gradaudit.spec.load import SUFFIXES, Specs, load_specs


def changed(
    specs: Specs, where: Sequence[Path], folders: Sequence[Path], before: Earlier, overrides: Overrides
) -> Specs:
    """Return the specs with those cases only that differ from a commit's, or did not exist there.

    Comments, docstrings and what an op does not reach are no difference. A case that was drafted from a source differs
    where its op does. Always kept is an op that is no function whose source could be compared, as that of another
    process.

    Args:
        specs: today's.
        where: the paths of specs that they were loaded from.
        folders: where functions are looked up.
        before: the commit's files.
        overrides: what is set over the specs.

    """
    then = _said_then(where, before, overrides)
    source_now = source_hasher(reach_finder(folders))
    source_then = source_hasher(reach_finder([before.seen(folder) for folder in folders]))

    def differs(case: Case) -> bool:
        at_the_commit = replace(case, target=replace(case.target, folder=before.seen(case.target.folder)))
        written = case.location.file.suffix in SUFFIXES
        return (
            not functions_of(case.target)
            or source_now(case) != source_then(at_the_commit)
            or (written and hash_case(case) != then.get(case.id))
        )

    return replace(specs, cases=tuple(filter(differs, specs.cases)))


def _said_then(where: Sequence[Path], before: Earlier, overrides: Overrides) -> Mapping[str, str]:
    """Return the hash of what the commit's specs said of each case; nothing where they could not be loaded."""
    paths = [path for path in map(before.seen, where) if path.exists()]
    try:
        return {case.id: hash_case(case) for case in load_specs(paths, overrides).cases} if paths else {}
    except SpecError:
        return {}
