"""``gradaudit run``: audit specs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradaudit.cli.ending import (
    EXIT_INTERRUPTED,
    EXIT_UNEXPECTED,
    leave,
    leave_interrupted,
    leave_with_problems,
    one_interrupt,
)
from gradaudit.cli.options import A_YEAR, AllowInconclusive, Dtypes, Html, Json, Junit, MaxRows, NoStore, Quiet, Reports

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

MethodOption = StrEnum("MethodOption", ["auto", "exhaustive", "search"])
FormatOption = StrEnum("FormatOption", ["terminal", "github"])


def run(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Specs, or Python and C sources as they are; default: the project's specs.", show_default=False
        ),
    ] = None,
    specs: Annotated[list[Path] | None, typer.Option("--specs", help="More specs; repeatable.")] = None,
    select: Annotated[
        str | None,
        typer.Option(
            "-k", metavar="EXPR", help="Only cases whose module/op::case\\[dtype] matches: words, and, or, not."
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "-j",
            "--jobs",
            min=0,
            help="Worker processes; 0 audits in this process, without isolation. Default: one per core.",
        ),
    ] = None,
    dtype: Dtypes = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Draw with this seed instead of the specs' own.")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="N-M,...", help="Draw every case with each of these seeds, such as 0-99.")
    ] = None,
    method: Annotated[MethodOption | None, typer.Option(help="How to search for wrong indices.")] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Test every index of every gradient, as --method exhaustive.")
    ] = False,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Limit of forward and backward calls for each gradient.",
            show_default="the specs'",
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001, max=A_YEAR, help="Time limit for each case, in seconds.", show_default="60; any number with -j 0"
        ),
    ] = None,
    json: Json = None,
    junit: Junit = None,
    sarif: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write what fails as SARIF, for code scanning; - is stdout.")
    ] = None,
    badge: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw a badge as .svg, or as .json for a badge service.")
    ] = None,
    html: Html = None,
    report: Reports = None,
    store: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record the results there.", show_default="the project's")
    ] = None,
    no_store: NoStore = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run; report unchanged results as recorded.")
    ] = False,
    stale: Annotated[
        bool, typer.Option("--stale", help="Only what has changed since its last recorded audit, or failed then.")
    ] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only ops whose spec or code differs from the last commit.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(metavar="COMMIT", help="As --changed, compared with where this branch left COMMIT.")
    ] = None,
    watching: Annotated[
        bool, typer.Option("--watch", help="Run, then audit again what each saved file changes, until Ctrl-C.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="Only functions of this module may be named in specs; repeatable."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Known failures, which do not fail the run.", show_default="the project's"),
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write the current failures into the baseline, and exit with 0.")
    ] = False,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Audit the I-th of N shares of the cases; see merge.")
    ] = None,
    dask: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Audit on a Dask cluster; local starts one here.")
    ] = None,
    upload: Annotated[
        bool, typer.Option("--upload", help="With --dask: send the modules below the current folder to the workers.")
    ] = False,
    split: Annotated[
        float | None,
        typer.Option(
            min=0.0, metavar="SECONDS", help="Audit the gradients of a case separately if it last took this long."
        ),
    ] = None,
    depth: Annotated[
        bool, typer.Option("--depth", help="Record which lines and branches of each op the cases execute.")
    ] = False,
    max_rows: MaxRows = 10,
    format: Annotated[  # noqa: A002 (the option's name)
        FormatOption, typer.Option(help="github: also write annotations for GitHub Actions, at backwards and specs.")
    ] = FormatOption.terminal,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show every unexpected gradient in full.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Search for edits of the sources that repair what fails.")
    ] = False,
    allow_inconclusive: AllowInconclusive = False,
) -> None:
    """Audit the gradients of every op that the specs name.

    Exits with 0 where every case ends as its spec expects, 1 where any does not, 2 where a spec or an option is wrong.
    """
    if watching:
        from gradaudit.cli.watch import watch

        watch([*(paths or ()), *(specs or ())], recorded=not no_store)

    began = _began(context, jobs)
    from gradaudit.cli.baseline import judged_by, known_failures, written_anew
    from gradaudit.cli.recording import recording_of, without_what_is_known
    from gradaudit.cli.sharing import elsewhere, leaving_unable, shared, taken_apart
    from gradaudit.cli.written import reports_asked, summaries, written
    from gradaudit.depth.trace import NoTracerError
    from gradaudit.engine.run import DEFAULT_TIMEOUT, run_specs
    from gradaudit.report.console import open_console, without_commands
    from gradaudit.report.files import UnwritableError
    from gradaudit.report.github import GithubReport, annotated_problem
    from gradaudit.report.tally import Tally
    from gradaudit.report.terminal import TerminalReport
    from gradaudit.spec.errors import SpecError
    from gradaudit.spec.expand import Overrides
    from gradaudit.spec.load import selected
    from gradaudit.spec.select import SelectionError, parse_selection

    project, unknown = _project(specs_given=bool(paths or specs))
    seed, several = _seeds(seed, seeds)
    overrides = Overrides(
        dtypes=tuple(str(name) for name in dtype) if dtype else None,
        seed=seed,
        seeds=several,
        method=_method(method, table=table),
        budget=budget,
        tolerances=project.tolerances,
        usual_budget=project.budget,
        allow=tuple(allow) if allow else project.allow,
    )
    tally = Tally()
    known_in = baseline or project.baseline
    known = known_failures(known_in, update=update_baseline)
    try:
        asked = reports_asked(report or (), json=json, junit=junit, sarif=sarif, badge=badge, html=html)
        where = [*(paths or ()), *(specs or ())] or list(project.specs)
        loaded, plan = _loaded(where, overrides, project, jobs)
        if select is not None:
            loaded = selected(loaded, parse_selection(select))
        if partial := changed or since is not None:
            loaded = _changed(loaded, where, project, since, overrides)
        console = open_console(stderr="-" in asked.values())
        github = [GithubReport(console, allow_inconclusive=allow_inconclusive)] if format is FormatOption.github else []
        tame = without_commands(console) if github else console
        terminal = TerminalReport(tame, max_rows=max_rows, quiet=quiet, verbose=verbose)
        shown: list[Handler] = [terminal, *github]
        with one_interrupt(), leaving_unable():
            pages = summaries() if format is FormatOption.github else []
            narrowed = partial or select is not None or dtype is not None
            whole = not narrowed and _are_all(where, project)
            partly = stale or shard is not None or not whole
            recording = None if no_store else recording_of(loaded, project, where, store, narrowed=partly)
            files = written(asked, loaded.cases, _taken(where, loaded, known_in, recording), overrides.allow)
            recorders = [recording.recorder] if recording else []
            terminal.kept_in = recording.kept_in if recording else ""
            updates = written_anew(known, known_in, whole=not partly) if update_baseline else []
            reports = _each([tally, *shown, *files, *pages])
            emit = _each([*recorders, *updates, reports if updates else judged_by(reports, known, known_in)])
            loaded = shared(loaded, shard, recording, emit)
            searching = _repairing(emit, loaded, jobs) if repair else emit
            heard, audit = _auditing(searching, loaded, project, depth=depth)
            loaded, recalled = without_what_is_known(loaded, recording, emit, resume=resume, stale=stale, depth=depth)
            cluster = elsewhere(dask, timeout or DEFAULT_TIMEOUT, jobs, upload=upload)
            try:
                run_specs(
                    loaded,
                    heard,
                    jobs=jobs,
                    timeout=timeout,
                    audit=audit,
                    recalled=recalled,
                    began=began,
                    elsewhere=cluster,
                    apart=taken_apart(loaded, split, recording),
                )
            finally:
                _tell_what_was_not_recorded(unknown, recorders)
            _tell_what_was_guessed(None if quiet else plan, console)
    except SpecError as error:
        leave_with_problems(error.problems, str if format is FormatOption.terminal else annotated_problem)
    except (SelectionError, UnwritableError, NoTracerError) as error:
        leave(str(error))
    except KeyboardInterrupt:
        leave_interrupted(reported=tally.finished is not None)
    for said in (*(update.said for update in updates), *(page.problem for page in pages if page.problem)):
        typer.echo(said, err=True)
    if tally.finished and tally.finished.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if not updates and not tally.as_expected(allow_inconclusive=allow_inconclusive):
        raise typer.Exit(EXIT_UNEXPECTED)


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


def _method(asked: MethodOption | None, *, table: bool) -> Method | None:
    """Return how wrong indices are looked for, whatever the specs say; None for as they say."""
    if table and asked not in (None, MethodOption.exhaustive):
        leave(f"--table is --method exhaustive; found --method {asked}")
    return "exhaustive" if table else (str(asked) if asked else None)  # type: ignore[return-value]


def _loaded(where: list[Path], overrides: Overrides, project: Project, jobs: int | None) -> tuple[Specs, Plan | None]:
    """Return the specs at some paths, and what is drafted of the backward passes in those that are sources."""
    from gradaudit.drafts.plan import is_source, plan_of, with_drafts
    from gradaudit.spec.load import Specs, load_specs

    sources = [path for path in where if is_source(path)]
    specs = [path for path in where if path not in sources]
    loaded = load_specs(specs, overrides) if specs else Specs((), {})
    if not sources:
        return loaded, None
    if overrides.allow is not None:
        leave(f"{sources[0]} is not a spec: with a list of allowed modules, only specs can be audited")
    plan = plan_of(sources, ignore=project.ignore, jobs=jobs)
    return with_drafts(loaded, plan, overrides), plan


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


def _began(context: typer.Context, jobs: int | None) -> float:
    """Return when the command began, as ``time.perf_counter`` tells: with what is imported before this is called."""
    import time

    if jobs != 0:  # what worker processes are made from imports on its own while the specs are read here
        from gradaudit.engine.pool import prepare

        prepare()
    return context.obj if isinstance(context.obj, float) else time.perf_counter()


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
    from gradaudit.drafts.plan import is_source

    specs = [path for path in where if not is_source(path)]
    try:
        with earlier(Path.cwd(), since) as before:
            left = changed(loaded, specs, (Path.cwd(), (project.folder or Path()).resolve()), before, overrides)
    except NoCommitError as error:
        leave(f"{'--changed' if since is None else '--since'}: {error}")
    ops, of = ({case.op for case in each.cases} for each in (left, loaded))
    than = f"commit {before.commit[:9]}" if before.commit else "the last commit: there is none yet"
    typer.echo(f"{len(ops):,} of {len(of):,} ops differ from {than}", err=True)
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
        typer.echo(f"Not recorded: {problem}", err=True)
