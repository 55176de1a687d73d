"""``gradaudit mutate``: whether the specs would notice faults in the backwards that they audit."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradaudit.cli.completion import ops as op_names
from gradaudit.cli.ending import EXIT_INTERRUPTED, EXIT_UNEXPECTED, leaving_with_mistakes
from gradaudit.cli.options import A_YEAR, NoStore

if TYPE_CHECKING:
    from gradaudit.mutation.score import Mutation
    from gradaudit.spec.load import Specs
    from gradaudit.spec.project import Project

FormatOption = StrEnum("FormatOption", ["terminal", "json"])


def mutate(
    ops: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OP]...", help="Names of ops; default: all.", show_default=False, autocompletion=op_names
        ),
    ] = None,
    specs: Annotated[
        list[Path] | None, typer.Option(help="Spec files or folders; repeatable.", show_default="the project's")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, help="Worker processes.", show_default="one for each core")
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.001, max=A_YEAR, help="Time limit for each mutant, in seconds.")
    ] = 30.0,
    fail_under: Annotated[
        float, typer.Option(min=0, max=100, metavar="PCT", help="Exit with 1 if the score is below this percentage.")
    ] = 0.0,
    format_: Annotated[FormatOption, typer.Option("--format", help="How to print it.")] = FormatOption.terminal,
    store: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Record the score there.", show_default="the project's")
    ] = None,
    no_store: NoStore = False,
) -> None:
    """Plant faults in backwards, one at a time, in memory, and show those that no case of the spec notices.

    Exits with 0, with 1 where the score is under the bar or an op fails by itself, with 2 where a spec or an option is
    wrong.
    """
    from gradaudit.engine.pool import prepare

    prepare()  # which imports on its own while the specs are read here

    from gradaudit.cli.settings import project_settings
    from gradaudit.spec.expand import Overrides
    from gradaudit.spec.load import load_specs

    project = project_settings()
    with leaving_with_mistakes():
        loaded = _only(
            load_specs(
                specs or list(project.specs),
                Overrides(tolerances=project.tolerances, usual_budget=project.budget, allow=project.allow),
            ),
            ops or [],
        )
        mutation = _mutated(loaded, project, jobs, timeout)
    if not no_store and (store or project.folder):
        _record(mutation, loaded, project, store or project.store)
    _print(mutation, format_)
    if mutation.interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if under := mutation.is_under(fail_under):
        typer.echo(f"the mutation score is below {fail_under:g}%", err=True)
    if under or not mutation.sound:
        raise typer.Exit(EXIT_UNEXPECTED)


def _only(loaded: Specs, names: list[str]) -> Specs:
    """Return what is left of the specs when only some ops are asked for, if any."""
    from dataclasses import replace

    from gradaudit.explain.explain import cases_of

    if not names:
        return loaded
    return replace(loaded, cases=tuple(case for name in dict.fromkeys(names) for case in cases_of(loaded, name).cases))


def _mutated(loaded: Specs, project: Project, jobs: int | None, timeout: float) -> Mutation:
    from gradaudit.mutation.run import mutate_specs
    from gradaudit.report.console import open_console
    from gradaudit.report.mutation import progress_bar

    home = (project.folder or Path()).resolve()
    with progress_bar(open_console(stderr=True)) as bar:
        task = bar.add_task("", total=None, op="")
        return mutate_specs(
            loaded,
            (Path.cwd(), home),
            jobs=jobs,
            timeout=timeout,
            progress=lambda done, total, op: bar.update(task, completed=done, total=total, op=op),
        )


def _record(mutation: Mutation, loaded: Specs, project: Project, path: Path) -> None:
    """Record the score of every op whose mutants were all tried; a store that cannot be written is no failure."""
    import sqlite3

    from gradaudit.coverage.fingerprint import provenances, states
    from gradaudit.source.reach import reach_finder
    from gradaudit.store.records import MutationRecord
    from gradaudit.store.schema import StoreError, open_to_write
    from gradaudit.store.write import add_mutations

    home = (project.folder or Path()).resolve()
    about = states(loaded.cases, provenances(loaded.cases, reach_finder((Path.cwd(), home))))
    try:
        with open_to_write(path) as connection:
            add_mutations(connection, [MutationRecord(op.op, about[op.op], op.counts) for op in mutation.ops])
    except (StoreError, sqlite3.Error) as error:
        typer.echo(f"Not recorded: {error}", err=True)


def _print(mutation: Mutation, format_: FormatOption) -> None:
    from gradaudit.report.console import open_console_for_tables
    from gradaudit.report.mutation import mutation_document, print_mutation

    if format_ is FormatOption.json:
        import json

        typer.echo(json.dumps(mutation_document(mutation), indent=1))
    else:
        print_mutation(mutation, open_console_for_tables())
