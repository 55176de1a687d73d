"""Annotations for GitHub: one line each, at the line of the spec, whatever the names and messages hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_results import Paper, events_of, made_mismatch, made_result
from rich.console import Console

from gradaudit.report.console import tamed, without_commands
from gradaudit.report.github import GithubReport, annotated_problem, annotation
from gradaudit.report.terminal import TerminalReport
from gradaudit.results import Finding, SourceLine
from gradaudit.spec.case import Location
from gradaudit.spec.errors import Problem


def lines_of(*results: Any, **settings: Any) -> list[str]:
    paper = Paper(terminal=False)
    report = GithubReport(Console(file=paper, width=60), **settings)
    for event in events_of(results):
        report(event)
    return paper.getvalue().splitlines()


def test_what_ends_as_expected_is_not_annotated() -> None:
    assert lines_of(made_result("pass"), made_result("fail", [made_mismatch()], expected=True)) == []


def test_a_mismatch_is_an_error_at_its_spec() -> None:
    (line,) = lines_of(made_result("fail", [made_mismatch((2, 1), 3.0, 1.5)], findings=(Finding("kink", "at 0"),)))
    properties, _, message = line.removeprefix("::error ").partition("::")
    assert properties.startswith(
        "file=specs/norm.yaml,line=7,title=norm (float32%2C case default)%3A gradient mismatch"
    )
    assert "Analytical:  3.0" in message
    assert "(100%25 relative error)%0A" in message
    assert message.endswith("kink: at 0")


def test_where_the_backward_is_known_the_annotation_stands_beside_it() -> None:
    (line,) = lines_of(made_result("fail", [made_mismatch()], source=SourceLine("my_ops.py", 8, "norm_backward")))
    properties, _, message = line.removeprefix("::error ").partition("::")
    assert properties.startswith("file=my_ops.py,line=8,title=norm")
    assert message.startswith("Spec:       specs/norm.yaml:7%0A")


def test_inconclusive_is_a_warning_where_it_is_allowed() -> None:
    undecided = made_result("inconclusive", message="too noisy")
    assert lines_of(undecided)[0].startswith("::error ")
    assert lines_of(undecided, allow_inconclusive=True)[0].startswith("::warning ")
    assert lines_of(made_result("error"), allow_inconclusive=True)[0].startswith("::error ")


def test_paths_are_seen_from_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert lines_of(made_result("error"))[0].startswith("::error file=sub/specs/norm.yaml,line=7,")


def test_a_mistake_in_a_spec_is_told_to_people_and_annotated() -> None:
    plain, annotated = annotated_problem(Problem(Location(Path("a.yaml"), 3, 9), "found 5%")).splitlines()
    assert plain == "a.yaml:3:9: found 5%"
    assert annotated == "::error file=a.yaml,line=3,col=9,title=gradaudit::found 5%25"


@given(st.text(), st.text(), st.text().filter(lambda name: "\0" not in name))
def test_nothing_in_its_parts_ends_an_annotation(message: str, title: str, file: str) -> None:
    line = annotation("error", message, file=file, title=title)
    assert len(line.splitlines()) == 1
    properties = line.removeprefix("::error ").partition("::")[0]
    assert [entry.partition("=")[0] for entry in properties.split(",")] == ["file", "title"]


@pytest.mark.parametrize("said", ["::error::x", "  ::stop-commands::x", "##[error]x", "so ##[group]x", "a\n::debug::x"])
def test_no_line_is_a_command_whatever_an_op_says(said: str) -> None:
    paper = Paper(terminal=False)
    console = without_commands(Console(file=paper, width=100))
    report = TerminalReport(console, max_rows=3)
    for event in events_of([made_result("error", message=said, op=said.replace("\n", " "))]):
        report(event)
    console.print(said, markup=False)
    lines = (paper.getvalue() + tamed(said)).splitlines()
    assert not [line for line in lines if line.lstrip().startswith("::") or "##[" in line]
