"""``gradaudit record``: specs from what a script does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradaudit.cli.ending import leave

if TYPE_CHECKING:
    from gradaudit.record.calls import Recording
    from gradaudit.record.drafting import Drafted


def record(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="What to run: python train.py --epochs 1")],
    output: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Where to write.", show_default="among the project's specs"),
    ] = None,
) -> None:
    """Run a script, and write specs from the calls of its backward passes.

    A few calls of each forward, backward and layer are kept while the script runs. Each becomes a spec: one case has
    the script's own values, in a file beside it, and another has values and sizes of its own. Passes that were not
    called, or do not run again, are listed and not written. No file is overwritten. Exits with 2 if nothing can be
    recorded, and with 1 if the script failed, or a pass that was called could not be written.
    """
    from gradaudit.cli.settings import project_settings
    from gradaudit.record.run import NotRecordedError, drafts_of, run_watched

    project = project_settings()
    specs = project.specs[0] if project.specs else Path("specs")
    folder = Path(output) if output else specs if specs.suffix not in (".yaml", ".yml") else specs.parent
    try:
        ran = run_watched(command)
    except NotRecordedError as error:
        leave(str(error))
    drafts = drafts_of(ran.recording)
    if ran.status:
        typer.echo(f"the script ended with exit status {ran.status}; the calls recorded until then are used", err=True)
    if not drafts:
        leave("no backward pass was found in the modules that the script imported")
    left = _written(drafts, folder, (project.folder or Path()).resolve())
    _told(ran.recording)
    if left or ran.status:
        raise typer.Exit(1)


def _written(drafts: list[Drafted], folder: Path, home: Path) -> int:
    """Write the specs of drafts; return how many passes were called and have none."""
    from gradaudit.drafts.written import UnwritableDraftError
    from gradaudit.record.written import write_specs
    from gradaudit.report.files import UnwritableError

    left = 0
    for drafted in drafts:
        try:
            for spec in write_specs(drafted, folder, home):
                typer.echo(f"wrote {spec}: {'; '.join((drafted.said, *drafted.remarks))}")
        except (UnwritableDraftError, UnwritableError) as error:
            left += 1
            typer.echo(f"not written: {drafted.place} {drafted.name}: {error}", err=True)
        if drafted.was_called and not drafted.groups:
            left += 1
            typer.echo(f"not written: {drafted.place} {drafted.name}: {drafted.said}", err=True)
    if idle := [f"{drafted.name} ({drafted.place})" for drafted in drafts if not drafted.was_called]:
        typer.echo(f"not called: {', '.join(idle)}", err=True)
    return left


def _told(recording: Recording) -> None:
    for trouble in recording.troubles:
        typer.echo(f"not watched: {trouble}", err=True)
    share = recording.spent / max(recording.seconds, 1e-9)
    typer.echo(f"the script took {recording.seconds:.2f} s, {share:.0%} of it for recording; audit with: gradaudit run")
