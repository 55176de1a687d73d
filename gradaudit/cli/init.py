"""``gradaudit init``: specs to start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradaudit.cli.ending import leave

if TYPE_CHECKING:
    from gradaudit.spec.project import Project


def init(
    target: Annotated[
        str,
        typer.Argument(help="Sources; or one pass or its forward, as module:function or file:line."),
    ],
    output: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Where to write; - is stdout.", show_default="among the project's specs"),
    ] = None,
) -> None:
    """Write specs to start from.

    Of a file or a folder: one for every backward pass that can be called, guessed and tried as 'gradaudit run' does.
    Of one pass: its spec, drafted from the signatures where no guess fits. No file is overwritten. Exits with 2 where
    there is no backward pass, and with 1 where no spec could be written for some.
    """
    from gradaudit.cli.settings import project_settings

    project = project_settings()
    if Path(target).exists():
        _all_of(Path(target), Path(output) if output else _specs(project), project)
    else:
        _one(target, output, project)


def _all_of(source: Path, folder: Path, project: Project) -> None:
    from gradaudit.drafts.plan import plan_of
    from gradaudit.drafts.written import UnwritableDraftError, spec_text
    from gradaudit.report.files import AtomicFile, UnwritableError
    from gradaudit.spec.errors import SpecError
    from gradaudit.spec.modeline import modeline

    try:
        plan = plan_of([source], ignore=project.ignore)
    except SpecError as error:
        leave(str(error.problems[0]))
    left, home = 0, (project.folder or Path()).resolve()
    for drafted in plan.drafts:
        place = folder / drafted.cases[0].module / f"{drafted.cases[0].op}.yaml"
        try:
            text = spec_text(drafted, place.parent)
            if place.exists():
                raise UnwritableDraftError(f"{place} exists already")
            AtomicFile(str(place)).write(modeline(place, home) + text)
            typer.echo(f"wrote {place}: {drafted.said}")
        except (UnwritableDraftError, UnwritableError) as error:
            left += 1
            typer.echo(f"not written: {drafted.found.place} {drafted.found.name}: {error}", err=True)
    for trouble in plan.troubles:
        typer.echo(f"not searched: {trouble}", err=True)
    if left:
        raise typer.Exit(1)


def _one(target: str, output: str | None, project: Project) -> None:
    from gradaudit.coverage.draft import draft_spec
    from gradaudit.coverage.pattern_passes import PatternError, compiled_patterns
    from gradaudit.coverage.point_out import NoSuchPassError, pointed_out
    from gradaudit.report.files import AtomicFile, UnwritableError
    from gradaudit.spec.modeline import modeline

    home = (project.folder or Path()).resolve()
    try:
        one, file = pointed_out(target, (Path.cwd(), home), compiled_patterns(project.patterns), home)
        draft = draft_spec(one, file, (Path.cwd(), home))
        place = output or str(_specs(project) / file.stem / f"{draft.op}.yaml")
        if place != "-" and Path(place).exists():
            leave(f"{place} exists already; name another file with --output")
        AtomicFile(place).write(("" if place == "-" else modeline(Path(place), home)) + draft.text)
    except (NoSuchPassError, PatternError, UnwritableError) as error:
        leave(str(error))
    if place != "-":
        typer.echo(f"wrote {place}; to be filled in: {'; '.join(draft.open_points)}")


def _specs(project: Project) -> Path:
    specs = project.specs[0] if project.specs else Path("specs")
    return specs if specs.suffix not in (".yaml", ".yml") else specs.parent
