"""What a person sees: blocks, a summary, a line to remember; narrow or wide, on a terminal or in a pipe."""

from __future__ import annotations

import re

import pytest
from made_results import Paper
from rich.console import Console

from gradaudit.engine.events import CaseDone, CaseStarted, RunFinished, RunStarted
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
    headlines = [line for line in text.splitlines() if "w.r.t." in line and not line.startswith(" ")]
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


def test_a_case_that_takes_long_is_named_while_it_does(monkeypatch) -> None:
    now = [100.0]
    monkeypatch.setattr("gradaudit.report.terminal.time.monotonic", lambda: now[0])
    paper = Paper(terminal=True)
    report = TerminalReport(Console(file=paper, width=100, force_terminal=True, color_system=None))
    report(RunStarted(cases=3, ops=3))

    def bar() -> str:
        report._progress.refresh()
        return re.split(r"[\r\n]+|\x1b\[2K", paper.getvalue().rstrip())[-1].rstrip()

    report(CaseStarted("m/quick::default[float32]"))
    report(CaseStarted("m/hangs::default[float32]"))
    now[0] += 1.0
    report(CaseDone("m/quick::default[float32]", 1, 3))
    assert bar().endswith("m/quick::default[float32]")
    now[0] += 4.0
    assert bar().endswith("5 s at m/hangs::default[float32]")
    report(CaseStarted("m/last::default[float32]"))
    report(CaseDone("m/hangs::default[float32]", 2, 3))
    assert bar().endswith("m/hangs::default[float32]")
    assert " s at " not in bar()
    report(RunFinished(1.0, interrupted=False))


