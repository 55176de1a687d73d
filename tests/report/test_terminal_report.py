"""What a person sees: blocks, a summary, a line to remember; narrow or wide, on a terminal or in a pipe."""

from __future__ import annotations

import re

import pytest
from made_results import Paper
from rich.console import Console

from gradaudit.engine.events import CaseDone, RunFinished, RunStarted
from gradaudit.report.terminal import TerminalReport
from gradaudit.results import Finding

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def mixed(mismatch, result):
    """A run of two modules with every verdict, long messages included."""
    rows = [mismatch((k, 0, 0, k), -1e-2 * (k + 1), 3e-2) for k in range(14)]
    prose = "forward changed its x: 12 of 12 elements, the first at index (0, 0); it must leave its arguments alone"
    return [
        result(),
        result("fail", rows, op="conv", module="conv", findings=(Finding("input-mutated", prose),)),
        result("inconclusive", rows[:2], op="log", module="elementwise", message="2 of 12 indices cannot be decided"),
        result("error", op="sqrt", module="elementwise", message="backward raised ValueError: " + "word " * 40),
        result("fail", rows[:1], op="known", module="elementwise", expected=True),
    ]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("width", [80, 200])
def test_no_line_is_wider_than_the_terminal(written, mixed, width: int, terminal: bool) -> None:
    text = ESCAPE.sub("", written(mixed, width=width, terminal=terminal).replace("\r", "\n"))
    headlines = [line for line in text.splitlines() if "w.r.t." in line]
    assert len(headlines) == 3
    searched_for = [] if terminal else [*headlines, text.splitlines()[-1]]
    for line in text.splitlines():
        assert len(line.rstrip()) <= width or line in searched_for, line


def test_in_a_pipe_a_headline_stays_on_one_line(written, mixed) -> None:
    line = "conv (float32, case default): gradient mismatch w.r.t. x at index (0, 0, 0, 0), 14 of 14 indices wrong"
    assert line in written(mixed, width=80).splitlines()


@pytest.mark.parametrize("width", [80, 200])
def test_a_table_of_four_axes_is_never_broken(written, mixed, width: int) -> None:
    rows = [line for line in written(mixed, width=width).splitlines() if line.startswith("  (")]
    assert len(rows) == 10 + 2
    for row in rows:
        assert re.fullmatch(r"  \(\d+, 0, 0, \d+\) +-\d\S+ +3\.0000e-02 +\S+ +4\.000e-06 +(FAIL|INCONCL\.)", row)


def test_prose_is_wrapped_between_words_with_an_indent(written, mixed) -> None:
    text = written(mixed, width=80)
    assert (
        "\n  input-mutated: forward changed its x: 12 of 12 elements, the first at index\n    (0, 0); it must" in text
    )


def test_a_path_with_hyphens_stays_in_one_piece(written, result) -> None:
    path = "/home/some-one/a-rather-long/path-with-many-hyphens/in-its-parts/that-is-wider/than-the-terminal/ops.py"
    assert path in written([result("error", message=f"forward raised it\n  {path}:3, in f")], width=60)


def test_a_pipe_gets_text_and_nothing_else(written, mixed) -> None:
    text = written(mixed)
    assert "\x1b" not in text
    assert "\r" not in text
    assert "auditing" not in text


def test_colour_where_there_is_some(written, mixed) -> None:
    text = written(mixed, colour=True)
    assert re.search(r"\x1b\[1;31mFAIL\x1b\[0m", text)
    assert re.search(r"\x1b\[1;33mINCONCLUSIVE\x1b\[0m", text)
    assert re.search(r"\x1b\[1;33mINCONCL\.\x1b\[0m", text)
    assert ESCAPE.sub("", text) == written(mixed)


def test_no_color_is_respected(written, mixed, monkeypatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    text = written(mixed, colour=True)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)
    assert ESCAPE.sub("", text) == written(mixed)


def test_progress_is_for_terminals(written, mixed) -> None:
    assert "auditing" in written(mixed, terminal=True, colour=True)
    assert "auditing" not in written(mixed, terminal=True, colour=True, quiet=True)
    assert "auditing" not in written(mixed, terminal=False, colour=True)  # FORCE_COLOR in a pipe


