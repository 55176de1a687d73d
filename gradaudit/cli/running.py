"""What ``gradaudit run`` does, from its options to its exit status."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gradaudit.cli.ending import (
    EXIT_INTERRUPTED,
    EXIT_UNEXPECTED,
    leave,
    leave_interrupted,
    leave_with_problems,
    one_interrupt,
)

if TYPE_CHECKING:
    from rich.console import Console

    from gradaudit.audit.conclusion import Audit
    from gradaudit.cli.recording import Recording
    from gradaudit.drafts.plan import Plan
    from gradaudit.engine.events import Event, Handler
    from gradaudit.report.record import Recorder
    from gradaudit.spec.case import Case, Method
    from gradaudit.spec.expand import Overrides
    from gradaudit.spec.load import Specs
    from gradaudit.spec.project import Project


@dataclass(frozen=True)
class RunOptions:
    """The options of the command, by the names of its parameters, which say what they mean."""

    paths: tuple[Path, ...] = ()
    specs: tuple[Path, ...] = ()
    select: str | None = None
    jobs: int | None = None
    dtype: tuple[str, ...] | None = None
    seed: int | None = None
    seeds: str | None = None
    repeat: int = 0
    relations: bool = False
    method: str | None = None
    table: bool = False
    budget: int | None = None
    timeout: float | None = None
    json: str | None = None
    junit: str | None = None
    sarif: str | None = None
    badge: str | None = None
    html: str | None = None
    report: tuple[str, ...] = ()
    store: Path | None = None
    no_store: bool = False
    resume: bool = False
    stale: bool = False
    changed: bool = False
    since: str | None = None
    watching: bool = False
    allow: tuple[str, ...] | None = None
    baseline: Path | None = None
    update_baseline: bool = False
    shard: str | None = None
    dask: str | None = None
    upload: bool = False
    split: float | None = None
    depth: bool = False
    max_rows: int = 10
    format: str = "terminal"
    quiet: bool = False
    verbose: bool = False
    repair: bool = False
    allow_inconclusive: bool = False

    @property
    def where(self) -> list[Path]:
        """The specs and sources that were named."""
        return [*self.paths, *self.specs]


def run_audits(options: RunOptions, began: float | None = None) -> None:
    """Audit, report, record and exit as the options say.

    Args:
        options: those of the command.
        began: when the command began, as ``time.perf_counter`` tells; None for now.

    Raises:
        ExtensionError: where what another package adds cannot be used.

    """
    if options.watching:
        from gradaudit.cli.watch import watch

        watch(options.where, recorded=not options.no_store)

    began = time.perf_counter() if began is None else began
    _prepare(options.jobs)
    from gradaudit.cli.baseline import judged_by, known_failures, written_anew
    from gradaudit.cli.recording import recording_of, without_what_is_known
    from gradaudit.cli.sharing import elsewhere, leaving_unable, shared, taken_apart
    from gradaudit.cli.written import reports_asked, summaries, written
    from gradaudit.depth.trace import NoTracerError
    from gradaudit.engine.run import DEFAULT_TIMEOUT, run_specs
    from gradaudit.report.console import open_console, without_commands
    from gradaudit.report.files import UnwritableError
    from gradaudit.report.tally import Tally
    from gradaudit.report.terminal import TerminalReport
    from gradaudit.spec.errors import SpecError
    from gradaudit.spec.expand import Overrides
    from gradaudit.spec.load import selected
    from gradaudit.spec.select import SelectionError, parse_selection

    project, unknown = _project(specs_given=bool(options.where))
    seed, several = _seeds(options.seed, options.seeds)
    overrides = Overrides(
        dtypes=options.dtype,
        seed=seed,
        seeds=several,
        repeat=options.repeat,
        relations=options.relations,
        method=_method(options.method, table=options.table),
        budget=options.budget,
        tolerances=project.tolerances,
        usual_budget=project.budget,
        allow=options.allow or project.allow,
    )
    annotated = options.format == "github"
    tally = Tally()
    known_in = options.baseline or project.baseline
    known = known_failures(known_in, update=options.update_baseline)
    try:
        asked = reports_asked(
            options.report,
            json=options.json,
            junit=options.junit,
            sarif=options.sarif,
            badge=options.badge,
            html=options.html,
        )
        where = options.where or list(project.specs)
        loaded, plan = _loaded(where, overrides, project, options.jobs)
        if options.select is not None:
            loaded = selected(loaded, parse_selection(options.select))
        if partial := options.changed or options.since is not None:
            loaded = _changed(loaded, where, project, options.since, overrides)
        console = open_console(stderr="-" in asked.values())
        github = _annotations(console, allow_inconclusive=options.allow_inconclusive) if annotated else []
        tame = without_commands(console) if github else console
        terminal = TerminalReport(tame, max_rows=options.max_rows, quiet=options.quiet, verbose=options.verbose)
        shown: list[Handler] = [terminal, *github]
        with one_interrupt(), leaving_unable():
            pages = summaries() if annotated else []
            narrowed = partial or options.select is not None or options.dtype is not None
            whole = not narrowed and _are_all(where, project)
            partly = options.stale or options.shard is not None or not whole
            recording = (
                None if options.no_store else recording_of(loaded, project, where, options.store, narrowed=partly)
            )
            files = written(asked, loaded.cases, _taken(where, loaded, known_in, recording), overrides.allow)
            recorders = [recording.recorder] if recording else []
            terminal.kept_in = recording.kept_in if recording else ""
            updates = written_anew(known, known_in, whole=not partly) if options.update_baseline else []
            reports = _each([tally, *shown, *files, *pages])
            emit = _each([*recorders, *updates, reports if updates else judged_by(reports, known, known_in)])
            loaded = shared(loaded, options.shard, recording, emit)
            searching = _repairing(emit, loaded, options.jobs) if options.repair else emit
            heard, audit = _auditing(searching, loaded, project, depth=options.depth)
            loaded, recalled = without_what_is_known(
                loaded, recording, emit, resume=options.resume, stale=options.stale, depth=options.depth
            )
            cluster = elsewhere(options.dask, options.timeout or DEFAULT_TIMEOUT, options.jobs, upload=options.upload)
            gc.freeze()  # what has been imported and loaded stays: the collector need not go through it again and again
            try:
                run_specs(
                    loaded,
                    heard,
                    jobs=options.jobs,
                    timeout=options.timeout,
                    audit=audit,
                    recalled=recalled,
                    began=began,
                    elsewhere=cluster,
                    apart=taken_apart(loaded, options.split, recording),
                )
            finally:
                _tell_what_was_not_recorded(unknown, recorders)
            _tell_what_was_guessed(None if options.quiet else plan, console)
    except SpecError as error:
        leave_with_problems(error.problems, annotated=annotated)
    except (SelectionError, UnwritableError, NoTracerError) as error:
        leave(str(error))
    except KeyboardInterrupt:
        leave_interrupted(reported=tally.finished is not None)
    for said in (*(update.said for update in updates), *(page.problem for page in pages if page.problem)):
        print(said, file=sys.stderr)
    if tally.finished and tally.finished.interrupted:
        sys.exit(EXIT_INTERRUPTED)
    if not updates and not tally.as_expected(allow_inconclusive=options.allow_inconclusive):
        sys.exit(EXIT_UNEXPECTED)


def _seeds(seed: int | None, seeds: str | None) -> tuple[int | None, tuple[int, ...]]:
    """Return the seed that is drawn with first, None for the specs' own, and all where they are several."""
    if seeds is None:
        return seed, ()
    if seed is not None:
        leave(f"--seed draws with one seed, --seeds with several; found --seed {seed} and --seeds {seeds}")
    from gradaudit.spec.seeds import NoSeedsError, parse_seeds

    try:
        several = parse_seeds(seeds)
    except NoSeedsError as error:
        leave(f"--seeds: {error}")
    return several[0], several if len(several) > 1 else ()


