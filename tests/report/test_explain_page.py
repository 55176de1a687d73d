"""The page of an explanation: its words as HTML, its drawings as pictures."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from made_explanations import RIGHT, WRONG, made_curve, made_explanation
from pages import SAID, WICKED, Parsed

from gradaudit.repair.repairs import Applicability, Confirmed, Repair, Repairs
from gradaudit.report.explanation.glyphs import UNICODE
from gradaudit.report.explanation.page import page
from gradaudit.report.page.axis import Axis, widened
from gradaudit.report.page.curve_picture import curve_picture
from gradaudit.report.page.explain_page import explanation_html

DIFF = "--- ops.py\n+++ ops.py\n@@ -7 +7 @@\n-    return -x < 1\n+    return x < 1"


@pytest.mark.parametrize("result", [WRONG, RIGHT], ids=["wrong", "right"])
def test_it_says_in_html_what_the_terminal_says(result) -> None:
    html = explanation_html(made_explanation(result), 10)
    parsed = Parsed(html)
    assert parsed.unbalanced == []
    headings = [block.text for block in page(made_explanation(result), UNICODE, 10) if hasattr(block, "level")]
    assert all(heading in parsed.text for heading in headings)
    assert "print('x')\n\n\nprint(2)\n" in parsed.text
    assert "gradaudit run 'a b'" in parsed.text
    assert [link for link in parsed.values("href") if not link.startswith(("#", "data:,"))] == []


def test_drawings_are_pictures() -> None:
    html = explanation_html(made_explanation(replace(WRONG, shape=(3, 4))), 10)
    pictures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    for picture in pictures:
        ElementTree.fromstring(picture)
    for name in ("claim", "equal", "cell"):
        assert sum(f'class="{name}"' in picture and 'role="img"' in picture for picture in pictures) == 1, name
    assert "\u2501" not in html, "no curve of characters"


def test_nothing_that_an_op_or_a_spec_says_is_markup() -> None:
    repair = Repair(DIFF, Applicability.VERIFIED, WICKED, 7, ("x",), Confirmed(1, 2, 0))
    wicked = made_explanation(replace(WRONG, message=SAID), notes=WICKED, repairs=Repairs("norm", (repair,)))
    parsed = Parsed(explanation_html(wicked, 10))
    assert len(parsed.named("script")) == 1
    assert parsed.named("img") == []
    assert parsed.text.count(WICKED) == 2
    assert "-    return -x < 1\n+    return x < 1" in parsed.text


def test_a_curve_lies_within_its_frame_and_its_lines_where_their_numbers_are() -> None:
    made = curve_picture(made_curve())
    x, y, width, height = made.frame
    for across, up in (*made.rounding, *made.truncation):
        assert x <= across <= x + width
        assert y <= up <= y + height
    assert len(made.rounding) + len(made.truncation) == 41
    assert made.claim
    assert made.tolerance
    assert made.claim.place < made.tolerance.place, "a larger error stands higher"
    assert x < made.chosen.place < x + width


def test_ticks_are_round_numbers_in_their_places() -> None:
    axis = Axis(-1.3, 2.2, 0.0, 350.0)
    assert [tick.label for tick in axis.ticks()] == ["-1", "0", "1", "2"]
    assert [tick.place for tick in axis.ticks()] == [30.0, 130.0, 230.0, 330.0]
    powers = Axis(1e-12, 1.0, 0.0, 120.0, logarithmic=True)
    assert [tick.place for tick in powers.ticks()] == [0.0, 30.0, 60.0, 90.0, 120.0]
    low, high = widened(3.0, 3.0)
    assert low < 3.0 < high
    assert Axis(*widened(0.0, 0.0), 0.0, 10.0).ticks()