@pytest.mark.parametrize("width", [40, 80, 200])
def test_progress_shows_count_and_case_on_one_line(written, width: int) -> None:
    paper = Paper(terminal=True)
    report = TerminalReport(Console(file=paper, width=width, force_terminal=True, color_system=None))
    report(RunStarted(cases=1_104, ops=74))
    report(CaseDone("normalization/batch_norm2d_in_training::one_channel_and_a_long_name[bfloat16]", 123, 1_104))
    report._progress.refresh()
    report(RunFinished(1.0, interrupted=False))
    bars = [line for line in re.split(r"[\r\n]+|\x1b\[2K", paper.getvalue()) if line.startswith("auditing")]
    assert "123/1104" in bars[-1]
    assert "nor" in bars[-1] or width == 40
    assert {len(bar) for bar in bars} == {width}
    if width == 200:
        assert "long_name[bfloat16]" in bars[-1]


def test_the_summary_counts_by_module_in_order_of_appearance(written, mixed) -> None:
    lines = written(mixed, width=80).splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Module"))
    table = [line.split() for line in lines[start : start + 5]]
    assert table == [
        ["Module", "Ops", "Cases", "Pass", "Fail", "Inconcl.", "Error", "Forwards", "Time"],
        ["normalization", "1", "1", "1", "0", "0", "0", "50", "0.25", "s"],
        ["conv", "1", "1", "0", "1", "0", "0", "50", "0.25", "s"],
        ["elementwise", "3", "3", "0", "1", "1", "1", "150", "0.75", "s"],
        ["TOTAL", "5", "5", "1", "2", "1", "1", "250", "1.25", "s"],
    ]


def test_the_slowest_cases_are_named_slowest_first(written, result) -> None:
    results = [result(op=f"op_{k}", seconds=k / 10) for k in (1, 5, 3, 2)]
    lines = written(results).splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Slowest:"))
    assert [line.split()[-3:] for line in lines[start : start + 3]] == [
        [seconds, "s", f"normalization/{op}::default[float32]"]
        for seconds, op in (("0.50", "op_5"), ("0.30", "op_3"), ("0.20", "op_2"))
    ]


@pytest.mark.parametrize("width", [20, 80, 200])
def test_the_last_line_says_it_all_in_one_piece(written, mixed, width: int) -> None:
    said = "5 gradients, 5 ops, 5 cases: 1 pass, 2 fail (1 as expected), 1 inconclusive, 1 error"
    assert written(mixed, width=width).splitlines()[-1] == f"{said} (1.50 s)"


def test_quiet_is_a_line_for_each_case_and_one_at_the_end(written, mixed) -> None:
    lines = written(mixed, quiet=True).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["conv", "log", "sqrt", "5"]
    assert not [line for line in lines if line.startswith(" ")]


def test_nothing_wrong_nothing_said(written, result) -> None:
    assert written([result(), result(op="other")], quiet=True) == "2 gradients, 2 ops, 2 cases: 2 pass (1.50 s)\n"


def test_max_rows(written, mixed) -> None:
    text = written(mixed, max_rows=3)
    assert "and 11 more" in text
    assert text.count("FAIL\n") == 3 + 1


def test_an_interruption_is_said_before_the_summary(written, result) -> None:
    lines = written([result(), result(op="other")], interrupted=True).splitlines()
    assert lines[0] == "Interrupted after 2 of 3 cases"
    assert lines[-1].startswith("2 gradients")


def test_an_interruption_before_the_first_case(written) -> None:
    lines = written([], interrupted=True).splitlines()
    assert lines == ["Interrupted after 0 of 1 cases", "0 gradients, 0 ops, 0 cases: nothing was audited (1.50 s)"]


@pytest.mark.parametrize("hostile", ["\x1b[31mred\x1b[0m", "\x1b[2J", "\x07", "\x00", "\ud800", "\u202e", "a\x9bb"])
def test_messages_cannot_command_the_terminal(written, result, hostile: str) -> None:
    text = written([result("error", message=f"forward raised ValueError: {hostile}", input=f"x{hostile}")])
    assert all(char.isprintable() or char == "\n" for char in text)
    assert hostile.encode("unicode_escape").decode() in text
    text.encode("utf-8")


@pytest.mark.parametrize("markup", ["[red]", "[/]", "[bold]x[/bold]", ":smile:"])
def test_brackets_are_no_markup(written, result, markup: str) -> None:
    text = written([result("error", module=f"m{markup}", message=f"said {markup}")], width=120)
    assert f"said {markup}" in text
    assert f"m{markup}" in text


def test_words_in_prose_are_not_taken_for_a_status(written, result) -> None:
    message = "FAIL is what this message says " * 6
    lines = written([result("error", message=message)], width=80).splitlines()
    assert all(len(line) <= 80 for line in lines)