def _method(asked: str | None, *, table: bool) -> Method | None:
    """Return how wrong indices are looked for, whatever the specs say; None for as they say."""
    if table and asked not in (None, "exhaustive"):
        leave(f"--table is --method exhaustive; found --method {asked}")
    return "exhaustive" if table else asked  # type: ignore[return-value]


def _loaded(where: list[Path], overrides: Overrides, project: Project, jobs: int | None) -> tuple[Specs, Plan | None]:
    """Return the specs at some paths, and what is drafted of the backward passes in those that are sources."""
    from gradaudit.spec.load import Specs, is_source, load_specs

    sources = [path for path in where if is_source(path)]
    specs = [path for path in where if path not in sources]
    loaded = load_specs(specs, overrides) if specs else Specs((), {})
    if not sources:
        return loaded, None
    if overrides.allow is not None:
        leave(f"{sources[0]} is not a spec: with a list of allowed modules, only specs can be audited")
    from gradaudit.drafts.plan import plan_of, with_drafts

    plan = plan_of(sources, ignore=project.ignore, jobs=jobs)
    return with_drafts(loaded, plan, overrides), plan


def _annotations(console: Console, *, allow_inconclusive: bool) -> list[Handler]:
    from gradaudit.report.github import GithubReport

    return [GithubReport(console, allow_inconclusive=allow_inconclusive)]


