"""``gradaudit explore``: cases that no spec draws, and the smallest that fails."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradaudit.cli.completion import ops as op_names
from gradaudit.cli.ending import EXIT_UNEXPECTED, leave, leaving_with_mistakes
from gradaudit.cli.options import A_YEAR, Dtypes, MaxRows

if TYPE_CHECKING:
    from gradaudit.explore.explore import Failure
    from gradaudit.explore.hunt import Budget
    from gradaudit.spec.expand import Overrides
    from gradaudit.spec.load import Specs
    from gradaudit.spec.project import Project

FOUND = Path("specs", "found")
"""Where specs of failing cases lie unless somebody says otherwise."""

KEPT = Path(".hypothesis", "gradaudit")
"""Where failing cases are kept to be tried first the next time, as Hypothesis keeps its own."""

EXPLORED = "--for takes seconds, such as 60s, or minutes, such as 5m"


def explore(
    ops: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[OP|FILE]...",
            help="Names of ops, or Python and C sources as they are; default: all ops of the specs.",
            show_default=False,
            autocompletion=op_names,
        ),
    ] = None,
    specs: Annotated[
        list[Path] | None, typer.Option(help="Spec files or folders; repeatable.", show_default="the project's")
    ] = None,
    for_: Annotated[str, typer.Option("--for", metavar="TIME", help="Time for each op: 60s, 5m.")] = "30s",
    cases: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Most cases for each op.", show_default="any number")
    ] = None,
    dtype: Dtypes = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="What the draws depend on.")] = 0,
    write: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the specs of failing cases there.")
    ] = None,
    max_rows: MaxRows = 10,
) -> None:
    """Look for cases that fail where the cases of the specs pass: other shapes, values, layouts and upstreams.

    A failing case is shrunk to the smallest, and printed as a spec. It is tried first the next time.

    Exits with 0 where nothing fails, 1 where something does, 2 where a spec or an option is wrong.
    """
    seconds = _seconds(for_)
    try:
        import hypothesis  # noqa: F401
    except ImportError:
        leave("explore needs Hypothesis: pip install 'gradaudit[explore]'")

    from gradaudit.engine.pool import prepare

    prepare()  # which imports on its own while the specs are read here

    from gradaudit.cli.settings import project_settings
    from gradaudit.explore.hunt import Budget
    from gradaudit.spec.expand import Overrides

    project = project_settings()
    overrides = Overrides(
        dtypes=tuple(str(name) for name in dtype) if dtype else None,
        tolerances=project.tolerances,
        usual_budget=project.budget,
        allow=project.allow,
    )
    with leaving_with_mistakes():
        loaded, sources = _loaded(ops or [], specs, project, overrides)
        failed = _explored(loaded, sources, project, Budget(seconds, cases), seed, write, max_rows)
    if failed:
        raise typer.Exit(EXIT_UNEXPECTED)


def _seconds(text: str) -> float:
    """Return a time in seconds."""
    number, times = (
        (text[:-1], {"s": 1.0, "m": 60.0, "h": 3600.0}[text[-1]]) if text[-1:] in "smh" and text else (text, 1.0)
    )
    try:
        seconds = float(number) * times
    except ValueError:
        leave(f"{EXPLORED}; found {text}")
    if not 0 < seconds <= A_YEAR:
        leave(f"{EXPLORED}; found {text}")
    return seconds


def _loaded(
    names: list[str], specs: list[Path] | None, project: Project, overrides: Overrides
) -> tuple[Specs, dict[str, Path]]:
    """Return the specs of the ops named, with what is drafted of the sources named, and those sources by op."""
    from gradaudit.cli.mutate import _only
    from gradaudit.drafts.plan import plan_of, with_drafts
    from gradaudit.spec.load import Specs, is_source, load_specs

    sources = [Path(name) for name in names if Path(name).exists() and is_source(Path(name))]
    ops = [name for name in names if Path(name) not in sources]
    loaded = Specs((), {})
    if ops or not sources:
        loaded = _only(load_specs(specs or list(project.specs), overrides), ops)
    if not sources:
        return loaded, {}
    if overrides.allow is not None:
        leave("explore takes specs alone where the project says which modules they may name")
    plan = plan_of(sources, ignore=project.ignore)
    files = {drafted.cases[0].op: drafted.found.file for drafted in plan.drafts if drafted.cases}
    return with_drafts(loaded, plan, overrides), files


def _explored(
    loaded: Specs,
    sources: dict[str, Path],
    project: Project,
    budget: Budget,
    seed: int,
    write: Path | None,
    max_rows: int,
) -> int:
    """Explore, print what is found op by op, and return how many ops fail."""
    from gradaudit.explore.explore import Explorer
    from gradaudit.explore.kept import Kept
    from gradaudit.report.console import open_console
    from gradaudit.report.exploration import explored_lines, progress_bar, summary

    console = open_console()
    home = (project.folder or Path()).resolve()
    done = []
    with progress_bar(open_console(stderr=True)) as told:
        explorer = Explorer(loaded, budget, write or FOUND, home, Kept(home / KEPT), sources, seed, told)
        for explored in explorer.explore():
            done.append(explored)
            for line in explored_lines(explored, max_rows):
                console.print(line, markup=False, soft_wrap=True)
            for file in [_write(failure, write) for failure in explored.failures] if write else ():
                console.print(f"  written to {file}", markup=False, soft_wrap=True)
    console.print(summary(done), markup=False, soft_wrap=True)
    return sum(bool(explored.failures) for explored in done)


def _write(failure: Failure, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{failure.name}.yaml"
    file.write_text(failure.text, encoding="utf-8")
    return file
