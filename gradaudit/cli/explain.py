"""``gradaudit explain``: one op in depth, or what a finding means."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradaudit.cli.completion import ops_and_codes
from gradaudit.cli.ending import EXIT_INTERRUPTED, EXIT_UNEXPECTED, leave, leave_with_problems, one_interrupt
from gradaudit.cli.options import A_YEAR, Dtypes, Html, MaxRows

if TYPE_CHECKING:
    from gradaudit.explain.explanation import Explanation
    from gradaudit.report.files import AtomicFile
    from gradaudit.spec.project import Project

    Files = list[tuple[AtomicFile, Callable[[Explanation], bytes]]]

FormatOption = StrEnum("FormatOption", ["terminal", "markdown", "json"])


def explain(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[OP|CODE]",
            help="An op, one of its functions, or a model; or the code of a finding or lint rule.",
            autocompletion=ops_and_codes,
        ),
    ] = None,
    case: Annotated[str | None, typer.Option(metavar="NAME", help="Only this case of the op.")] = None,
    specs: Annotated[
        list[Path] | None, typer.Option("--specs", help="Spec files or folders; repeatable; default: the project's.")
    ] = None,
    dtype: Dtypes = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="Draw with this seed instead of the spec's own.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", min=0, help="Worker processes; 0 audits in this process. Default: one per core."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.001, max=A_YEAR, help="Time limit for each case, in seconds.")] = 60.0,
    plot: Annotated[str | None, typer.Option(metavar="FILE", help="Draw curves and maps as .png or .svg.")] = None,
    html: Html = None,
    format: Annotated[FormatOption, typer.Option(help="How to write.")] = FormatOption.terminal,  # noqa: A002
    max_rows: MaxRows = 10,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything: tables, maps, curves, resolution, tolerances.")
    ] = False,
    failed: Annotated[
        bool, typer.Option("--failed", help="Every op that did not end as expected in its last recorded audit.")
    ] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Search for the edit of the source that repairs it.")] = False,
    fix_seconds: Annotated[float, typer.Option(min=0.001, max=A_YEAR, help="Seconds for that search.")] = 20.0,
    write: Annotated[
        bool, typer.Option("--write", help="With --fix: write a verified repair into its file, after asking.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --write: do not ask.")] = False,
) -> None:
    """Explain an op: where it is wrong, why, and its repair; or explain a finding or lint rule.

    The explanation fits one screen. --all adds tables, maps, the error bound of the numerical gradient, and what was
    audited. For a model it draws the graph, with the size of each gradient and the place where it is cut, and the loss.

    Exits as run does: 0 where every case ends as its spec expects, 1 where any does not, 2 for a wrong spec or option.
    """
    from gradaudit.cli.settings import project_settings
    from gradaudit.explain.explain import UnknownNameError, cases_of
    from gradaudit.explain.explain import explain as explained
    from gradaudit.report.files import UnwritableError
    from gradaudit.spec.errors import SpecError
    from gradaudit.spec.expand import Overrides
    from gradaudit.spec.load import load_specs

    _refuse_mixtures(name, failed=failed, narrowed=bool(case or plot or html or write))
    if name and not (case or specs or dtype or plot or html) and (page := _page_of_code(name)):
        return _explain_code(name, page, format)
    project = project_settings()
    dtypes = tuple(str(each) for each in dtype) if dtype else None
    overrides = Overrides(
        dtypes=dtypes, seed=seed, tolerances=project.tolerances, usual_budget=project.budget, allow=project.allow
    )
    seconds = _seconds_for_repairs(fix_seconds, fix=fix, write=write)
    as_expected = True
    try:
        with one_interrupt():
            files = _files(plot, html, max_rows)
            loaded = load_specs(specs or list(project.specs), overrides)
            for op in [name] if name else _failed_last(project, {made.op for made in loaded.cases}):
                with _progress(seconds):
                    asked = cases_of(loaded, op, case)
                    explanation = explained(asked, jobs=jobs, timeout=timeout, repair_seconds=seconds)
                if html != "-":
                    _write(explanation, format, max_rows, everything=everything)
                if write:
                    _write_repair(explanation, ask=not yes)
                _fill(files, explanation)
                as_expected &= explanation.as_expected
    except SpecError as error:
        leave_with_problems(error.problems)
    except (UnknownNameError, UnwritableError) as error:
        leave(str(error))
    except KeyboardInterrupt:
        typer.echo("Interrupted before it was done", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    raise typer.Exit(0 if as_expected else EXIT_UNEXPECTED)


def _refuse_mixtures(name: str | None, *, failed: bool, narrowed: bool) -> None:
    if (name is None) != failed:
        leave("explain: expected an op, a code, or --failed for every op that failed last")
    if failed and narrowed:
        leave("--failed explains whole ops; it cannot be combined with --case, --plot, --html or --write")


def _failed_last(project: Project, known: Container[str]) -> list[str]:
    """Return the ops among those known that did not end as expected when they were last recorded."""
    from gradaudit.cli.settings import recorded_in
    from gradaudit.store.read import latest_records
    from gradaudit.store.schema import StoreError, open_to_read

    try:
        with open_to_read(recorded_in(project)) as connection:
            records = latest_records(connection)
    except StoreError as error:
        leave(str(error))
    ops = dict.fromkeys(record.result.op for record in records if not record.result.expected)
    found = [op for op in ops if op in known]
    if not found:
        typer.echo("no op failed in its last recorded audit")
    return found


def _files(plot: str | None, html: str | None, max_rows: int) -> Files:
    """Return the files that were asked for, each with what makes its content.

    Raises:
        UnwritableError: where one cannot be written, or what makes it is not installed.

    """
    from gradaudit.report.files import AtomicFile, UnwritableError, are_one

    files: Files = []
    if plot and html and are_one(plot, html):
        raise UnwritableError(f"cannot write both a plot and a page to {plot}")
    if plot:
        from gradaudit.report.explanation.plot import draw, kind_of_plot

        kind = kind_of_plot(plot)
        files.append((AtomicFile(plot), partial(draw, kind=kind)))
    if html:
        from gradaudit.report.page.explain_page import explanation_html
        from gradaudit.report.page.rendered import page_file

        files.append((page_file(html), lambda explanation: explanation_html(explanation, max_rows).encode()))
    return files


def _fill(files: Files, explanation: Explanation) -> None:
    for file, content in files:
        file.write_bytes(content(explanation))


def _seconds_for_repairs(seconds: float, *, fix: bool, write: bool) -> float:
    """Return the seconds for a search for repairs, 0 where none is asked for; leave where only its end is."""
    if write and not fix:
        leave("--write needs --fix")
    return seconds if fix else 0.0


@contextmanager
def _progress(seconds: float) -> Iterator[None]:
    """Show on a terminal how much of the time for a search is gone."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not seconds or not console.file.isatty():
        yield
        return
    columns = (TextColumn("auditing, then searching for a repair"), BarColumn(bar_width=20), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as shown:
        shown.add_task("", total=None)
        yield


def _write_repair(explanation: Explanation, *, ask: bool) -> None:
    """Write the verified repair, if there is one and the user agrees; leave where there is none."""
    from gradaudit.repair.repairs import Applicability
    from gradaudit.repair.write import NotWrittenError, write_repair

    found = explanation.repairs.repairs if explanation.repairs else ()
    verified = [made for made in found if made.applicability is Applicability.VERIFIED]
    if not verified:
        said = "no repair is verified: nothing was written" if found else "there is no repair: nothing was written"
        typer.echo(said, err=True)
        return
    if ask and not typer.confirm(f"Write it into {verified[0].file}?", default=False, err=True):
        typer.echo("nothing was written", err=True)
        return
    try:
        write_repair(verified[0])
    except NotWrittenError as error:
        leave(str(error))
    typer.echo(f"written into {verified[0].file}", err=True)


def _page_of_code(code: str) -> str:
    """Return the page of a finding, of a rule of lint, or of another package's check; empty for any other."""
    from inspect import getdoc
    from types import FunctionType

    from gradaudit.cli.settings import project_settings
    from gradaudit.extensions import CHECKS, extensions
    from gradaudit.guides import finding_page, guide
    from gradaudit.results import FINDING_CODES

    if code in FINDING_CODES:
        return finding_page(code).text
    if rule := guide("lint").section(code):
        return f"# {code}: a rule of gradaudit lint\n\n{rule}\n"
    for added in extensions(CHECKS, project_settings().allow):
        if added.name == code:
            said = getdoc(added.load(FunctionType)) or "The package does not describe it."
            return f"# {code}: a finding of package {added.package}\n\n{said}\n"
    return ""


def _explain_code(code: str, text: str, form: FormatOption) -> None:
    import json

    from gradaudit.report.console import open_console, print_markdown

    if form is FormatOption.terminal:
        print_markdown(text, open_console())
    else:
        typer.echo(text if form is FormatOption.markdown else json.dumps({"code": code, "text": text}), nl=False)


def _write(explanation: Explanation, form: FormatOption, max_rows: int, *, everything: bool) -> None:
    from gradaudit.report.console import open_console
    from gradaudit.report.explanation.brief import brief
    from gradaudit.report.explanation.glyphs import UNICODE, glyphs_for
    from gradaudit.report.explanation.json import document
    from gradaudit.report.explanation.markdown import markdown
    from gradaudit.report.explanation.page import page
    from gradaudit.report.explanation.terminal import print_page

    if form is FormatOption.json:
        typer.echo(document(explanation), nl=False)
    elif form is FormatOption.markdown:
        typer.echo(markdown(page(explanation, UNICODE, max_rows)), nl=False)
    else:
        console = open_console()
        whole = page(explanation, glyphs_for(console.encoding), max_rows) if everything else brief(explanation)
        print_page(whole, console)
