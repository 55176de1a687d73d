"""``gradaudit coverage``: which backward passes have a spec, and how their last audit ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradaudit.cli.ending import EXIT_UNEXPECTED, leave
from gradaudit.cli.options import Html

if TYPE_CHECKING:
    from gradaudit.coverage.model import Coverage
    from gradaudit.spec.project import Project

FormatOption = StrEnum("FormatOption", ["terminal", "markdown", "json"])


def coverage(
    source: Annotated[
        list[Path] | None,
        typer.Option(help="Where backward passes are looked for; repeatable.", show_default="the project's"),
    ] = None,
    specs: Annotated[
        list[Path] | None, typer.Option(help="Spec files or folders; repeatable.", show_default="the project's")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The store to read results from.", show_default="the project's")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The page to write, with its plots beside it.", show_default="the project's"),
    ] = None,
    html: Html = None,
    no_output: Annotated[bool, typer.Option("--no-output", help="Write no page.")] = False,
    format_: Annotated[FormatOption, typer.Option("--format", help="How to print it.")] = FormatOption.terminal,
    fail_under: Annotated[
        float, typer.Option(min=0, max=100, metavar="PCT", help="Exit with 1 if coverage is below this percentage.")
    ] = 0.0,
) -> None:
    """Show which backward passes of the sources have a spec, and how their last audit ended; write the page of it.

    The page is written where --output says; else in a project, whose pyproject.toml has a table [tool.gradaudit], or
    where its folder exists already.

    Exits with 0, with 1 where coverage is under the bar, with 2 where a spec or an option is wrong.
    """
    from gradaudit.cli.settings import project_settings
    from gradaudit.coverage.pattern_passes import PatternError
    from gradaudit.report.files import UnwritableError
    from gradaudit.report.page.rendered import page_file
    from gradaudit.spec.errors import SpecError
    from gradaudit.store.schema import StoreError

    project = project_settings()
    try:
        page = page_file(html) if html else None
        found = _coverage(project, source, specs, store)
        if page:
            from gradaudit.report.page.coverage_page import coverage_html

            page.write(coverage_html(found))
        if not no_output and (output or project.folder or project.report.parent.is_dir()):
            _write(found, output, project)
    except (SpecError, StoreError, PatternError, UnwritableError, FileNotFoundError) as error:
        leave(str(error))
    if html != "-":
        _print(found, format_)
    if found.total.is_under(fail_under):
        share = f"{found.total.checked} of {found.total.passes} backward passes have a spec"
        typer.echo(f"coverage is below {fail_under:g}%: {share}", err=True)
        raise typer.Exit(EXIT_UNEXPECTED)


def _coverage(project: Project, source: list[Path] | None, specs: list[Path] | None, store: Path | None) -> Coverage:
    from gradaudit.coverage.survey import survey
    from gradaudit.targets.frameworks import missing_framework

    with _searching() as progress:
        return survey(
            project,
            sources=tuple(source or project.sources),
            specs=tuple(specs or project.specs),
            store=store or project.store,
            needs=missing_framework,
            progress=progress,
        )


@contextmanager
def _searching() -> Iterator[Callable[[int], None]]:
    """Show how many files were searched while that lasts, where someone looks on."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.file.isatty():
        yield lambda files: None
        return
    with console.status("searching") as status:

        def show(files: int) -> None:
            if files % STEP == 0:
                status.update(f"searching: {files:,} files")

        yield show


def _write(found: Coverage, output: Path | None, project: Project) -> None:
    """Write the page; the project's own is left as it is where it would forget what only other machines can audit."""
    from gradaudit.report.coverage_files import known_elsewhere, write_page
    from gradaudit.report.numbers import counted

    if output is None and (kept := known_elsewhere(found, project.report)):
        missing = ", ".join(dict.fromkeys(str(op.needs) for op in kept))
        typer.echo(
            f"{project.report} is left unchanged: it lists {counted(len(kept), 'op')} that cannot be audited here "
            f"(not installed: {missing}); --output FILE writes a page without them",
            err=True,
        )
        return
    write_page(found, output or project.report)


STEP = 100
"""Files between two changes of what is shown."""


def _print(found: Coverage, format_: FormatOption) -> None:
    if format_ is FormatOption.json:
        import json

        from gradaudit.report.coverage_json import coverage_document

        typer.echo(json.dumps(coverage_document(found), indent=1))
    elif format_ is FormatOption.markdown:
        from gradaudit.report.coverage_markdown import coverage_page

        typer.echo(coverage_page(found), nl=False)
    else:
        from gradaudit.report.console import open_console_for_tables
        from gradaudit.report.coverage_terminal import print_coverage

        print_coverage(found, open_console_for_tables())
