"""Where a run is recorded, and what it need not do because it was recorded before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gradaudit.audit.conclusion import Audit
from gradaudit.cli.ending import leave
from gradaudit.cli.settings import store_of_folder
from gradaudit.coverage.fingerprint import provenances, states
from gradaudit.engine.events import CasesRecalled, Handler
from gradaudit.report.record import Recorder
from gradaudit.source.reach import reach_finder
from gradaudit.spec.case import Case
from gradaudit.spec.load import Specs
from gradaudit.spec.project import Project
from gradaudit.store.circumstances import current_circumstances
from gradaudit.store.recall import CaseKey, Recalled, recall
from gradaudit.store.records import Circumstances, Provenance
from gradaudit.store.schema import StoreError, open_to_read


@dataclass(frozen=True)
class Recording:
    """Where a run is recorded.

    Attributes:
        path: the file.
        kept_in: the same, where neither the user nor the project named it; else empty.
        recorder: what records.
        circumstances: what the run is made with.
        about: what the results of each case are about, by its id.

    """

    path: Path
    kept_in: str
    recorder: Recorder
    circumstances: Circumstances
    about: Mapping[str, Provenance]


def recording_of(
    loaded: Specs, project: Project, where: list[Path], store: Path | None, *, narrowed: bool
) -> Recording:
    """Return where a run of specs is recorded.

    In a file that was asked for; in the project's where the specs are its own; else in the user's cache.

    Args:
        loaded: the specs.
        project: the settings of the project.
        where: the paths of the specs.
        store: the file that was asked for.
        narrowed: whether the run leaves cases of the project's out by choice.

    """
    home = (project.folder or Path()).resolve()
    is_project_s = project.folder is not None and all(path.resolve().is_relative_to(home) for path in where)
    circumstances = current_circumstances(home, narrowed=narrowed)
    about = provenances(loaded.cases, reach_finder((Path.cwd(), home)))
    path = store or (project.store if is_project_s else store_of_folder())
    recorder = Recorder(path, circumstances, about, states(loaded.cases, about))
    return Recording(path, "" if store or is_project_s else str(path), recorder, circumstances, about)


def without_what_is_known(
    loaded: Specs, recording: Recording | None, emit: Handler, *, resume: bool, stale: bool, depth: bool
) -> tuple[Specs, dict[str, Audit]]:
    """Return the specs that are to be told of, and by id the audits that were made of their cases before.

    Args:
        loaded: the specs.
        recording: where the run is recorded.
        emit: told how many cases need no audit.
        resume: tell of what is recorded and has not changed without auditing it again.
        stale: leave out what is recorded, has not changed, and ended as expected.
        depth: whether what each case executes is to be noted, which is not recorded.

    """
    if not (resume or stale):
        return loaded, {}
    if resume and stale:
        leave("--resume reports everything, --stale only what has changed; found both")
    if depth:
        leave(f"--depth needs every case to be audited; found {'--resume' if resume else '--stale'}")
    if recording is None:
        leave(f"{'--resume' if resume else '--stale'} needs recorded results; found --no-store")
    known = _known(loaded.cases, recording)
    if resume:
        emit(CasesRecalled(len(known), reported=True))
        return loaded, {id_: Audit(one.results, one.check_evaluations) for id_, one in known.items()}
    settled = {id_ for id_, one in known.items() if one.as_expected}
    emit(CasesRecalled(len(settled), reported=False))
    return replace(loaded, cases=tuple(case for case in loaded.cases if case.id not in settled)), {}


def _known(cases: tuple[Case, ...], recording: Recording) -> dict[str, Recalled]:
    if not recording.path.exists():
        return {}
    wanted: dict[CaseKey, Provenance] = {_key(case): recording.about[case.id] for case in cases}
    try:
        with open_to_read(recording.path) as connection:
            found = recall(connection, wanted, recording.circumstances.versions)
    except StoreError as error:
        leave(str(error))
    return {case.id: _where_it_stands_now(found[_key(case)], case) for case in cases if _key(case) in found}


def _where_it_stands_now(known: Recalled, case: Case) -> Recalled:
    place = f"{case.location.file}:{case.location.line}"
    return replace(known, results=tuple(replace(result, location=place) for result in known.results))


def _key(case: Case) -> CaseKey:
    return case.op, case.name, case.dtype
