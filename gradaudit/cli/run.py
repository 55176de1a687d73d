"""``gradaudit run``: audit specs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gradaudit.cli.options import (
    A_YEAR,
    AllowInconclusive,
    Dtypes,
    Html,
    Json,
    Junit,
    MaxRows,
    NoStore,
    Quiet,
    Reports,
    shown,
)
from gradaudit.cli.running import RunOptions, run_audits

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
            "-k", metavar="EXPR", help=shown("Only cases whose module/op::case[dtype] matches: words, and, or, not.")
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
    repeat: Annotated[
        int, typer.Option(min=0, metavar="N", help="Call backward N times and compare bit by bit, to find races.")
    ] = 0,
    relations: Annotated[
        bool, typer.Option("--relations", help="Try rows, parts of upstreams, layouts and threads, as explore does.")
    ] = False,
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
    given = {name: value for name, value in locals().items() if name != "context"}
    given |= {name: tuple(given[name] or ()) for name in ("paths", "specs", "report")}
    given["dtype"] = tuple(str(name) for name in dtype or ()) or None
    given["allow"] = tuple(allow or ()) or None
    run_audits(RunOptions(**given), context.obj if isinstance(context.obj, float) else None)