def _tell_what_was_guessed(plan: Plan | None, console: Console) -> None:
    if plan is None:
        return
    console.print("\nGuessed calls, since no spec names them (gradaudit init PATH writes specs):", style="bold")
    for drafted in plan.drafts:
        shapes = ", ".join(f"{one.name} {list(one.shape)}" for case in drafted.cases[:1] for one in case.inputs)
        said = f"  {drafted.found.place}  {drafted.said}" + (f"; {shapes}" if shapes else "")
        console.print(said, soft_wrap=True, markup=False)
    for trouble in plan.troubles:
        console.print(f"  not searched: {trouble}", soft_wrap=True, markup=False)


def _prepare(jobs: int | None) -> None:
    """Begin with worker processes."""
    if jobs != 0:  # what worker processes are made from imports on its own while the specs are read here
        from gradaudit.engine.pool import prepare

        prepare()


def _project(*, specs_given: bool) -> tuple[Project, str]:
    """Return the project's settings; where specs are given, mistakes in them keep the run from being recorded only."""
    from gradaudit.spec.errors import SpecError
    from gradaudit.spec.project import Project, find_project

    try:
        return find_project(Path.cwd()), ""
    except SpecError as error:
        if not specs_given:
            leave_with_problems(error.problems)
        return Project(), str(error.problems[0])


def _changed(loaded: Specs, where: list[Path], project: Project, since: str | None, overrides: Overrides) -> Specs:
    """Return those of the specs that differ from a commit's, and say how many."""
    from gradaudit.coverage.changed import changed
    from gradaudit.coverage.earlier import NoCommitError, earlier
    from gradaudit.spec.load import is_source

    specs = [path for path in where if not is_source(path)]
    try:
        with earlier(Path.cwd(), since) as before:
            left = changed(loaded, specs, (Path.cwd(), (project.folder or Path()).resolve()), before, overrides)
    except NoCommitError as error:
        leave(f"{'--changed' if since is None else '--since'}: {error}")
    ops, of = ({case.op for case in each.cases} for each in (left, loaded))
    than = f"commit {before.commit[:9]}" if before.commit else "the last commit: there is none yet"
    print(f"{len(ops):,} of {len(of):,} ops differ from {than}", file=sys.stderr)
    return left


def _are_all(where: list[Path], project: Project) -> bool:
    """Whether these are all the specs that the project has."""
    return {path.resolve() for path in where} == {path.resolve() for path in project.specs}


def _taken(
    where: list[Path], loaded: Specs, baseline: Path | None, recording: Recording | None
) -> dict[str, list[Path | None]]:
    """Return the files that a run reads or records in, by what they are: no report may take their place."""
    return {
        "what is audited": [*where, *(document.file for document in loaded.documents.values())],
        "the baseline": [baseline],
        "the store": [recording.path if recording else None],
    }


def _each(handlers: Sequence[Handler]) -> Handler:
    """Return a handler that hands events to several, in their order; an event reaches all of them.

    An interrupt waits till then, and a report that cannot be written keeps no other from being.
    """
    from gradaudit.engine.interrupt import held
    from gradaudit.report.files import UnwritableError

    def emit(event: Event) -> None:
        unwritable = []
        with held():
            for handler in handlers:
                try:
                    handler(event)
                except UnwritableError as error:
                    unwritable.append(error)
        if unwritable:
            raise unwritable[0]

    return emit


def _repairing(emit: Handler, loaded: Specs, jobs: int | None) -> Handler:
    from gradaudit.repair.repairing import Repairing

    return Repairing(emit, loaded.cases, jobs=jobs)


def _auditing(
    emit: Handler, loaded: Specs, project: Project, *, depth: bool
) -> tuple[Handler, Callable[[Case], Audit]]:
    """Return what hears the events, and how cases are audited: for depth, what they execute is noted and measured."""
    from gradaudit.engine.audit import audit_case

    if not depth:
        return emit, audit_case
    from functools import partial

    from gradaudit.depth.implementation import implementations
    from gradaudit.depth.measure import DepthMeter
    from gradaudit.depth.trace import audit_traced, require_tracer

    require_tracer()
    home = (project.folder or Path()).resolve()
    found = implementations(loaded.cases, (Path.cwd(), home))
    files = sorted({function.file for functions in found.values() for function in functions})
    return DepthMeter(emit, loaded.cases, found, home), partial(audit_traced, files)


def _tell_what_was_not_recorded(unknown: str, recorders: list[Recorder]) -> None:
    for problem in filter(None, [unknown, *(recorder.problem for recorder in recorders)]):
        print(f"Not recorded: {problem}", file=sys.stderr)
