"""``gradaudit lint``: static rules for code on a tape."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradaudit.cli.ending import EXIT_UNEXPECTED, leave

if TYPE_CHECKING:
    from gradaudit.lint.run import Report
    from gradaudit.lint.vocabulary import Vocabulary
    from gradaudit.spec.project import Project

FormatOption = StrEnum("FormatOption", ["text", "json", "github"])


def lint(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Python files and folders.", show_default="the project's sources")
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Only these rules; repeatable, or with commas.", show_default="all"),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Skip these rules; repeatable, or with commas.", show_default="none"),
    ] = None,
    tensor: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="What the class of tensors is called; repeatable.", show_default="Tensor"),
    ] = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="The attribute that holds a tensor's array; repeatable.", show_default="data"
        ),
    ] = None,
    format_: Annotated[FormatOption, typer.Option("--format", help="How to print it.")] = FormatOption.text,
) -> None:
    """Find where gradients get lost on a tape, from the source code alone: nothing is imported or run.

    A line with '# gradaudit: ignore[RULE]' is passed over for that rule. 'gradaudit guide lint' explains each rule.
    Exits with 0 where nothing is found, 1 where something is, 2 where a path, a rule or a setting is wrong.
    """
    from gradaudit.cli.settings import project_settings
    from gradaudit.lint.run import UnknownRuleError, chosen_rules
    from gradaudit.lint.run import lint as run_rules

    project = project_settings()
    settings = project.lint
    try:
        report = run_rules(
            tuple(paths or project.sources),
            chosen_rules(_words(select) or settings.select, _words(ignore) or settings.ignore),
            _vocabulary(project, tensor, attribute),
            project.ignore,
        )
    except (UnknownRuleError, FileNotFoundError) as error:
        leave(str(error))
    _print(report, format_)
    if report.violations:
        raise typer.Exit(EXIT_UNEXPECTED)


def _words(given: list[str] | None) -> list[str]:
    return [word.strip() for each in given or () for word in each.split(",") if word.strip()]


def _vocabulary(project: Project, tensor: list[str] | None, attribute: list[str] | None) -> Vocabulary:
    from gradaudit.lint.vocabulary import DEFAULT_ATTRIBUTES, DEFAULT_TENSORS, Vocabulary

    tensors = tuple(_words(tensor)) or project.lint.tensors or DEFAULT_TENSORS
    return Vocabulary(tensors, tuple(_words(attribute)) or project.lint.attributes or DEFAULT_ATTRIBUTES)


def _print(report: Report, format_: FormatOption) -> None:
    from gradaudit.report.console import open_console
    from gradaudit.report.lint import document, github_lines, summary, text_lines

    if format_ is FormatOption.json:
        import json

        typer.echo(json.dumps(document(report), indent=1))
        return
    console = open_console()
    for line in github_lines(report) if format_ is FormatOption.github else text_lines(report):
        console.print(line, markup=False, soft_wrap=True, highlight=False)
    if format_ is FormatOption.github:
        console.print(summary(report), markup=False)
