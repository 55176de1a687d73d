"""A badge of a run, and the summary of a step of GitHub Actions."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from gradaudit.engine.events import CasesSkipped, KnownFailuresCompared, RunFinished, RunStarted
from gradaudit.report.badge import BadgeReport, svg
from gradaudit.report.files import UnwritableError
from gradaudit.report.step_summary import MOST_ROWS, StepSummary
from gradaudit.results import Finding, SourceLine


def badge(path: Path, events) -> str:
    report = BadgeReport(str(path))
    for event in events:
        report(event)
    return path.read_text()


class TestBadge:
    @pytest.mark.parametrize(
        ("verdicts", "message", "colour"),
        [
            (["pass"] * 3, "3 pass", "brightgreen"),
            (["pass", "known"], "1 pass, 1 known to fail", "brightgreen"),
            (["pass", "inconclusive"], "1 inconclusive", "orange"),
            (["pass", "fail", "fail", "error", "inconclusive"], "1 error, 2 fail, 1 inconclusive", "red"),
            (["pass", "gone"], "1 unexpected pass", "red"),
            ([], "none", "lightgrey"),
        ],
    )
    def test_says_what_matters_in_its_colour(self, tmp_path: Path, result, events, verdicts, message, colour) -> None:
        special = {"known": result("fail", expected=True), "gone": result("pass", expected=False)}
        made = [special.get(one) or result(one, op=f"op{one}") for one in verdicts]
        told = json.loads(badge(tmp_path / "b.json", events(made)))
        assert told == {"schemaVersion": 1, "label": "gradients", "message": message, "color": colour}

    def test_is_an_image_that_can_be_read(self, tmp_path: Path, result, events) -> None:
        image = ElementTree.fromstring(badge(tmp_path / "b.svg", events([result()])))
        assert image.get("aria-label") == "gradients: 1 pass"
        texts = [node.text for node in image.iter("{http://www.w3.org/2000/svg}text")]
        assert texts == ["gradients", "1 pass"]
        assert float(image.get("width", 0)) > 60

    def test_text_in_it_is_no_markup(self) -> None:
        assert "<b>" not in svg("<b>&", "red")
        ElementTree.fromstring(svg("<b>&", "red"))

    def test_is_of_two_kinds(self, tmp_path: Path) -> None:
        with pytest.raises(UnwritableError, match=r"cannot write a badge to .*expected a name in \.svg or \.json"):
            BadgeReport(str(tmp_path / "b.png"))


def summary(path: Path, events) -> str:
    report = StepSummary(path)
    for event in events:
        report(event)
    assert report.problem == ""
    return path.read_text(encoding="utf-8")


class TestStepSummary:
    def test_adds_to_what_is_there(self, tmp_path: Path, result, events) -> None:
        (tmp_path / "s.md").write_text("before\n")
        text = summary(tmp_path / "s.md", events([result()]))
        assert text.startswith("before\n## ✅ Gradients: 1 pass\n\n1 op, 1 case, 1.50 s\n")
        assert "Not as expected" not in text

    def test_lists_what_failed_with_its_cause_and_place(self, tmp_path: Path, mismatch, result, events) -> None:
        cause = Finding("sign-flipped", "numerical = -analytical | *there*", {"explained": 1.0})
        source = SourceLine("ops.py", 12, "norm_backward")
        rows = [mismatch()]
        made = [result("fail", rows, dtype=dtype, findings=(cause,), source=source) for dtype in ("float32", "float64")]
        text = summary(tmp_path / "s.md", events([*made, result("error", op="sqrt", message="backward raised it")]))
        assert text.startswith("## 💥 Gradients: 2 fail, 1 error\n")
        lines = [line for line in text.splitlines() if line.startswith(("| ❌", "| 💥"))]
        assert lines == [
            "| ❌ | `norm` | `x` | `sign-flipped` numerical = -analytical &#124; &#42;there&#42; | `ops.py:12` |",
            "| 💥 | `sqrt` | `x` | backward raised it | `specs/norm.yaml:7` |",
        ]

    def test_a_pass_that_was_to_fail_is_no_success(self, tmp_path: Path, result, events) -> None:
        text = summary(tmp_path / "s.md", events([result(expected=False, message="it ended with pass")]))
        assert text.startswith("## ❌ Gradients: 1 pass\n")
        assert "| ❌ | `norm` | `x` | `unexpected pass` it ended with pass |" in text

    def test_has_room_for_so_many(self, tmp_path: Path, result, events) -> None:
        made = [result("error", op=f"op{k}", message="word " * 2000) for k in range(MOST_ROWS + 3)]
        text = summary(tmp_path / "s.md", events(made))
        assert text.count("| 💥 |") == MOST_ROWS
        assert "and 3 more" in text
        assert len(text.encode()) < 2**20

    def test_tells_of_known_failures(self, tmp_path: Path) -> None:
        told = [RunStarted(0, 0), KnownFailuresCompared("known.json", 3, ("a_b (float32)",)), RunFinished(1.0, False)]
        text = summary(tmp_path / "s.md", told)
        assert "3 known failures of `known.json`\n\nFixed: a_b (float32)" in text

    def test_where_nothing_was_audited(self, tmp_path: Path) -> None:
        told = [CasesSkipped(3, "jax", "pip"), RunStarted(0, 0), RunFinished(1.0, True)]
        assert "nothing was audited" in summary(tmp_path / "s.md", told)
        assert "interrupted" in (tmp_path / "s.md").read_text()

    def test_a_file_that_cannot_be_written_ends_nothing(self, tmp_path: Path) -> None:
        report = StepSummary(tmp_path)
        report(RunFinished(1.0, False))
        assert "cannot be written" in report.problem