def test_the_summary_counts_by_module_in_order_of_appearance(written, mixed) -> None:
    lines = written(mixed, width=80).splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Module"))
    table = [line.split() for line in lines[start : start + 5]]
    assert table == [
        ["Module", "Ops", "Cases", "Pass", "Fail", "Inconcl.", "Error", "Forwards", "Time"],
        ["normalization", "1", "1", "1", "0", "0", "0", "70", "0.25", "s"],
        ["conv", "1", "1", "0", "1", "0", "0", "70", "0.25", "s"],
        ["elementwise", "3", "3", "0", "1", "1", "1", "210", "0.75", "s"],
        ["TOTAL", "5", "5", "1", "2", "1", "1", "350", "1.25", "s"],
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
    assert written(mixed, width=width).splitlines()[-1] == f"{said} (350 forwards and 40 backwards, 1.50 s)"


def test_quiet_is_a_line_for_each_failure_with_its_cause_and_one_at_the_end(written, mixed) -> None:
    lines = written(mixed, quiet=True).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["conv", "log", "sqrt", "5"]
    assert not [line for line in lines if line.startswith(" ")]
    conv, log, sqrt, _ = lines
    assert "14 of 14 indices wrong: input-mutated. forward changed its x" in conv
    assert log.endswith("w.r.t. x at index (0, 0, 0, 0): 2 of 12 indices cannot be decided")
    assert "w.r.t. x: backward raised ValueError: word word" in sqrt


def test_nothing_wrong_nothing_said(written, result) -> None:
    said = "2 gradients, 2 ops, 2 cases: 2 pass (140 forwards and 16 backwards, 1.50 s)\n"
    assert written([result(), result(op="other")], quiet=True) == said


class TestManyFailures:
    @pytest.fixture
    def many(self, mismatch, result):
        """Seventeen ops that fail, each in two dtypes with the same cause, the first in another case too."""
        cause = Finding("sign-flipped", "numerical = -analytical at every index", {"explained": 1.0})
        rows = [mismatch((k,), -1.0, 1.0) for k in range(12)]
        made = [
            result("fail", rows, op=f"op{k}", dtype=dtype, module="mod", findings=(cause,))
            for k in range(17)
            for dtype in ("float32", "float64")
        ]
        return [*made[:2], result("fail", rows, op="op0", case="wide", module="mod", findings=(cause,)), *made[2:]]

    def test_take_a_screen_or_two_and_end_in_a_list_of_all(self, written, many) -> None:
        lines = written(many, width=80).splitlines()
        assert len(lines) <= 60
        start = lines.index("Not as expected: 17 ops; -v shows all in full, 'gradaudit explain OP' one")
        assert [line.split()[:2] for line in lines[start + 1 : -1]] == [["sign-flipped", f"op{k}"] for k in range(17)]
        assert "  sign-flipped  op3 w.r.t. x: numerical = -analytical at every index" in lines

    def test_are_all_shown_where_that_is_asked_for(self, written, many) -> None:
        text = written(many, verbose=True)
        assert text.count("gradient mismatch w.r.t. x") == len(many)
        assert "-v shows all" not in text
        assert "Not as expected: 17 ops\n" in text

    def test_that_are_alike_are_shown_once(self, written, many) -> None:
        text = written(many[:3])
        assert text.count("gradient mismatch w.r.t. x") == 1
        assert "  Likewise:   default[float64], wide[float32]\n" in text
        quiet = written(many[:3], quiet=True)
        assert quiet.splitlines()[0].endswith("at every index; likewise default[float64], wide[float32]")

    def test_that_are_not_alike_are_shown_apart(self, written, mismatch, result) -> None:
        of_x = result("fail", [mismatch()], findings=(Finding("shifted", "by one", {"explained": 1.0}),))
        of_w = result("fail", [mismatch()], input="w", dtype="float64")
        text = written([of_x, of_w, result("pass", input="w")])
        assert text.count("gradient mismatch w.r.t.") == 2
        assert "  shifted, 1 more  norm w.r.t. x, w: by one\n" in text

    def test_of_one_cause_are_shown_once_with_all_that_was_found(self, written, mismatch, result) -> None:
        cause = Finding("missing-term", "a term", {"explained": 1.0})
        more = Finding("nonlinear-upstream", "not linear", {})
        plain = result("fail", [mismatch()], findings=(cause,))
        rich = result("fail", [mismatch()], findings=(cause, more), dtype="float64")
        text = written([plain, rich])
        assert text.count("gradient mismatch w.r.t.") == 1
        assert "Likewise:   default[float32]" in text
        assert "nonlinear-upstream" in text

    def test_a_few_are_shown_with_shorter_tables(self, written, many) -> None:
        text = written(many[:7], width=80)
        assert text.count("gradient mismatch w.r.t. x") == 2
        assert ("and 2 more" in text, "and 9 more" in text) == (True, True)
        assert len(text.splitlines()) <= 60

    def test_the_first_is_shown_while_the_run_lasts(self, many, events) -> None:
        paper = Paper(terminal=False)
        report = TerminalReport(Console(file=paper, width=80))
        *begun, _ = events(many)
        for event in begun:
            report(event)
        assert paper.getvalue().count("gradient mismatch w.r.t. x") == 1
        assert paper.getvalue().startswith("op0 (float32, case default)")

    def test_the_dtypes_are_named_where_only_some_fail(self, written, result) -> None:
        text = written([result(), result("error", dtype="bfloat16", message="backward raised KeyError: 3")])
        assert "  error  norm w.r.t. x in bfloat16: backward raised KeyError: 3\n" in text

    def test_the_gravest_come_first_and_names_are_never_cut(self, written, many, result) -> None:
        name = "a_very_long_name_" * 6
        lines = written([*many, result("error", op=name, message="crashed its process")], width=60).splitlines()
        start = next(k for k, line in enumerate(lines) if line.startswith("Not as expected: 18 ops"))
        assert lines[start + 1].startswith(f"  error         {name} w.r.t. x")
        assert {len(line) <= 60 for line in lines[start + 2 : -1]} == {True}

    def test_a_known_failure_that_is_gone_is_one(self, written, result) -> None:
        message = "the spec expects this case to fail, but it ended with pass"
        assert f"  unexpected pass  norm w.r.t. x: {message}\n" in written(
            [result(expected=False, message=message)], width=100
        )

    def test_of_several_causes_are_counted(self, written, result) -> None:
        text = written([result("error", message="raised"), result("fail", message="nan", case="big")])
        assert "  error, 1 more  norm w.r.t. x: raised\n" in text


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
