"""An explanation on a terminal, in a pipe, as Markdown, as JSON and as a picture."""

from __future__ import annotations

import io
import json
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from made_explanations import RIGHT, WRONG, made_curve, made_explanation
from made_results import Paper, made_result
from rich.console import Console

from gradaudit.explain.curve import Point
from gradaudit.explain.explanation import Explanation
from gradaudit.explain.heat_map import heat_map
from gradaudit.guides import finding_page
from gradaudit.report.explanation.curve_drawing import draw_curve
from gradaudit.report.explanation.glyphs import ASCII, UNICODE, glyphs_for
from gradaudit.report.explanation.heat_drawing import draw_heat_map
from gradaudit.report.explanation.json import document
from gradaudit.report.explanation.markdown import markdown
from gradaudit.report.explanation.page import page
from gradaudit.report.explanation.terminal import print_page
from gradaudit.results import Finding, Result


def terminal_text(explanation: Explanation, width: int = 80, *, colour: bool = False) -> str:
    paper = Paper(terminal=False)
    system = "standard" if colour else None
    console = Console(file=paper, width=width, highlight=False, color_system=system, force_terminal=colour)
    print_page(page(explanation, UNICODE, 10), console)
    return paper.getvalue()


@pytest.mark.parametrize("result", [WRONG, RIGHT], ids=["wrong", "right"])
class TestTheTerminal:
    def test_has_room_for_it_in_80_columns(self, result: Result) -> None:
        assert max(map(len, terminal_text(made_explanation(result)).splitlines())) <= 80

    def test_shows_every_column_whole_beside_long_names(self, result: Result) -> None:
        named = replace(result, case="in_the_middle_axis_counted_from_the_end")
        lines = terminal_text(made_explanation(named)).splitlines()
        (header,) = (line for line in lines if line.lstrip().startswith("Case ") and "Verdict" in line)
        assert header.endswith("Resolution  Forwards")

    def test_gets_no_escapes_without_colour(self, result: Result) -> None:
        assert "\x1b" not in terminal_text(made_explanation(result))

    def test_gets_the_same_text_in_colour(self, result: Result) -> None:
        coloured = terminal_text(made_explanation(result), colour=True)
        assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == terminal_text(made_explanation(result))
        assert "\x1b[" in coloured

    def test_gets_code_as_it_is_to_be_copied(self, result: Result) -> None:
        assert "\nprint('x')\n\n\nprint(2)\n" in terminal_text(made_explanation(result))
        assert "\ngradaudit run 'a b'\n" in terminal_text(made_explanation(result))


def test_a_wrong_gradient_comes_with_findings_causes_and_remedies() -> None:
    text = " ".join(terminal_text(made_explanation(WRONG)).split())
    assert "kink (for information): it bends" in text
    assert "constant-factor (a likely cause, explains 99% of the mismatch)" in text
    assert "more on gradaudit explain constant-factor more on gradaudit explain kink" in text
    assert " ".join(finding_page("kink").section("Remedy").split()[:3]) in text
    assert "2 of 12" in text
    assert "Backward is off by 5.0e-01" in text


def test_a_right_one_says_what_would_have_been_seen() -> None:
    text = " ".join(terminal_text(made_explanation(RIGHT, remedies=())).split())
    assert "A relative error above 1.0e-06 would have been reported" in text
    assert "Backward is off" not in text


def test_a_wrong_gradient_without_a_cause_says_so() -> None:
    puzzling = replace(WRONG, findings=())
    said = "No simple cause found: default[float32] x."
    assert said in terminal_text(made_explanation(puzzling))
    for result in (WRONG, RIGHT, replace(WRONG, findings=(Finding("precision-loss", "lost", {}),))):
        assert "No simple cause" not in terminal_text(made_explanation(result))


def test_what_is_told_as_a_finding_is_not_told_again() -> None:
    finding = Finding("input-mutated", "forward changed its x", {"by": "forward", "index": [1], "off": 0.123456})
    text = terminal_text(made_explanation(made_result("fail", findings=(finding,), message=finding.message)))
    assert text.count(finding.message) == 1
    assert "No index is wrong for these inputs; the gradient fails because of" in text
    assert "0.1235" not in text  # the evidence is for programs


def test_what_would_command_a_terminal_is_escaped() -> None:
    hostile = replace(WRONG, message="\x1b[2J gone", findings=(Finding("kink", "\x1b]0;x\x07", {}),))
    for text in terminal_text(made_explanation(hostile)), markdown(page(made_explanation(hostile), UNICODE, 3)):
        assert "\x1b" not in text
        assert "\x07" not in text


