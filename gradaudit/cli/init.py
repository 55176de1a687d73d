"""``gradaudit init``: a spec to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gradaudit.cli.ending import leave


def init(
    target: Annotated[str, typer.Argument(help="module:function of a backward pass or its forward, or its file:line.")],
    output: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where to write it; - is stdout.", show_default="among the project's specs"),
    ] = None,
) -> None:
    """Write a spec to start from, drafted from the signatures of an op's forward and backward.

    Nothing is imported, and no file is overwritten. Exits with 2 where there is no such backward pass.
    """
    from gradaudit.cli.settings import project_settings
    from gradaudit.coverage.draft import draft_spec
    from gradaudit.coverage.pattern_passes import PatternError, compiled_patterns
    from gradaudit.coverage.point_out import NoSuchPassError, pointed_out
    from gradaudit.report.files import AtomicFile, UnwritableError
    from gradaudit.spec.modeline import modeline

    project = project_settings()
    home = (project.folder or Path()).resolve()
    try:
        one, file = pointed_out(target, (Path.cwd(), home), compiled_patterns(project.patterns), home)
        draft = draft_spec(one, file, (Path.cwd(), home))
        place = output or str(_place(project.specs[0] if project.specs else Path("specs"), file, draft.op))
        if place != "-" and Path(place).exists():
            leave(f"{place} exists already; name another file with --output")
        AtomicFile(place).write(("" if place == "-" else modeline(Path(place), home)) + draft.text)
    except (NoSuchPassError, PatternError, UnwritableError) as error:
        leave(str(error))
    if place != "-":
        typer.echo(f"wrote {place}; to be filled in: {'; '.join(draft.open_points)}")


def _place(specs: Path, file: Path, op: str) -> Path:
    folder = specs if specs.suffix not in (".yaml", ".yml") else specs.parent
    return folder / file.stem / f"{op}.yaml"