def test_markdown_has_tables_and_fences_that_close() -> None:
    text = markdown(page(made_explanation(WRONG), UNICODE, 10))
    assert text.startswith("# norm: 1 gradient in 1 case: 1 fail\n")
    assert text.count("```") % 2 == 0
    assert "```python\nprint('x')\n\n\nprint(2)\n```" in text
    assert r"Prose of \| the \*spec\*." in text
    for table in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_json_holds_everything_and_no_value_that_it_cannot() -> None:
    nothing = replace(WRONG, resolution=math.nan)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    made = json.loads(document(made_explanation(nothing)), parse_constant=refuse)
    (study,) = made["studies"]
    assert len(study["curve"]["points"]) == 41
    assert study["heat_map"]["shape"] == [3, 4]
    assert study["snippet"].startswith("print")
    assert [finding["code"] for finding in made["results"][0]["findings"]] == ["kink", "constant-factor"]


class TestTheCurve:
    def test_falls_to_the_chosen_step_and_rises_again(self) -> None:
        lines = draw_curve(made_curve(0.0), ASCII)
        rows = [line[8:] for line in lines if line[7:8] == "|"]
        heights = {
            row.index(glyph): k for k, row in enumerate(rows) for glyph in "ox" if glyph in row and row.count(glyph) < 9
        }
        chosen = next(row.index(":") for row in rows if ":" in row)
        left = [heights[column] for column in sorted(heights) if column < chosen - 1]
        right = [heights[column] for column in sorted(heights) if column > chosen + 1]
        assert left == sorted(left)
        assert right == sorted(right, reverse=True)
        assert len(left) > 3
        assert len(right) > 3

    def test_shows_the_claim_only_where_it_is_off(self) -> None:
        assert any("=" * 20 in line for line in draw_curve(made_curve(0.5), ASCII))
        assert not any("=" * 20 in line for line in draw_curve(made_curve(1e-5), ASCII))

    @pytest.mark.parametrize("error", [0.0, 1e-300, 1e300, math.inf])
    def test_can_be_drawn_whatever_the_errors(self, error: float) -> None:
        curve = replace(
            made_curve(error), points=(Point(0.5, error, 0.0, "rounding"), Point(1.0, 0.0, 0.0, "rounding"))
        )
        assert max(map(len, draw_curve(curve, ASCII))) <= 78


def test_a_map_marks_the_wrong_places_and_grades_them() -> None:
    heat = heat_map(WRONG, (3, 4))
    assert heat is not None
    _, *rows = draw_heat_map(heat, ASCII)[:4]
    assert [row.partition("|")[2] for row in rows] == [".%..|", "....|", "...+|"]


@pytest.mark.parametrize(("encoding", "glyphs"), [("utf-8", UNICODE), ("ascii", ASCII), ("latin-1", ASCII)])
def test_ascii_stands_in_where_the_encoding_has_no_better(encoding: str, glyphs: object) -> None:
    assert glyphs_for(encoding) is glyphs
    "".join(vars(ASCII).values()).encode("ascii")


class TestThePlot:
    @pytest.fixture(autouse=True)
    def _needs_matplotlib(self) -> None:
        pytest.importorskip("matplotlib")

    def test_is_an_svg_that_names_the_op_and_is_the_same_each_time(self) -> None:
        from gradaudit.report.explanation.plot import draw

        made = draw(made_explanation(WRONG), "svg")
        assert made == draw(made_explanation(WRONG), "svg")
        assert ET.fromstring(made).tag.endswith("svg")
        assert b"norm w.r.t. x" in made

    def test_a_map_hatches_what_is_right_and_darkens_what_is_wrong_and_names_cause_and_dtypes(self) -> None:
        from gradaudit.report.explanation.plot import SHADES, draw

        other = replace(WRONG, dtype="float64")
        made = made_explanation(WRONG, results=(WRONG, other, replace(RIGHT, dtype="float16")))
        drawn = draw(made, "svg").decode()
        assert "<!-- constant-factor, in float32, float64 -->" in drawn
        assert "<!-- 0 to 1: right -->" in drawn
        assert "<pattern" in drawn, "hatched"
        assert all(colour in drawn for colour in SHADES)

    def test_is_a_png(self) -> None:
        from matplotlib.image import imread

        from gradaudit.report.explanation.plot import draw

        right, wrong = (imread(io.BytesIO(draw(made_explanation(made), "png"))) for made in (RIGHT, WRONG))
        assert wrong.shape[1] > 1.8 * right.shape[1]  # the map beside the curve
        assert wrong.std() > 0.05
